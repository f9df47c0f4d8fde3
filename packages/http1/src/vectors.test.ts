import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import type {
  ClientHandler,
  ClientStream,
  Headers,
  RequestHead,
  ResponseHead,
  ServerStream,
  StreamHandler,
} from '@mesh/http/message';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { dialTcp, listen, socketPair } from '@mesh/testkit/servers';
import { connectHttp1 } from './client.ts';
import { type Http1Fault, http1Faults } from './faults.ts';
import { http1Limits } from './limits.ts';
import { serveHttp1 } from './server.ts';
import { byteByByte, messageText, read, requestText, responseText } from './testing/reading.ts';
import { requestVectors, responseVectors } from './vectors/all.ts';
import type { Vector } from './vectors/vector.ts';

const all = [...requestVectors, ...responseVectors];
const options = { clock: systemClock, limits: new LimitLedger(http1Limits) };

function title({ role, subject, name }: Vector): string {
  return `${role}, ${subject}: ${name}`;
}

function isFault(ends: Vector['ends']): ends is Http1Fault {
  return ends in http1Faults;
}

test('there are enough of them, each once', () => {
  const sweeps = all.filter(({ subject }) => subject.endsWith(' byte'));
  assert.ok(all.length - sweeps.length >= 1000, `${all.length - sweeps.length} beside the sweeps of bytes`);
  const seen = new Set<string>();
  for (const vector of all) {
    const { role, method, upgrade, bytes } = vector;
    const key = [role, method, upgrade, bytes].join('\n');
    assert.ok(!seen.has(key), `${title(vector)} is there already`);
    seen.add(key);
  }
  const faults = new Set(all.map(({ ends }) => ends).filter(isFault));
  // The only ones that no bytes alone can cause: a timer, and what the shared form of requests knows from HTTP/2.
  const others = Object.keys(http1Faults).filter((fault) => !faults.has(fault as Http1Fault));
  assert.deepEqual(others, ['bad-method', 'bad-scheme', 'head-timeout']);
});

test('the parser: whole, byte by byte, and cut in two at every offset', () => {
  for (const vector of all) {
    const { sees, ends } = vector;
    const input = Buffer.from(vector.bytes, 'latin1');
    assert.deepEqual(read(vector, [input]), { sees, ends }, title(vector));
    const splits = [byteByByte(input)];
    if (input.length <= 200) {
      for (let cut = 1; cut < input.length; cut++) splits.push([input.subarray(0, cut), input.subarray(cut)]);
    }
    for (const pieces of splits) {
      const reading = read(vector, pieces);
      const how = `${title(vector)}, cut at ${pieces[0]?.length} of ${input.length}`;
      assert.deepEqual(reading.sees, sees, how);
      // A line feed is seen before the fault that the whole line has, so the reason may be another one.
      if (isFault(ends)) assert.ok(isFault(reading.ends), how);
      else assert.equal(reading.ends, ends, how);
    }
  }
});

/** One request as the listener sees it; answered when it is complete. */
class Request implements StreamHandler {
  readonly #stream: ServerStream;
  readonly #start: string;
  readonly #sees: string[];
  #body = '';

  constructor(stream: ServerStream, head: RequestHead, sees: string[]) {
    this.#stream = stream;
    this.#start = requestText(head);
    this.#sees = sees;
  }
  onData(chunk: Buffer): void {
    this.#body += chunk.toString('latin1');
    this.#stream.consume(chunk.length);
  }
  onEnd(trailers: Headers | null): void {
    this.#sees.push(messageText(this.#start, this.#body, trailers));
    this.#stream.respond({ status: 200, headers: [] }, true);
  }
  onReset(): void {}
  onDrain(): void {}
}

