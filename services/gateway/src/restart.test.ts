/** A gateway that restarts while destination is away goes by what that said before, and says how old it is. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { type GatewayProcess, startGatewayProcess } from './testing/gateway-process.ts';
import { ask, dial, session } from './testing/peer-client.ts';
import { startPlainPod, startWest, workload } from './testing/test-west.ts';

const ledger = 'ledger.shop.svc.cluster.local:80';
const slowStart = { timeoutMs: 60_000 };

/** The volume of a pod. */
function volume(test: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-pod-'));
  test.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A gateway that was asked for the cart, and whose file says so. */
async function start(test: TestContext, workers: number): Promise<{ west: GatewayProcess; file: string }> {
  const directory = volume(test);
  const file = join(directory, 'last-good');
  const west = await startGatewayProcess(test, {
    MESH_WORKERS: String(workers),
    MESH_POD_NAME: 'mesh-gateway-1',
    MESH_LAST_GOOD_DIR: directory,
  });
  const pod = await startPlainPod(test);
  west.endpoints([{ port: pod.port }]);
  assert.equal((await ask(await session(test, west))).status, 200);
  await eventually('it is written down', () => readFileSync(file, 'utf8').includes('Destination/Get'), {
    timeoutMs: 20_000,
  });
  return { west, file };
}

describe('a gateway that is killed while destination is away', { concurrency: true }, () => {
  for (const workers of [1, 2]) {
    it(`serves the exports and endpoints that it knew, with ${workers} at work`, async (t) => {
      const { west, file } = await start(t, workers);
      await west.loseControlPlane();
      await west.restart();
      const page = await eventually(
        'it is ready',
        async () => {
          const text = await west.ready();
          return text.startsWith('ready') ? text : undefined;
        },
        slowStart,
      );
      assert.match(
        page,
        /^ready, but the control plane does not answer: 1 of its streams go by what it said/,
      );
      const east = await session(t, west);
      assert.equal((await ask(east)).status, 200);
      assert.equal((await ask(east, { ':authority': ledger })).status, 403, 'to those alone who might');
      assert.equal((await ask(east, { ':authority': 'other.shop.svc.cluster.local:80' })).status, 404);
      const south = await dial(t, west, { as: workload('frontend', 'south') });
      await eventually('a cluster that may not is turned away', () => south.resume().destroyed);

      const metrics = await west.metrics();
      assert.match(metrics, /^mesh_last_good_reads_total\{result="used"\} 1$/m);
      assert.match(metrics, /^mesh_last_good_streams 2$/m, 'table and endpoints');
      const age = (name: string) => Number(new RegExp(`^${name} ([\\d.]+)$`, 'm').exec(metrics)?.[1]);
      assert.ok(age('gateway_table_age_seconds') > 0);
      assert.ok(age('mesh_discovery_age_seconds\\{authority="cart[^"]*"\\}') > 0);
      assert.match(metrics, /^gateway_connections_refused_total\{reason="peer-not-allowed"\} 1$/m);
      const told = west.log.filter(({ msg }) => /does not answer: going by the last-good/.test(msg));
      assert.equal(told.length, 1);

      assert.equal(statSync(file).mode & 0o777, 0o600);
      assert.doesNotMatch(readFileSync(file, 'latin1'), /PRIVATE KEY|BEGIN CERT/);
    });
  }

  it('is not ready with a file that is damaged, and says why', async (t) => {
    const { west, file } = await start(t, 1);
    await west.loseControlPlane();
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, -1));
    await west.restart();
    await eventually(
      'it has a certificate, no table, and says who does not answer',
      async () => {
        const page = await west.ready();
        return (
          page.startsWith('not ready: destination has not said yet what is exported (') &&
          page.includes('ECONNREFUSED')
        );
      },
      slowStart,
    );
    const ignored = west.log.find(({ msg }) => msg === 'last-good snapshot ignored');
    assert.equal(ignored?.['reason'], 'damaged');
    assert.match(await west.metrics(), /^mesh_last_good_reads_total\{result="damaged"\} 1$/m);
    const refused = await dial(t, west);
    await eventually('nobody is let in', () => refused.resume().destroyed);
    assert.match(await west.metrics(), /^gateway_connections_refused_total\{reason="no-table"\} 1$/m);
  });
});

void it('a gateway whose question is refused is not ready, and says with what', async (t) => {
  const west = await startWest(t);
  west.refuseTable();
  await west.restart();
  await eventually('it says so', async () =>
    (await west.ready()).endsWith(
      '(mesh.gateway.v1.Gateway/Watch ended with permissionDenied: only the gateway may ask)\n',
    ),
  );
});

describe('a gateway that is killed while destination answers', () => {
  it('goes by what is true now, not by its file', async (t) => {
    const { west, file } = await start(t, 1);
    const before = readFileSync(file);
    west.setTable({ exports: [] });
    await eventually('the new table is written down', () => !readFileSync(file).equals(before));
    writeFileSync(file, before);
    await west.restart();
    await eventually('it is ready', async () => (await west.ready()) === 'ready\n', slowStart);
    assert.equal((await ask(await session(t, west))).status, 404);
    assert.match(await west.metrics(), /^gateway_table_age_seconds 0$/m);
  });

  for (const workers of [1, 2]) {
    it(`waits for its answer from when it can ask, with ${workers} at work`, async (t) => {
      const { west, file } = await start(t, workers);
      const before = readFileSync(file);
      west.setTable({ exports: [] });
      await eventually('the new table is written down', () => !readFileSync(file).equals(before));
      writeFileSync(file, before);
      west.slowIdentity(3000);
      const earlier = west.log.length;
      await west.restart();
      // No status: it was not let in.
      const status = await eventually(
        'it answers',
        async () => (await ask(await session(t, west))).status || undefined,
        slowStart,
      );
      assert.equal(status, 404);
      assert.doesNotMatch(await west.metrics(), /limit="last_good_wait_ms"/);
      const log = west.log.slice(earlier).map(({ msg }) => msg);
      assert.ok(log.includes('last-good snapshot read'));
      assert.deepEqual(
        log.filter((msg) => msg.includes('does not answer')),
        [],
      );
    });
  }
});
