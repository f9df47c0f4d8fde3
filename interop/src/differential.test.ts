/**
 * Request smuggling needs two that count the requests in the same bytes differently. Every HTTP/1 vector goes through our
 * forwarding path to servers that others wrote; none of them may see another number of requests than we do.
 * `npm run differential` asks all servers, sends the sweeps of bytes too, and writes docs/differential.md.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { requestVectors } from '@mesh/http1/vectors/all';
import type { Vector } from '@mesh/http1/vectors/vector';
import { listen } from '@mesh/testkit/servers';
import { judgeProtocol } from '@mesh/transport/detect';
import { Desync, forwarder, mesh, type Way } from './testing/desync.ts';
import { differentialReport, type Verdicts } from './testing/differential-report.ts';
import {
  type ForeignServer,
  foreignServers,
  isInstalled,
  startForeignServer,
  versionOf,
} from './testing/foreign-servers.ts';

/** Where the report goes; the long form. */
const reportFile = process.env['DIFFERENTIAL_REPORT'];
const long = reportFile !== undefined;
const sweeps = requestVectors.filter(({ subject }) => subject.endsWith(' byte'));
const vectors = long ? requestVectors : requestVectors.filter((vector) => !sweeps.includes(vector));
const servers = foreignServers.filter(({ name }) => long || name === 'nginx' || name === 'haproxy');

async function disagreements(
  test: TestContext,
  server: ForeignServer,
  between: (test: TestContext, target: number) => Promise<Way>,
  sent: readonly Vector[],
): Promise<string[]> {
  const serve = (context: TestContext, origin: number): Promise<number> =>
    startForeignServer(context, server, origin);
  const desync = await Desync.start(test, serve, between);
  const found: string[] = [];
  for (const vector of sent) {
    const wrong = await desync.through(vector);
    if (wrong !== undefined) found.push(`${vector.subject}, ${vector.name}: ${wrong}`);
  }
  const late = await desync.finish();
  return late === undefined ? found : [...found, late];
}

function skipWithout(server: ForeignServer): { skip: string | false } {
  return {
    skip: isInstalled(server) ? false : `${server.name} is not installed: apt-get install ${server.package}`,
  };
}

for (const server of servers) {
  test(`${server.name} and our forwarder count the same requests`, skipWithout(server), async (context) => {
    assert.deepEqual(await disagreements(context, server, forwarder, vectors), []);
  });
}

for (const server of servers.slice(0, long ? undefined : 1)) {
  test(
    `${server.name} behind two sidecars and a gateway counts the same requests`,
    skipWithout(server),
    async (context) => {
      // The rest is carried as bytes that nobody parses, to one application and on one connection of its own.
      const sent = vectors.filter(
        ({ bytes, sees }) =>
          judgeProtocol(Buffer.from(bytes, 'latin1')) === 'http1' && (long || sees.length > 0),
      );
      assert.ok(sent.length > 300, `${sent.length} of ${vectors.length}`);
      assert.deepEqual(await disagreements(context, server, mesh, sent), []);
    },
  );
}

/** Answers at each empty line, whatever length and coding say: the classic CL.0. */
function ignoreBodies(test: TestContext): Promise<number> {
  return listen(test, (socket) => {
    let rest = '';
    socket.on('data', (chunk: Buffer) => {
      rest += chunk.toString('latin1');
      for (let end = rest.indexOf('\r\n\r\n'); end !== -1; end = rest.indexOf('\r\n\r\n')) {
        const status = rest.startsWith('hello') ? '400 Bad Request' : '200 OK';
        rest = rest.slice(end + 4);
        socket.write(`HTTP/1.1 ${status}\r\ncontent-length: 3\r\n\r\nok\n`);
      }
    });
  }).then(({ port }) => port);
}

function named(subject: string, name: string): Vector {
  const vector = requestVectors.find((each) => each.subject === subject && each.name === name);
  assert.ok(vector, `${subject}, ${name}`);
  return vector;
}

test('a server that sees two requests in one is found out', async (context) => {
  const desync = await Desync.start(context, ignoreBodies, forwarder);
  assert.equal(await desync.through(named('method', 'GET')), undefined);
  assert.equal(await desync.finish(), undefined);
  const swallowed = await desync.through(named('pipelining', 'a GET swallowed by a length'));
  assert.match(
    swallowed ?? '',
    /more requests than we forwarded: we forwarded 1, then one more; it answered 3/,
  );
  assert.equal(await desync.finish(), '5 answers to 4 requests');
});

test('a server that takes the body for the start of the next request is found out by that request', async (context) => {
  const desync = await Desync.start(context, ignoreBodies, forwarder);
  assert.match((await desync.through(named('content-length', '5'))) ?? '', /the next request was answered/);
});

if (reportFile !== undefined) {
  test('what the servers make of the same bytes when they are sent to them', async (context) => {
    const verdicts: Verdicts = new Map();
    for (const server of servers) {
      const serve = (inner: TestContext, origin: number): Promise<number> =>
        startForeignServer(inner, server, origin);
      const desync = await Desync.start(context, serve, forwarder);
      const answers = new Map<Vector, string>();
      const waiting = [...vectors];
      const worker = async (): Promise<void> => {
        for (let vector = waiting.pop(); vector !== undefined; vector = waiting.pop()) {
          answers.set(vector, await desync.direct(vector));
        }
      };
      await Promise.all(Array.from({ length: 16 }, worker));
      verdicts.set(`${server.name} ${versionOf(server)}`, answers);
    }
    writeFileSync(reportFile, differentialReport(vectors, verdicts));
  });
}
