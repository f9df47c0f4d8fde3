/**
 * `npm run h2spec`: the h2spec binary that H2SPEC names, strict, against our server codec in the clear, behind TLS, and
 * against the port of a sidecar that demands client certificates, through a small TLS client. With H2SPECD its sibling
 * tests our client. Neither is a dependency of the repository: the same cases, written from the RFCs, run in `npm test`.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { issueCredentials } from '@mesh/ca/credentials';
import { systemClock } from '@mesh/clock/system';
import { http2Limits } from '@mesh/http2/limits';
import { serveHttp2 } from '@mesh/http2/server';
import { EchoListener } from '@mesh/http2/testing/exchange';
import { LimitLedger } from '@mesh/limits/limits';
import { credentialsOf, issuerOf, newAnchor, startCluster, startProxy } from '@mesh/proxy/testing/mesh';
import { dialTls } from '@mesh/trust/dial';
import { identityName } from '@mesh/trust/names';
import { listening } from '@mesh/testkit/servers';

const clock = systemClock;
const limits = new LimitLedger(http2Limits);
const h2spec = process.env['H2SPEC'] ?? '';
const h2specd = process.env['H2SPECD'] ?? '';

/** Tests that the binary lists for servers. Its documentation, and so our own rewriting, speaks of 147. */
const serverTests = 146;

const howToGet = `H2SPEC names no binary. It must be h2spec (https://github.com/summerwind/h2spec), for example:
  GOBIN=/tmp/h2spec go install github.com/summerwind/h2spec/cmd/h2spec@latest
  GOBIN=/tmp/h2spec go install github.com/summerwind/h2spec/cmd/h2specd@latest
  H2SPEC=/tmp/h2spec/h2spec H2SPECD=/tmp/h2spec/h2specd npm run h2spec
The cases themselves, written anew from the RFCs, are part of npm test.
`;

interface Outcome {
  line: string;
  output: string;
}

/** Runs a binary of h2spec and finds its last line, which counts. */
async function runSuite(binary: string, options: readonly string[]): Promise<Outcome> {
  const child = spawn(binary, options, { stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', () => resolve());
  });
  const output = Buffer.concat(chunks).toString('utf8');
  return { line: /^\d+ tests, .*$/m.exec(output)?.[0] ?? '', output };
}

async function judge(
  t: TestContext,
  binary: string,
  options: readonly string[],
  least: number,
): Promise<void> {
  const { line, output } = await runSuite(binary, ['-S', ...options]);
  t.diagnostic(line);
  const [, total = '0', skipped, failed] =
    /^(\d+) tests, \d+ passed, (\d+) skipped, (\d+) failed$/.exec(line) ?? [];
  assert.ok(Number(total) >= least && skipped === '0' && failed === '0', output);
}

/** A path whose answer is long enough for the cases about windows. */
const target = (port: number): string[] => ['-h', '127.0.0.1', '-p', String(port), '-P', '/big/1000'];

if (h2spec === '') {
  process.stderr.write(howToGet);
  process.exit(2);
}

test('server codec, in the clear', async (t) => {
  const server = createServer((socket) => void serveHttp2(socket, new EchoListener(), { clock, limits }));
  await judge(t, h2spec, target(await listening(t, server)), serverTests);
});

test('server codec behind TLS', async (t) => {
  const trust = newAnchor();
  const identity = identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'east' });
  const { key, chainPem } = issueCredentials({
    issuer: issuerOf(trust, 'east'),
    anchorsPem: trust.anchor.certificatePem,
    identity,
    clock,
  });
  const server = createTlsServer(
    {
      key: key.export({ type: 'pkcs8', format: 'pem' }),
      cert: chainPem,
      ALPNProtocols: ['h2'],
    },
    (socket) => void serveHttp2(socket, new EchoListener(), { clock, limits }),
  );
  await judge(t, h2spec, [...target(await listening(t, server)), '-t', '-k'], serverTests);
});

test('a sidecar, through a TLS client with a certificate', async (t) => {
  const trust = newAnchor();
  const cluster = await startCluster(t, 'east', trust);
  const application = createHttp2Server();
  application.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    stream.end(Buffer.alloc(1000, 'x'));
  });
  const sidecar = await startProxy(t, cluster, { app: await listening(t, application) });
  const caller = identityName({ serviceAccount: 'caller', namespace: 'shop', cluster: 'east' });
  const credentials = credentialsOf(trust, caller, 'east');
  const shim = createServer({ allowHalfOpen: true }, (plain) => {
    plain.on('error', () => {});
    dialTls({
      host: '127.0.0.1',
      port: sidecar.ports.inbound,
      identity: sidecar.identity,
      alpn: [],
      credentials,
      clock,
      timeoutMs: 5000,
    }).then(
      (secure) => {
        secure.on('error', () => plain.destroy());
        plain.on('close', () => secure.destroy());
        secure.on('close', () => plain.destroy());
        plain.pipe(secure).pipe(plain);
      },
      () => plain.destroy(),
    );
  });
  await judge(t, h2spec, target(await listening(t, shim)), serverTests);
});

test('client codec', { skip: h2specd === '' ? 'H2SPECD names no binary' : false }, async (t) => {
  const client = `${process.execPath} ${new URL('./h2spec-client-main.ts', import.meta.url).pathname}`;
  await judge(t, h2specd, ['-e', client, '-f', '30400', '-o', '5'], 57);
});
