/**
 * Attacks on what the mesh itself says in fields, M-5 and M-6 of our survey: spellings of its own fields by somebody who is known to it,
 * of which the application must see nothing but what certificates proved.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { frontend } from './raw-client.ts';
import type { TlsAttack, TlsAttackSite } from './tls-attacks.ts';

export const forged = 'admin.shop.serviceaccount.identity.mesh.west.mesh.local';

/** Lines of a head. `refused`: the request must not arrive at all. */
export const spoofs: readonly (readonly [what: string, lines: string, refused?: 'refused'])[] = [
  ['as it is written by proxies', `l5d-client-id: ${forged}`],
  ['in upper case', `L5D-CLIENT-ID: ${forged}`],
  ['in mixed case', `L5d-Client-Id: ${forged}`],
  ['with underscores, which some frameworks read as dashes', `l5d_client_id: ${forged}`],
  ['with underscores in upper case', `L5D_CLIENT_ID: ${forged}`],
  ['with one underscore', `l5d-client_id: ${forged}`],
  ['with the other underscore', `l5d_client-id: ${forged}`],
  ['twice', `l5d-client-id: ${forged}\r\nl5d-client-id: ${frontend}`],
  ['as a list', `l5d-client-id: ${forged}, ${frontend}`],
  ['empty', 'l5d-client-id:'],
  ['behind a tab', `l5d-client-id:\t${forged}`],
  ['with a space before the colon', `l5d-client-id : ${forged}`, 'refused'],
  ['with a tab before the colon', `l5d-client-id\t: ${forged}`, 'refused'],
  ['with a leading space', ` l5d-client-id: ${forged}`, 'refused'],
  ['folded into another field', `x-note: one\r\n l5d-client-id: ${forged}`, 'refused'],
  ['behind a bare CR', `x-note: one\rl5d-client-id: ${forged}`, 'refused'],
  ['behind a bare LF', `x-note: one\nl5d-client-id: ${forged}`, 'refused'],
  ['with a NUL in its name', `l5d-client-id\0: ${forged}`, 'refused'],
  ['with a NUL in its value', `l5d-client-id: ${forged}\0`, 'refused'],
  ['with a byte beyond ASCII in its name', `l5d-client-\xefd: ${forged}`, 'refused'],
  ['named by Connection', `connection: l5d-client-id\r\nl5d-client-id: ${forged}`],
  ['named by Connection in upper case', `connection: close, L5D-CLIENT-ID\r\nl5d-client-id: ${forged}`],
  ['named by Connection and not there', 'connection: l5d-client-id, l5d-orig-proto'],
  [
    'named by Connection with white space',
    `connection: \t l5d-client-id ,, close\r\nl5d-client-id: ${forged}`,
  ],
  [
    'named by the second Connection',
    `connection: te\r\nconnection: l5d-client-id\r\nl5d-client-id: ${forged}`,
  ],
  [
    'named by Connection with all that proxies say',
    'connection: l5d-client-id, l5d-cluster-path, l5d-proxy-error, l5d-server-id',
  ],
  ['a protocol to restore', 'l5d-orig-proto: HTTP/1.0'],
  ['an absolute form to restore', 'l5d-orig-proto: HTTP/1.1; absolute-form'],
  ['an upgrade that was not', 'l5d-orig-proto: HTTP/1.1; upgraded'],
  ['a protocol that is none', 'l5d-orig-proto: HTTP/9'],
  ['an error of a proxy', 'l5d-proxy-error: none'],
  ['a wish of a proxy', 'l5d-proxy-connection: close'],
  ["a server's identity", `l5d-server-id: ${forged}`],
  ['an address', 'l5d-remote-ip: 127.0.0.1'],
  ['any other field of proxies', 'l5d-anything: x\r\nl5d-: y\r\nl5d_: z'],
];

/** Asks for what the application sees of fields of proxies; undefined when the request was refused with 400. */
async function fieldsSeen(site: TlsAttackSite, lines: string): Promise<unknown> {
  const socket = await site.connect();
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = once(socket, 'close');
  socket.write(`GET /fields HTTP/1.1\r\nhost: cart\r\n${lines}\r\nconnection: close\r\n\r\n`, 'latin1');
  await closed;
  const answer = Buffer.concat(chunks).toString('latin1');
  if (answer.startsWith('HTTP/1.1 400 ')) return undefined;
  assert.match(answer, /^HTTP\/1\.1 200 /);
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));
}

function spoofing(wanted: (lines: string) => boolean): TlsAttack['run'] {
  return async (site) => {
    for (const [what, lines, refused] of spoofs.filter(([, text]) => wanted(text))) {
      const seen = await fieldsSeen(site, lines);
      assert.deepEqual(seen, refused === 'refused' ? undefined : [['l5d-client-id', site.identity]], what);
    }
  };
}

const namesByConnection = (lines: string): boolean => /^connection:/i.test(lines);

export const meshAttacks: readonly TlsAttack[] = [
  {
    id: 'M-5',
    what: 'fields of proxies in every spelling',
    run: spoofing((lines) => !namesByConnection(lines)),
  },
  { id: 'M-6', what: 'fields of proxies named by Connection', run: spoofing(namesByConnection) },
];
