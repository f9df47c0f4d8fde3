/**
 * Whatever a client claims about who it is, the application sees what the certificates proved, and nothing else; somebody else is
 * served all the while.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { listening } from '@mesh/testkit/servers';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import {
  ask,
  asApplication,
  asNeighbour,
  asPeer,
  asStranger,
  type Entry,
  exchange,
  frontend,
  http2Session,
  neighbour,
} from './testing/raw-client.ts';
import { forged, spoofs } from './testing/mesh-attacks.ts';
import { startTwoClusters } from './testing/two-clusters.ts';
import { victimOf, victimPath } from './testing/victim-request.ts';
import { startHttp2Witness, startWitness, type Witness } from './testing/witness.ts';

/** Fields that only proxies may set, however they are spelled. */
function ofProxies({ seen }: Witness): [name: string, value: string][] {
  const [request] = seen;
  assert.ok(request !== undefined && seen.length === 1);
  return request.fields
    .filter(([name]) => /^l5d[-_]/i.test(name))
    .map(([name, value]) => [name.toLowerCase(), value]);
}

const entries: readonly (readonly [who: string, entry: Entry, proven: string | undefined])[] = [
  ['an application, through its own sidecar', asApplication, frontend],
  ['a workload of a linked cluster, at the gateway', asPeer, frontend],
  ["a workload of the same cluster, at the server's sidecar", asNeighbour, neighbour],
  ["a pod without a sidecar, at the server's", asStranger, undefined],
];

test('forged fields of HTTP/1 reach nobody, at any hop', async (t) => {
  const witness = await startWitness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  const request = victimOf(t, path);
  await request();
  for (const [who, entry, proven] of entries) {
    const expected = proven === undefined ? [] : [['l5d-client-id', proven]];
    const attack = async (): Promise<void> => {
      for (const [what, lines, refused] of spoofs) {
        witness.seen.length = 0;
        const text = `GET /x HTTP/1.1\r\nhost: cart.shop.svc.cluster.local:80\r\n${lines}\r\nconnection: close\r\n\r\n`;
        const answer = await exchange(await entry(path), text);
        if (refused === 'refused') {
          assert.match(answer, /^HTTP\/1\.1 400 /, what);
          assert.deepEqual(witness.seen, [], what);
        } else {
          assert.match(answer, /^HTTP\/1\.1 200 /, what);
          assert.deepEqual(ofProxies(witness), expected, what);
        }
      }
    };
    await t.test(who, async () => assertUnharmed(await besideVictim(request, attack)));
    await t.test(`${who}, in trailers`, async () => {
      witness.seen.length = 0;
      const head =
        'POST /x HTTP/1.1\r\nhost: cart.shop.svc.cluster.local:80\r\nconnection: close\r\ntransfer-encoding: chunked';
      const trailers = `l5d-client-id: ${forged}\r\nL5D_Client_Id: ${forged}\r\nx-sum: 1`;
      const text = `${head}\r\ntrailer: l5d-client-id, x-sum\r\n\r\n1\r\nx\r\n0\r\n${trailers}\r\n\r\n`;
      assert.match(await exchange(await entry(path), text), /^HTTP\/1\.1 200 /);
      assert.deepEqual(ofProxies(witness), expected);
    });
  }
});

test('forged fields of HTTP/2 reach nobody, head or trailers', async (t) => {
  const witness = await startHttp2Witness(t);
  const path = await startTwoClusters(t, { app: witness.port });
  for (const [to, proven] of [
    ['gateway', frontend],
    ['server', neighbour],
  ] as const) {
    const [session, victim] = [await http2Session(t, path, to), await http2Session(t, path, to)];
    const attack = async (): Promise<void> => {
      for (const name of [
        'l5d-client-id',
        'l5d_client_id',
        'l5d-client_id',
        'l5d-cluster-path',
        'l5d-anything',
      ]) {
        for (const trailers of [undefined, { [name]: forged, 'x-sum': '1' }]) {
          witness.seen.length = 0;
          const head = trailers === undefined ? { [name]: [forged, forged] } : {};
          assert.equal((await ask(session, head, trailers)).status, 200);
          assert.deepEqual(ofProxies(witness), [['l5d-client-id', proven]], `${name} at the ${to}`);
        }
      }
    };
    const request = async (): Promise<void> => {
      assert.equal((await ask(victim, { ':path': victimPath })).status, 200);
    };
    assertUnharmed(await besideVictim(request, attack));
  }
});

test('an application cannot speak as a proxy either: not in heads, 103s or trailers', async (t) => {
  const server = createServer((_, response) => {
    response.writeEarlyHints({ link: '</a.css>; rel=preload', 'l5d-proxy-error': 'early' });
    response.writeHead(200, {
      'l5d-proxy-error': 'forged',
      'l5d-orig-proto': 'HTTP/1.0',
      l5d_x: 'y',
      trailer: 'l5d-x',
    });
    response.addTrailers({ 'l5d-proxy-error': 'late', 'x-sum': '1' });
    response.end('body');
  });
  const path = await startTwoClusters(t, { app: await listening(t, server) });
  const text = 'GET /x HTTP/1.1\r\nhost: cart\r\nte: trailers\r\nconnection: close, te\r\n\r\n';
  const answer = await exchange(await asApplication(path), text);
  assert.match(answer, /^HTTP\/1\.1 103 [^]*HTTP\/1\.1 200 [^]*body/);
  assert.doesNotMatch(answer, /^l5d[-_]/im);
});
