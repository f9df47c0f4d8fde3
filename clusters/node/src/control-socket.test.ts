import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { listen } from '@mesh/testkit/servers';
import { dialCluster, killContainer } from './control-client.ts';
import { ControlSocket, parseCommand } from './control-socket.ts';
import { ApiRelay } from './relay.ts';

async function control(t: TestContext): Promise<{ path: string; killed: string[] }> {
  const directory = mkdtempSync(join(tmpdir(), 'control-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'node.sock');
  const killed: string[] = [];
  const socket = new ControlSocket({
    clock: new FakeClock(),
    kill: ({ namespace, pod, container, signal }) => {
      killed.push(`${namespace}/${pod} ${container} ${signal}`);
      return container === 'app';
    },
  });
  await socket.listen(path);
  t.after(() => socket.close());
  return { path, killed };
}

void test('commands', () => {
  assert.deepEqual(parseCommand('CONNECT 10.1.0.2:80'), { kind: 'connect', address: '10.1.0.2', port: 80 });
  assert.deepEqual(parseCommand('KILL shop/cart-1 app SIGKILL'), {
    kind: 'kill',
    namespace: 'shop',
    pod: 'cart-1',
    container: 'app',
    signal: 'SIGKILL',
  });
  for (const line of [
    '',
    'CONNECT',
    'CONNECT host:80',
    'CONNECT 10.1.0.2:0',
    'CONNECT 10.1.0.2:99999',
    'KILL a b c',
    'KILL a/b c SIGNOPE',
    'LIST',
  ]) {
    assert.ok('fault' in parseCommand(line), line);
  }
});

void test('bytes cross in both directions, each with its own end', async (t) => {
  const { path } = await control(t);
  const { port } = await listen(t, (socket) => {
    // Answers only after the whole question: half-close must cross the relay.
    let question = '';
    socket.on('data', (chunk) => {
      question += String(chunk);
    });
    socket.on('end', () => socket.end(`got ${question}`));
    socket.allowHalfOpen = true;
  });
  const socket = await dialCluster(path, { address: '127.0.0.1', port });
  t.after(() => socket.destroy());
  socket.end('hello');
  assert.equal(Buffer.concat(await socket.toArray()).toString(), 'got hello');
});

void test('the command may come in pieces, and the first bytes right behind it', async (t) => {
  const { path } = await control(t);
  const { port } = await listen(t, (socket) => socket.pipe(socket));
  const socket = connect(path);
  t.after(() => socket.destroy());
  for (const byte of `CONNECT 127.0.0.1:${port}`) socket.write(byte);
  socket.write('\nping');
  let heard = '';
  socket.on('data', (chunk) => {
    heard += String(chunk);
    if (heard === 'OK\nping') socket.end();
  });
  await once(socket, 'close');
  assert.equal(heard, 'OK\nping');
});

void test('kube-apiserver asks as of an HTTP proxy, and is answered as by one', async (t) => {
  const { path } = await control(t);
  const { port } = await listen(t, (socket) => socket.pipe(socket));
  const ask = async (address: string, until: string): Promise<string> => {
    const socket = connect(path);
    t.after(() => socket.destroy());
    for (const byte of `CONNECT ${address} HTTP/1.1\r\nHost: ${address}\r\n\r`) socket.write(byte);
    socket.write('\nping');
    let heard = '';
    socket.on('data', (chunk) => {
      heard += String(chunk);
      if (heard.endsWith(until)) socket.end();
    });
    await once(socket, 'close');
    return heard;
  };
  const echoed = await ask(`127.0.0.1:${port}`, 'ping');
  assert.equal(echoed, 'HTTP/1.1 200 Connection established\r\n\r\nping');
  assert.match(
    await ask('127.0.0.1:1', 'ECONNREFUSED 127.0.0.1:1'),
    /^HTTP\/1\.1 502 Bad Gateway\r\ncontent-length: \d+\r\n\r\nconnect ECONNREFUSED/,
  );
  assert.match(await ask('cart.shop:80', '80'), /^HTTP\/1\.1 502 Bad Gateway[^]*CONNECT needs ADDRESS:PORT/);
});

void test('a refusal says why', async (t) => {
  const { path, killed } = await control(t);
  await assert.rejects(
    dialCluster(path, { address: '127.0.0.1', port: 1 }),
    /CONNECT 127\.0\.0\.1:1: .*ECONNREFUSED/,
  );
  await killContainer(path, { namespace: 'shop', pod: 'cart', container: 'app' });
  await assert.rejects(
    killContainer(path, { namespace: 'shop', pod: 'cart', container: 'other', signal: 'SIGTERM' }),
    /no container other runs in pod shop\/cart/,
  );
  assert.deepEqual(killed, ['shop/cart app SIGKILL', 'shop/cart other SIGTERM']);
});

void test('only the owner may open the socket', async (t) => {
  const { path } = await control(t);
  assert.equal(statSync(path).mode & 0o777, 0o600);
});

void test('the API relay carries TCP to a unix socket', async (t) => {
  const { path } = await control(t);
  const relay = new ApiRelay(path);
  t.after(() => relay.close());
  const { port: echo } = await listen(t, (socket) => socket.pipe(socket));
  const port = await relay.listen('127.0.0.1', 0);
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.write(`CONNECT 127.0.0.1:${echo}\nx`);
  let heard = '';
  socket.on('data', (chunk) => {
    heard += String(chunk);
    if (heard === 'OK\nx') socket.end();
  });
  await once(socket, 'close');
  assert.equal(heard, 'OK\nx');
});