test('a server: the listener sees what is complete, each is answered, and what is wrong gets its status and the end', async (context) => {
  let sees: string[] = [];
  let faults: Http1Fault[] = [];
  let tunnels = 0;
  const { port } = await listen(context, (socket) => {
    const listener = {
      onRequest: (stream: ServerStream, head: RequestHead, end: boolean): StreamHandler => {
        const request = new Request(stream, head, sees);
        if (head.upgrade !== '' || head.method === 'CONNECT') {
          tunnels++;
          sees.push(requestText(head));
        } else if (end) request.onEnd(null);
        return request;
      },
      onClose: () => {},
    };
    serveHttp1(socket, listener, { ...options, onFault: (fault) => faults.push(fault) });
  });
  for (const vector of requestVectors) {
    sees = [];
    faults = [];
    tunnels = 0;
    const hitsBefore = new Map(options.limits.entries());
    const socket = await dialTcp(context, port);
    const closed = once(socket, 'close');
    let answers = '';
    socket.on('data', (chunk: Buffer) => (answers += chunk.toString('latin1')));
    socket.write(Buffer.from(vector.bytes, 'latin1'));
    const { ends } = vector;
    const fault = isFault(ends) ? ends : undefined;
    // Behind a fault a second request, as a smuggler would; it must not be taken for one.
    if (fault !== undefined) socket.write('GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n');
    else if (ends === 'tunnel') await eventually('a tunnel', () => tunnels === 1, { intervalMs: 1 });
    else {
      const expected = vector.sees.length;
      const answered = (): number => answers.split('HTTP/1.1 200 OK').length - 1;
      await eventually(title(vector), () => answered() === expected, { intervalMs: 1 });
    }
    // Behind a tunnel request the server holds what came and reads no further.
    if (ends === 'tunnel') socket.destroy();
    else if (fault === undefined) socket.end();
    await closed;
    assert.deepEqual(sees, vector.sees, title(vector));
    assert.deepEqual(faults, fault === undefined ? [] : [fault], title(vector));
    if (fault === undefined) continue;
    const { limit } = http1Faults[fault];
    if (limit !== undefined) hitsBefore.set(limit, (hitsBefore.get(limit) ?? 0) + 1);
    assert.deepEqual(new Map(options.limits.entries()), hitsBefore, title(vector));
    const last = answers.slice(answers.lastIndexOf(`HTTP/1.1 ${http1Faults[fault].status} `));
    assert.match(last, /^HTTP\/1.1 \d+ .*\r\n[^]*\r\nconnection: close\r\n/, title(vector));
    assert.ok(last.endsWith(`\r\n\r\n${http1Faults[fault].text}\n`), title(vector));
  }
});

/** One response as the owner sees it. */
class Response implements ClientHandler {
  readonly sees: string[] = [];
  stream: ClientStream | undefined = undefined;
  #start = '';
  #body = '';
  done = false;

  onInform(head: ResponseHead): void {
    this.sees.push(responseText(head.status, head.headers));
  }
  onResponse(head: ResponseHead, end: boolean): void {
    this.#start = responseText(head.status, head.headers);
    if (end) this.onEnd(null);
  }
  onData(chunk: Buffer): void {
    this.#body += chunk.toString('latin1');
    this.stream?.consume(chunk.length);
  }
  onEnd(trailers: Headers | null): void {
    this.sees.push(messageText(this.#start, this.#body, trailers));
    this.done = true;
  }
  onReset(): void {
    this.done = true;
  }
  onDrain(): void {}
}

test('a client: its owner sees what is complete, and what is wrong is no response', async (context) => {
  for (const vector of responseVectors) {
    const { method, upgrade, ends } = vector;
    const [near, far] = await socketPair(context);
    const faults: Http1Fault[] = [];
    const connection = connectHttp1(near, { ...options, onFault: (fault) => faults.push(fault) });
    const connect = method === 'CONNECT';
    const head: RequestHead = {
      method,
      upgrade,
      scheme: '',
      authority: connect ? 'a:80' : 'a',
      path: connect ? '' : '/',
      headers: [],
      version: 11,
    };
    const response = new Response();
    response.stream = connection.request(head, true, response);
    far.resume();
    far.end(Buffer.from(vector.bytes, 'latin1'));
    await eventually(title(vector), () => response.done, { intervalMs: 1 });
    assert.deepEqual(response.sees, vector.sees, title(vector));
    assert.deepEqual(faults, isFault(ends) ? [ends] : [], title(vector));
    connection.destroy();
    far.destroy();
  }
});
