/** What counts as a failure, for metrics and breakers alike, and how an exchange is shown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { HttpMetrics, isFailure, noGrpcStatus } from './http-metrics.ts';
import { carried, http2App, rig, send, sendHttp2 } from './testing/forwarding-rig.ts';

void test('failures are 5xx, and of gRPC the statuses that are the fault of the server', () => {
  for (const status of [200, 204, 304, 400, 404, 429, 499])
    assert.equal(isFailure(status, noGrpcStatus), false);
  for (const status of [500, 501, 502, 503, 504, 599]) assert.equal(isFailure(status, noGrpcStatus), true);
  const failed = Array.from({ length: 17 }, (_, code) => code).filter((code) => isFailure(200, code));
  assert.deepEqual(
    failed,
    [2, 4, 7, 13, 14, 15],
    'UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED, INTERNAL, UNAVAILABLE, DATA_LOSS',
  );
});

void test('each outcome has a series of its own', () => {
  const registry = new MetricRegistry();
  const cells = new HttpMetrics(registry).cells({ direction: 'outbound' });
  cells.ended(200, noGrpcStatus, 'none');
  cells.ended(503, noGrpcStatus, 'none');
  cells.ended(200, 0, 'none');
  cells.ended(200, 14, 'none');
  cells.ended(0, noGrpcStatus, 'cancel');
  cells.ended(200, noGrpcStatus, 'closed');
  cells.ended(200, noGrpcStatus, 'closed');
  const lines = registry.render().match(/^response_total\{.*/gm) ?? [];
  const series = (status: string, verdict: string, grpc: string, error: string, count: number): string =>
    `response_total{direction="outbound",status_code="${status}",classification="${verdict}",grpc_status="${grpc}",error="${error}"} ${count}`;
  assert.deepEqual(
    lines.toSorted(),
    [
      series('', 'failure', '', 'cancel', 1),
      series('200', 'failure', '', 'closed', 2),
      series('200', 'failure', '14', '', 1),
      series('200', 'success', '', '', 1),
      series('200', 'success', '0', '', 1),
      series('503', 'failure', '', '', 1),
    ].toSorted(),
  );
});

void test('latency counts to the first data of the answer, not to its end', async (test) => {
  const clock = new FakeClock();
  let finish = (): void => {};
  const port = await http2App(test, (stream) => {
    finish = () => stream.end('last');
    stream.respond({ ':status': 200 });
    clock.advance(30);
    stream.write('first');
  });
  const { port: proxy, pool, registry } = await rig(test, { clock });
  pool.apply([carried(port)], { replace: true });
  const answered = send(proxy);
  await eventually('it is counted', () => /^response_latency_ms_count\{.* 1$/m.test(registry.render()));
  clock.advance(800);
  finish();
  assert.equal((await answered).body, 'firstlast');
  assert.match(registry.render(), /^response_latency_ms_sum\{[^}]*status_code="200"\} 30$/m);
});

void test('a gRPC failure in trailers ejects an endpoint as a 5xx does', async (test) => {
  const app = (code: string) =>
    http2App(test, (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': code }));
      stream.end('x');
    });
  const { port, pool } = await rig(test, { serves: 'http2', clock: new FakeClock() });
  pool.apply([carried(await app('14')), carried(await app('5'))], { replace: true });
  const answered: Record<string, number> = {};
  for (let call = 0; call < 60; call++) {
    const { trailers } = await sendHttp2(port, { ':method': 'POST', 'content-type': 'application/grpc' });
    const code = String(trailers['grpc-status']);
    answered[code] = (answered[code] ?? 0) + 1;
  }
  assert.deepEqual(answered, { '14': 7, '5': 53 }, 'NOT_FOUND is the answer, UNAVAILABLE is none');
  assert.equal(pool.ready, 1);
});

for (const [what, head, counted] of [
  [
    'without a status is what its caller takes it for',
    {},
    'status_code="200",classification="failure",grpc_status="2"',
  ],
  [
    'with another status is read as gRPC reads it',
    { ':status': 404 },
    'status_code="404",classification="success",grpc_status="12"',
  ],
  [
    'that has its status in the head has one',
    { 'grpc-status': '0' },
    'status_code="200",classification="success",grpc_status="0"',
  ],
  [
    'with an empty status has none that is known',
    { 'grpc-status': '' },
    'status_code="200",classification="failure",grpc_status="2"',
  ],
] as const) {
  void test(`a whole gRPC answer ${what}`, async (t) => {
    const app = await http2App(t, (stream) => {
      stream.respond({ ':status': 200, ...head });
      stream.end('x');
    });
    const { port, pool, registry } = await rig(t, { serves: 'http2' });
    pool.apply([carried(app)], { replace: true });
    await sendHttp2(port, { ':method': 'POST', 'content-type': 'application/grpc' });
    assert.ok(registry.render().includes(`${counted},error=""} 1\n`));
  });
}
