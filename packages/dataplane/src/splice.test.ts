import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect, createServer } from 'node:tls';
import { type TestContext, test } from 'node:test';
import { giveBuffer, largeBufferBytes, spareBufferBytes, takeLargeBuffer } from '@mesh/sockets/spare-buffers';
import { eventually } from '@mesh/testkit/eventually';
import { socketPair } from '@mesh/testkit/servers';
import { transferBytesPerTurn } from './read-share.ts';
import { splice } from './splice.ts';

interface Joined {
  readonly near: Socket;
  readonly far: Socket;
  /** The proxy's ends. */
  readonly one: Socket;
  readonly other: Socket;
  closed(): number;
}

/** near ⇄ one, spliced to other ⇄ far. */
async function joined(test: TestContext): Promise<Joined> {
  const [near, one] = await socketPair(test);
  const [other, far] = await socketPair(test);
  for (const socket of [near, one, other, far]) socket.allowHalfOpen = true;
  let closed = 0;
  splice(one, other, () => closed++);
  return { near, far, one, other, closed: () => closed };
}

/** Bytes that differ everywhere, so that a lost, doubled or overwritten piece shows. */
function pattern(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
  return bytes;
}

function hashOf(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  socket.on('data', (chunk: Buffer) => hash.update(chunk));
  return once(socket, 'end').then(() => hash.digest('hex'));
}

void test('both directions at once arrive whole and in order, and each end passes on its own', async (t) => {
  const { near, far, closed } = await joined(t);
  const up = pattern(9_000_001 & ~3);
  const down = pattern(5_000_004).toReversed();
  const received = [hashOf(far), hashOf(near)];
  near.end(up);
  far.end(down);
  const [atFar, atNear] = await Promise.all(received);
  assert.equal(atFar, createHash('sha256').update(up).digest('hex'));
  assert.equal(atNear, createHash('sha256').update(down).digest('hex'));
  await eventually('both sides are gone', () => closed() === 1);
});

void test('what one side says before it resets reaches the other, also where a write to it meets the reset first', async (t) => {
  const { near, far, other } = await joined(t);
  let text = '';
  near.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  const ends: string[] = [];
  near.on('end', () => ends.push('end')).on('error', ({ message }) => ends.push(message));
  const closed = new Promise((resolve) => near.on('close', resolve));
  far.write('too large');
  far.resetAndDestroy();
  // Leaves before anything is read, as what comes from near.
  other.write(Buffer.alloc(65_536));
  await closed;
  assert.equal(text, 'too large');
  assert.deepEqual(ends, ['read ECONNRESET']);
});

void test('a reader that stops holds the sender back, then gets everything', async (t) => {
  const { near, far, one, other } = await joined(t);
  const sent = pattern(48 * 1024 * 1024);
  near.end(sent);
  let before = -1;
  // The kernel's buffers fill; then nothing moves any more.
  await eventually(
    'the source is paused',
    () => {
      const still = one.bytesRead === before && one.bytesRead > 0;
      before = one.bytesRead;
      return still;
    },
    { intervalMs: 100 },
  );
  assert.ok(one.bytesRead < sent.length, `${one.bytesRead} of ${sent.length} bytes were read`);
  const collected = one.bytesRead - other.bytesWritten;
  assert.ok(collected <= 2 * spareBufferBytes, `${collected} bytes wait behind the buffer that leaves`);
  assert.equal(await hashOf(far), createHash('sha256').update(sent).digest('hex'));
  far.end();
});

