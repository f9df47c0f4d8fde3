/** Clients of HTTP/1 that are as slow as they can be, many at any time: those that are cut off come again. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import type { AttackSite } from '@mesh/testkit/attack';

interface SlowOptions {
  /** By strangers: heads that do not end. */
  readonly heads: number;
  /** By peers: bodies of which now and then a byte comes, and readers that take nothing of an answer without end. */
  readonly bodies: number;
  readonly readers: number;
  readonly seconds: number;
}

/** Each says a byte so often. */
const betweenBytesSeconds = 5;

/** Heads that do not end, each of which is begun again when its time is over. */
class SlowHeads {
  readonly #site: AttackSite;
  readonly #open: Set<Socket> = new Set();
  #over = false;
  /** Cut off with 408, and otherwise. */
  refused = 0;
  lost = 0;

  constructor(site: AttackSite) {
    this.#site = site;
  }

  get open(): number {
    return this.#open.size;
  }

  async keepOne(): Promise<void> {
    while (!this.#over) {
      const socket = await this.#site.connectPlain();
      let answer = '';
      socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
      const closed = new Promise((resolve) => socket.once('close', resolve));
      this.#open.add(socket);
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nX: y');
      await closed;
      this.#open.delete(socket);
      if (answer.startsWith('HTTP/1.1 408 ')) this.refused++;
      else if (!this.#over) this.lost++;
    }
  }

  /** Those whose turn it is say a byte. */
  trickle(second: number): void {
    let index = 0;
    for (const socket of this.#open)
      if (index++ % betweenBytesSeconds === second % betweenBytesSeconds) socket.write('y');
  }

  end(): void {
    this.#over = true;
    for (const socket of this.#open) socket.destroy();
  }
}

/** So many slow clients at any time, from when all are there. Heads end with 408 after ten seconds, everybody else is still there in the end. */
export async function holdSlowSockets(site: AttackSite, options: SlowOptions): Promise<void> {
  const peers: Socket[] = [];
  const bodies: Socket[] = [];
  for (let index = 0; index < options.bodies + options.readers; index++) {
    const socket = await site.connect();
    peers.push(socket);
    if (index < options.bodies) {
      socket.write('POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx');
      bodies.push(socket);
    } else {
      socket.pause();
      socket.write('GET /endless HTTP/1.1\r\nHost: a\r\n\r\n');
    }
  }
  const heads = new SlowHeads(site);
  const keeping = Promise.all(Array.from({ length: options.heads }, () => heads.keepOne()));
  while (heads.open < options.heads) await site.pass(100);
  let fewest = options.heads;
  for (let second = 0; second < options.seconds; second++) {
    await site.pass(1000);
    heads.trickle(second);
    if (second % betweenBytesSeconds === 0) for (const socket of bodies) socket.write('x');
    fewest = Math.min(fewest, heads.open);
  }
  const alive = peers.filter(({ destroyed }) => !destroyed).length;
  heads.end();
  await keeping;
  assert.equal(heads.lost, 0, 'heads that ended otherwise than by 408');
  assert.ok(heads.refused >= (options.heads * options.seconds) / 20, `${heads.refused} were cut off`);
  assert.ok(fewest >= 0.9 * options.heads, `${fewest} heads were open at some time`);
  assert.equal(alive, peers.length);
}
