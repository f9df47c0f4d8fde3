/** The gateway with several loops, as the real program with its processes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { ClientHttp2Session } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { http2Limits } from '@mesh/http2/limits';
import { eventually } from '@mesh/testkit/eventually';
import { startGatewayProcess } from './testing/gateway-process.ts';
import { ask, session } from './testing/peer-client.ts';
import { gatewaySettings, startPlainPod, TestTrust } from './testing/test-west.ts';
import { workerVariable } from './worker-messages.ts';

/** Two workers, a pod, and two peers' connections, which are dealt one to each. */
async function start(test: TestContext, environment: Record<string, string> = {}) {
  const west = await startGatewayProcess(test, { MESH_WORKERS: '2', ...environment });
  const pod = await startPlainPod(test);
  west.endpoints([{ port: pod.port }]);
  const sessions: [ClientHttp2Session, ClientHttp2Session] = [
    await session(test, west),
    await session(test, west),
  ];
  for (const each of sessions) assert.equal((await ask(each)).status, 200);
  return { west, pod, sessions };
}

const exists = (pid: number): boolean => {
  try {
    // A zombie that its parent has not collected is no process any more.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

// Together, because processes start slowly and one case waits long.
/** Processes on a busy machine: far from at once, and far from any period of grace. How quick it is, services/proxy/src/stop.test.ts says. */
const unhurriedMs = 10_000;

describe('a gateway with two workers', { concurrency: true }, () => {
  it('workers share connections, tables and one metrics page; the key is nowhere to be seen', async (t) => {
    const { west, sessions } = await start(t);
    const page = await west.metrics();
    assert.match(page, /^gateway_worker_connections\{worker="1"\} 1$/m);
    assert.match(page, /^gateway_worker_connections\{worker="2"\} 1$/m);
    assert.match(page, /^gateway_connections\{source_cluster="east"\} 2$/m);
    assert.match(page, /^request_total\{[^}]*target_service="cart"[^}]*\} 2$/m);
    assert.match(page, /^gateway_workers\{state="ready"\} 2$/m);
    assert.match(page, /^proxy_build_info\{[^}]*program="gateway"\} 1$/m);
    assert.equal(page.match(/^# TYPE request_total /gm)?.length, 1);
    const { default: budget } = http2Limits.http2_window_budget_bytes;
    assert.match(
      page,
      new RegExp(`^mesh_http2_window_left_bytes ${budget}$`, 'm'),
      'one budget for all workers',
    );
    assert.deepEqual(
      west.asked,
      ['cart.shop.svc.cluster.local:80'],
      'the control plane is asked once for all',
    );
    for (const pid of [west.process.pid, ...west.workers()]) {
      const outside =
        readFileSync(`/proc/${pid}/environ`, 'latin1') + readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      assert.doesNotMatch(outside, /PRIVATE KEY/);
    }
    assert.doesNotMatch(JSON.stringify(west.log), /PRIVATE KEY|keyDer/);

    // A peer that is unlinked is out in every worker.
    const gone = sessions.map((each) => new Promise((resolve) => each.once('close', resolve)));
    const startedAt = performance.now();
    west.setTable({ peers: [{ cluster: 'north', allow: true }] });
    await Promise.all(gone);
    assert.ok(performance.now() - startedAt < unhurriedMs, 'not when its connections end by themselves');
    await eventually('no connection is counted any more', async () =>
      /^gateway_connections\{source_cluster="east"\} 0$/m.test(await west.metrics()),
    );
  });

  it('connections that no worker has room for are closed, not dealt round for ever', async (t) => {
    const { west, sessions } = await start(t, { MESH_MAX_CONNECTIONS: '2' });
    const open = new Set<Socket>();
    for (let at = 0; at < 20; at++) {
      const socket = connect({ host: '127.0.0.1', port: west.port });
      socket.on('error', () => {});
      socket.once('close', () => open.delete(socket));
      open.add(socket.resume());
    }
    t.after(() => {
      for (const socket of open) socket.destroy();
    });
    await eventually('one more for each worker stays', () => open.size === 2);
    for (const each of sessions) assert.equal((await ask(each)).status, 200);
    await eventually('all are counted', async () =>
      /^mesh_limit_hits_total\{limit="accepted_connections"\} 18$/m.test(await west.metrics()),
    );
  });

  it('a worker that dies takes its own connections with it; it is replaced and serves with what was known', async (t) => {
    const { west, sessions } = await start(t);
    const [first, second] = sessions;
    const lost = Promise.race(sessions.map(async (each) => once(each, 'close').then(() => each)));
    await west.metrics();
    await west.loseControlPlane();
    const [victim = 0] = west.workers();
    process.kill(victim, 'SIGKILL');
    const survivor = (await lost) === first ? second : first;
    assert.equal((await ask(survivor)).status, 200, 'the connection of the other worker lives');
    assert.match(await west.ready(), /^ready/, 'one of two is enough');
    await eventually('a new worker serves', async () =>
      /workers\{state="ready"\} 2$/m.test(await west.metrics()),
    );
    assert.equal(west.workers().length, 3);
    // The next connections are dealt in turn, so that one of them is the new worker's.
    for (const each of [await session(t, west), await session(t, west)]) {
      assert.equal((await ask(each)).status, 200, 'known also while the control plane is away');
    }
    const page = await west.metrics();
    assert.match(page, /^gateway_worker_exits_total\{cause="signal"\} 1$/m);
    assert.match(
      page,
      /^request_total\{[^}]*target_service="cart"[^}]*\} 5$/m,
      'what a dead worker counted stays',
    );
    const ended = west.log.find(({ msg }) => msg === 'worker ended');
    assert.deepEqual([ended?.['worker'], ended?.['how']], [1, 'SIGKILL']);

    west.process.kill('SIGKILL');
    await eventually('workers do not outlive the primary', () => west.workers().filter(exists).length === 0);
  });

  it('a worker that hangs is killed and replaced', async (t) => {
    const { west } = await start(t);
    const [, victim = 0] = west.workers();
    process.kill(victim, 'SIGSTOP');
    await eventually('a new worker serves', async () => /cause="silent"\} 1$/m.test(await west.metrics()), {
      timeoutMs: 20_000,
    });
    assert.equal(exists(victim), false);
    // While it hung the page came without it.
    const page = await west.metrics();
    assert.match(page, /^mesh_limit_hits_total\{limit="gateway_worker_silence_ms"\} 1$/m);
    assert.match(page, /^mesh_limit_hits_total\{limit="gateway_collect_ms"\} [1-9]\d*$/m);
  });

  it('a worker that is slow to start is waited for, not taken for one that hangs', async (t) => {
    const stall = 'Atomics.wait(new%20Int32Array(new%20SharedArrayBuffer(4)),0,0,6500)';
    const { west } = await start(t, {
      NODE_OPTIONS: `--import=data:text/javascript,if(process.env.${workerVariable})${stall}`,
    });
    assert.equal(west.workers().length, 2);
  });

  it('told to stop while a worker is still starting, it ends in order, too', async (t) => {
    const stall = 'Atomics.wait(new%20Int32Array(new%20SharedArrayBuffer(4)),0,0,60000)';
    const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
      env: {
        ...gatewaySettings(new TestTrust()),
        MESH_WORKERS: '2',
        MESH_SHUTDOWN_GRACE: '1s',
        MESH_TOKEN_FILE: '/dev/null',
        NODE_OPTIONS: `--import=data:text/javascript,if(process.env.${workerVariable}==2)${stall}`,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    const exit = once(child, 'exit');
    let log = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (log += text));
    const workers = await eventually(
      'both are forked',
      () => {
        const pids = [...log.matchAll(/"worker started".*"pid":(\d+)/g)].map(([, pid]) => Number(pid));
        return pids.length === 2 ? pids : undefined;
      },
      { timeoutMs: 60_000 },
    );
    child.kill('SIGTERM');
    assert.deepEqual(await exit, [0, null]);
    assert.match(log, /"draining"/);
    assert.doesNotMatch(log, /"gateway serves"/);
    assert.deepEqual(workers.filter(exists), []);
  });

  it('told to stop, all workers end what they took, then the program is gone and nothing of it is left', async (t) => {
    const { west, pod, sessions } = await start(t);
    const workers = west.workers();
    const slow = sessions.map((each) => ask(each, { ':path': '/slow' }));
    await eventually('both requests run', () => pod.seen.filter(({ path }) => path === '/slow').length === 2);
    const goaways = sessions.map((each) => once(each, 'goaway'));
    const exit = once(west.process, 'exit');
    west.process.kill('SIGTERM');
    await Promise.all(goaways);
    await assert.rejects(session(t, west), 'no new connections');
    assert.match(await west.ready(), /not ready: stopping/);
    pod.answerSlow();
    for (const answer of await Promise.all(slow))
      assert.deepEqual([answer.status, answer.body], [200, 'late']);
    const lastAt = performance.now();
    assert.deepEqual(await exit, [0, null]);
    assert.ok(performance.now() - lastAt < unhurriedMs, 'not after the grace period');
    assert.deepEqual(workers.filter(exists), []);
  });
});
