/** The sidecar as the real program: a process that serves with a certificate, and is gone when it was told to stop. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { goodToken } from '@mesh/dataplane/testing/identity-server';
import { eventually } from '@mesh/testkit/eventually';
import { listening } from '@mesh/testkit/servers';
import { encodeTransportHeader, transportHeaderAlpn } from '@mesh/transport/transport-header';
import { dialTls } from '@mesh/trust/dial';
import type { ProxyPorts } from './proxy.ts';
import { credentialsOf, sidecarSettings, startCluster, type TestCluster, workload } from './testing/mesh.ts';

const main = resolve(import.meta.dirname, 'main.ts');

interface Program {
  readonly process: ChildProcess;
  readonly ports: ProxyPorts;
  readonly log: { readonly msg: string }[];
}

/** Runs the program with these settings; resolves once it is ready. */
async function startProgram(test: TestContext, cluster: TestCluster): Promise<Program> {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-sidecar-'));
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, goodToken);
  const child = spawn(process.execPath, [main], {
    env: { ...sidecarSettings(cluster, { serviceAccount: 'cart', tokenFile }), MESH_SHUTDOWN_GRACE: '60s' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  test.after(() => {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true });
  });
  const log: { msg: string }[] = [];
  createInterface({ input: child.stdout }).on('line', (line) =>
    log.push(JSON.parse(line) as { msg: string }),
  );
  const wait = { timeoutMs: 30_000 };
  const listens = await eventually('it listens', () => log.find(({ msg }) => msg === 'listening'), wait);
  const ports = listens as unknown as ProxyPorts;
  await eventually(
    'it is ready',
    async () => (await fetch(`http://127.0.0.1:${ports.admin}/ready`)).status === 200,
    wait,
  );
  return { process: child, ports, log };
}

/** What a proxy has for the pod: HTTP/1 to the port of its application, told by a transport header. */
async function dial(cluster: TestCluster, { ports }: Program, app: number): Promise<Socket> {
  const socket = await dialTls({
    host: '127.0.0.1',
    port: ports.inbound,
    identity: workload('cart', cluster.name),
    alpn: [transportHeaderAlpn],
    credentials: credentialsOf(cluster.trust, workload('frontend', cluster.name), cluster.name),
    clock: systemClock,
    timeoutMs: 5000,
  });
  socket.on('error', () => {});
  socket.write(
    encodeTransportHeader({ port: app, name: '', sessionProtocol: 'http1', clientId: '', hops: 0 }),
  );
  return socket;
}

test('SIGTERM: what it took is answered, and the process is gone soon after the last answer', async (t) => {
  const cluster = await startCluster(t);
  const waiting: ServerResponse[] = [];
  const app = await listening(
    t,
    createServer((_, response) => waiting.push(response)),
  );
  const program = await startProgram(t, cluster);
  const client = await dial(cluster, program, app);
  const text: string[] = [];
  client.setEncoding('utf8').on('data', (piece: string) => text.push(piece));
  const closed = once(client, 'close');
  client.write('GET /slow HTTP/1.1\r\nhost: cart.shop\r\n\r\n');
  await eventually('the request runs', () => waiting.length === 1);
  const exited = once(program.process, 'exit');
  program.process.kill('SIGTERM');
  await eventually('it is draining', () => program.log.some(({ msg }) => msg === 'draining'));
  await assert.rejects(dial(cluster, program, app), /ECONNREFUSED/);
  // A second signal hurries nothing.
  program.process.kill('SIGTERM');
  assert.equal(program.process.exitCode, null);
  waiting[0]?.end('late');
  await closed;
  const lastAt = performance.now();
  assert.deepEqual(await exited, [0, null]);
  const tookMs = performance.now() - lastAt;
  assert.ok(tookMs < 500, `${tookMs} ms after the last connection`);
  assert.match(text.join(''), /^HTTP\/1\.1 200 [^]*connection: close[^]*late$/);
  assert.equal(program.log.at(-1)?.msg, 'stopped');
});

test('settings that cannot be read end the program with what is wrong with them', async (t) => {
  const cluster = await startCluster(t);
  const settings = sidecarSettings(cluster, { serviceAccount: 'cart', tokenFile: '/nowhere' });
  const child = spawn(process.execPath, [main], {
    env: { ...settings, MESH_INBOUND_PORT: 'many', MESH_NO_SUCH: '1' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let said = '';
  child.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
  assert.deepEqual(await once(child, 'exit'), [1, null]);
  assert.match(said, /MESH_INBOUND_PORT/);
  assert.match(said, /MESH_NO_SUCH/);
});
