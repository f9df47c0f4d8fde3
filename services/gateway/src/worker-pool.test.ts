/** What a pool does when the system gives it no process, and what it keeps of streams; its workers serve nobody. */
import assert from 'node:assert/strict';
import cluster from 'node:cluster';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ControlStreams, KeptStreamHandler } from '@mesh/dataplane/control-channel';
import { LimitLedger } from '@mesh/limits/limits';
import { createLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { grpcCode } from '@mesh/control-api/status';
import { CredentialStore } from '@mesh/trust/credentials';
import { gatewayLimits } from './limits.ts';
import { StreamRelay } from './stream-relay.ts';
import { WorkerPool } from './worker-pool.ts';

interface LogLine {
  readonly msg: string;
  /** Workers that Node has at that moment. */
  readonly listed: readonly string[];
  readonly [field: string]: unknown;
}

/** Counts the streams that the pool ended. */
class CountingRelay extends StreamRelay {
  ended = 0;

  override follow(...question: Parameters<StreamRelay['follow']>): ReturnType<StreamRelay['follow']> {
    const running = super.follow(...question);
    if (running === undefined) return undefined;
    return {
      cancel: () => {
        this.ended++;
        running.cancel();
      },
    };
  }
}

/** Where workers start: they cannot in a directory that is not there. */
function workersIn(cwd: string): void {
  cluster.setupPrimary({
    exec: join(import.meta.dirname, 'testing/bare-worker.ts'),
    args: [],
    execArgv: [],
    cwd,
  });
}

/** A pool of one worker that is ready, and the control plane's ends of the streams that were asked for. */
async function start(test: TestContext) {
  workersIn(import.meta.dirname);
  const clock = new FakeClock();
  const log: LogLine[] = [];
  const asked: Pick<KeptStreamHandler<never>, 'onRejected'>[] = [];
  const streams: ControlStreams = {
    keep(_method, _input, handler) {
      asked.push(handler);
      return { cancel: () => {} };
    },
  };
  const relay = new CountingRelay({ clock, streams });
  const pool = new WorkerPool({
    clock,
    // No jitter.
    random: { next: () => 0.5 },
    log: createLogger({
      clock,
      level: 'debug',
      write: (line) =>
        log.push({ ...(JSON.parse(line) as LogLine), listed: Object.keys(cluster.workers ?? {}) }),
    }),
    registry: new MetricRegistry(),
    credentials: new CredentialStore(),
    relay,
    limits: new LimitLedger(gatewayLimits),
    workers: 1,
    graceMs: 1000,
  });
  const kill = (): void => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGKILL');
  };
  test.after(kill);
  await pool.start();
  const said = (msg: string): LogLine[] => log.filter((line) => line.msg === msg);
  return { clock, pool, relay, asked, kill, said };
}

for (const [how, cwd, fault] of [
  ['emits', join(import.meta.dirname, 'missing'), /^spawn .* ENOENT$/],
  ['throws', import.meta.filename, /^spawn ENOTDIR$/],
] as const) {
  void test(`a fork that fails, which Node ${how}, is tried again with growing pauses, and nothing waits for it`, async (t) => {
    const { clock, pool, kill, said } = await start(t);
    const failures = (): LogLine[] => said('worker could not be forked');
    const failed = (times: number) => eventually('the fork fails', () => failures().length === times);

    workersIn(cwd);
    kill();
    await eventually('it is gone', () => said('worker ended').length === 1);
    clock.advance(100);
    await failed(1);
    assert.match(pool.ready().reason, /worker 1 could not be forked \(spawn .*\)/);
    clock.advance(200);
    await failed(2);
    assert.deepEqual(
      failures().map(({ replacedInMs, listed }) => [replacedInMs, listed]),
      [
        [200, []],
        [400, []],
      ],
    );
    assert.match(String(failures()[0]?.['how']), fault);
    const page = await pool.render();
    assert.match(page, /^gateway_worker_exits_total\{cause="fork"\} 2$/m);
    assert.match(page, /^gateway_workers\{state="running"\} 0$/m);

    workersIn(import.meta.dirname);
    clock.advance(400);
    await eventually('a new worker is ready', () => pool.ready().ready);
    assert.equal(said('worker started').length, 2, 'those that never ran are not among them');

    workersIn(cwd);
    kill();
    await eventually('it is gone, too', () => said('worker ended').length === 2);
    clock.advance(800);
    // At once: the fault may be still to come.
    await pool.stop();
    assert.equal(said('worker hangs').length, 0);
  });
}

void test('of a stream that was rejected nothing is kept; the next worker has the control plane asked again', async (t) => {
  const { clock, pool, relay, asked, kill, said } = await start(t);
  asked[0]?.onRejected({ code: grpcCode.invalidArgument, message: 'no such gateway' });
  kill();
  await eventually('it is gone', () => said('worker ended').length === 1);
  assert.equal(relay.ended, 0);

  clock.advance(100);
  await eventually('a new worker is ready', () => pool.ready().ready);
  assert.equal(asked.length, 2);
  kill();
  await eventually('it is gone, too', () => said('worker ended').length === 2);
  assert.equal(relay.ended, 1, 'one that was not is ended with its worker');
  await pool.stop();
});

void test('what a worker no longer shows stays on the page', async (t) => {
  const { pool, kill } = await start(t);
  await pool.render();
  const page = await pool.render();
  assert.match(page, /^request_total\{client="1"\} 5$/m);
  assert.match(page, /^request_total\{client="2"\} 5$/m);
  await pool.stop();
  kill();
});