void test('crumbs for a slow reader are collected, not queued one by one', async (t) => {
  const { near, far, other } = await joined(t);
  let written = 0;
  const write = other.write.bind(other) as (chunk: Buffer, done: (error?: Error | null) => void) => boolean;
  const held: (() => void)[] = [];
  // The far side takes nothing: no write is ever confirmed until the test says so.
  other.write = ((chunk: Buffer, done: (error?: Error | null) => void) => {
    written++;
    held.push(() => write(chunk, done));
    return true;
  }) as typeof other.write;
  for (let crumb = 0; crumb < 200; crumb++) {
    near.write(`${crumb} `);
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.equal(written, 1, 'one write is under way, the rest waits together');
  let text = '';
  far.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  const expected = Array.from({ length: 200 }, (_, crumb) => `${crumb} `).join('');
  await eventually('all crumbs arrive', () => {
    for (const go of held.splice(0)) go();
    return text === expected;
  });
  assert.ok(written < 10, `${written} writes`);
});

void test('a side that breaks takes the other with it', async (t) => {
  const { near, far, closed } = await joined(t);
  far.resume();
  far.on('end', () => far.end());
  near.resetAndDestroy();
  await eventually('both sides are gone', () => closed() === 1);
});

void test('what was cut does not look as if it had ended, whatever cut it', async (t) => {
  const cuts: ((ends: Joined) => void)[] = [
    ({ far }) => far.resetAndDestroy(),
    ({ other }) => other.destroy(),
  ];
  for (const cut of cuts) {
    const ends = await joined(t);
    const { near, far } = ends;
    near.end('a request');
    await once(far.resume(), 'end');
    far.write('a part of the answer');
    await once(near, 'data');
    const broken = once(near, 'error');
    cut(ends);
    const [{ code }] = (await broken) as [NodeJS.ErrnoException];
    assert.equal(code, 'ECONNRESET');
    assert.equal(near.readableEnded, false);
  }
});

void test('a reset of a TLS socket is passed on, also where our end would meet it first', async (t) => {
  const [near, one] = await socketPair(t);
  const [raw, far] = await socketPair(t);
  const psk = Buffer.alloc(16, 1);
  const acceptor = createServer({ ciphers: 'PSK', pskCallback: () => psk });
  acceptor.emit('connection', far);
  const other = connect({
    socket: raw,
    ciphers: 'PSK',
    pskCallback: () => ({ psk, identity: 'proxy' }),
    checkServerIdentity: () => undefined,
  });
  await Promise.all([once(acceptor, 'secureConnection'), once(other, 'secureConnect')]);
  for (const socket of [near, one, other]) socket.allowHalfOpen = true;
  let closed = 0;
  splice(one, other, () => closed++);
  const broken = once(near.resume(), 'error');
  far.resetAndDestroy();
  // As if near had ended its half just now.
  one.push(null);
  const [{ code }] = (await broken) as [NodeJS.ErrnoException];
  assert.equal(code, 'ECONNRESET');
  assert.equal(near.readableEnded, false);
  await eventually('both sides are gone', () => closed === 1);
});

void test('whoever is gone takes the other along, also when its own end was sent before', async (t) => {
  const { near, far, one, other, closed } = await joined(t);
  near.end('a request');
  far.on('data', () => {});
  await once(far, 'end');
  far.write('a part of the answer');
  await once(near, 'data');
  // As is done to a peer that went silent.
  one.destroy();
  await eventually('both sides are gone', () => closed() === 1 && other.destroyed);
});

/** How many large buffers are to be had. */
function largeBuffers(): number {
  const taken: Buffer[] = [];
  for (let buffer = takeLargeBuffer(); buffer !== undefined; buffer = takeLargeBuffer()) taken.push(buffer);
  for (const buffer of taken) giveBuffer(buffer);
  return taken.length;
}

void test('who moves much uses large buffers, and they come back however the connection ends', async (t) => {
  const all = largeBuffers();
  let largest = 0;
  const transfer = async (): Promise<Joined> => {
    const ends = await joined(t);
    const write = ends.other.write.bind(ends.other) as (chunk: Buffer, done: () => void) => boolean;
    ends.other.write = ((chunk: Buffer, done: () => void) => {
      largest = Math.max(largest, chunk.length);
      return write(chunk, done);
    }) as typeof ends.other.write;
    ends.near.on('error', () => {});
    ends.far.on('error', () => {});
    ends.near.write(pattern(32 * 1024 * 1024));
    return ends;
  };
  const breaks: ((ends: Joined) => Promise<void> | void)[] = [
    ({ near }) => near.resetAndDestroy(),
    async ({ far, one, other }) => {
      far.pause();
      await eventually('the source is paused', () => one.isPaused() && other.writableLength > 0);
      far.resetAndDestroy();
    },
    ({ far }) => far.resetAndDestroy(),
    ({ one }) => one.destroy(),
    ({ near, far }) => {
      far.on('end', () => far.end());
      near.end();
    },
  ];
  for (const breakOff of breaks) {
    const ends = await transfer();
    ends.far.resume();
    await eventually('it is under way', () => ends.far.bytesRead > 8 * 1024 * 1024);
    await breakOff(ends);
    await eventually('both sides are gone', () => ends.closed() === 1);
  }
  assert.equal(largest, largeBufferBytes);
  // The last read may have filled its buffer: another one waits for what never comes.
  const sent = 2 * largeBufferBytes;
  for (let round = 0; round < 2 * all; round++) {
    const { near, far, closed } = await joined(t);
    near.write(pattern(sent));
    far.resume();
    await eventually('it is there', () => far.bytesRead === sent);
    near.end();
    far.end();
    await eventually('both sides are gone', () => closed() === 1);
  }
  assert.equal(largeBuffers(), all);
});

interface ReadySocket {
  readonly socket: Socket;
  /** Bytes that were taken from it. */
  given: number;
}

/** A socket that has `length` bytes in hand, and takes whatever is written to it. */
function readySocket(length: number): ReadySocket {
  const chunk = Buffer.alloc(spareBufferBytes);
  const socket = new Duplex({
    read() {
      if (ready.given >= length) {
        this.push(null);
        return;
      }
      ready.given += chunk.length;
      this.push(chunk);
    },
    write: (_chunk, _encoding, done) => done(),
  }) as unknown as Socket;
  const ready: ReadySocket = { socket, given: 0 };
  return ready;
}

void test('transfers share the turns of the event loop: so many bytes in each, and each transfer in its turn', async () => {
  const length = 6 * transferBytesPerTurn;
  const sources = Array.from({ length: 5 }, () => readySocket(length));
  for (const { socket } of sources) splice(socket, readySocket(0).socket, () => {});
  const slack = 2 * spareBufferBytes;
  const lead = (): number => {
    const reads = sources.map(({ given }) => given);
    return Math.max(...reads) - Math.min(...reads);
  };
  let before = 0;
  for (let unread = length; unread > 0; ) {
    await new Promise((resolve) => setImmediate(resolve));
    const read = sources.reduce((sum, source) => sum + source.given, 0);
    assert.ok(
      read - before <= transferBytesPerTurn + sources.length * slack,
      `${read - before} bytes in one turn`,
    );
    assert.ok(lead() <= transferBytesPerTurn + slack, `one is ${lead()} bytes ahead`);
    before = read;
    unread = Math.max(...sources.map((source) => length - source.given));
  }
});

void test('who sends little is not held up by transfers', async () => {
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const transfers = Array.from({ length: 3 }, () => readySocket(64 * transferBytesPerTurn));
  for (const { socket } of transfers) splice(socket, readySocket(0).socket, () => {});
  const small = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }) as unknown as Socket;
  let arrived = 0;
  const far = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      arrived += chunk.length;
      done();
    },
  }) as unknown as Socket;
  splice(small, far, () => {});
  for (let sent = 1; sent <= 50; sent++) {
    small.push('x');
    await turn();
    await turn();
    assert.equal(arrived, sent);
  }
  assert.ok(
    transfers.some(({ socket }) => !socket.readableEnded),
    'the transfers went on all the time',
  );
  for (const socket of [small, far, ...transfers.map(({ socket: one }) => one)]) socket.destroy();
});
