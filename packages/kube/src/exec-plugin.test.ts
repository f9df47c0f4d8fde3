import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { MeshError } from '@mesh/errors/mesh-error';
import { LimitLedger } from '@mesh/limits/limits';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { ExecCredentials, type ExecCredentialsOptions, type ExecPlugin } from './exec-plugin.ts';
import { kubeLimits } from './limits.ts';

const apiVersion = 'client.authentication.k8s.io/v1';

/** A plugin that is a program text for Node. */
function plugin(program: string, overrides: Partial<ExecPlugin> = {}): ExecPlugin {
  return {
    apiVersion,
    command: process.execPath,
    args: ['-e', program],
    env: {},
    interactiveMode: 'IfAvailable',
    installHint: '',
    ...overrides,
  };
}

function credentials(of: ExecPlugin, options: Partial<ExecCredentialsOptions> = {}): ExecCredentials {
  return new ExecCredentials(of, {
    clock: systemClock,
    limits: new LimitLedger(kubeLimits),
    environment: { PATH: process.env['PATH'] },
    interactive: false,
    ...options,
  });
}

const printing = (value: unknown): string =>
  `process.stdout.write(${JSON.stringify(typeof value === 'string' ? value : JSON.stringify(value))})`;
const answer = (status: object): object => ({ apiVersion, kind: 'ExecCredential', status });

/** A plugin that appends a line to a file each time it runs, and prints the status that stands in another. */
function counted(t: TestContext): { plugin: ExecPlugin; runs(): number; answers(status: object): void } {
  const directory = mkdtempSync(join(tmpdir(), 'kube-exec-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const [runs, answers] = [join(directory, 'runs'), join(directory, 'answer')];
  appendFileSync(runs, '');
  const program = `
    const { appendFileSync, readFileSync } = require('node:fs');
    appendFileSync(process.argv[1], 'x');
    process.stdout.write(readFileSync(process.argv[2]));
  `;
  return {
    plugin: plugin(program, { args: ['-e', program, runs, answers] }),
    runs: () => readFileSync(runs, 'utf8').length,
    answers: (status) => writeFileSync(answers, JSON.stringify(answer(status))),
  };
}

test('the plugin learns what it is asked, by environment, and its credential is used', async () => {
  const program = `process.stdout.write(JSON.stringify({
    ...JSON.parse(process.env.KUBERNETES_EXEC_INFO),
    status: { token: process.env.KUBERNETES_EXEC_INFO + process.env.REGION + process.argv[1] },
  }))`;
  const cluster = { server: 'https://127.0.0.1:1' };
  const { token } = await credentials(
    plugin(program, { args: ['-e', program, 'west'], env: { REGION: 'eu-' }, cluster }),
  ).get();
  assert.equal(
    token,
    `${JSON.stringify({ apiVersion, kind: 'ExecCredential', spec: { cluster, interactive: false } })}eu-west`,
  );
});

test('a client certificate is taken with its key', async () => {
  const status = { clientCertificateData: 'CERT', clientKeyData: 'KEY' };
  assert.deepEqual(await credentials(plugin(printing(answer(status)))).get(), {
    clientCert: 'CERT',
    clientKey: 'KEY',
    expires: Number.POSITIVE_INFINITY,
  });
});

test('a credential is kept until it expires or is rejected, and asked for once by all who wait', async (t) => {
  const clock = new FakeClock();
  const { plugin: counting, runs, answers } = counted(t);
  const expirationTimestamp = new Date(clock.wall() + 60_000).toISOString();
  answers({ token: 'first', expirationTimestamp });
  const kept = credentials(counting, { clock });
  const [one, two] = await Promise.all([kept.get(), kept.get()]);
  assert.equal(one, two);
  assert.equal(one.token, 'first');
  clock.advance(59_000);
  await kept.get();
  assert.equal(runs(), 1);
  answers({ token: 'second' });
  clock.advance(1000);
  const second = await kept.get();
  assert.equal(second.token, 'second');
  kept.rejected(one);
  assert.equal(await kept.get(), second, 'an answer to an old credential says nothing of the new one');
  kept.rejected(second);
  await kept.get();
  assert.equal(runs(), 3);
});

const faults: readonly (readonly [string, ExecPlugin, message: RegExp, remedy: RegExp])[] = [
  [
    'is not installed',
    plugin('', { command: 'no-such-login', installHint: 'apt-get install no-such-login' }),
    /credential plugin no-such-login was not found/,
    /^apt-get install no-such-login$/,
  ],
  [
    'fails',
    plugin('console.error("session expired"); process.exit(3)'),
    /ended with exit code 3: session expired$/,
    /Run it by hand: .* -e /,
  ],
  ['prints nothing', plugin(''), /printed nothing/, /KUBERNETES_EXEC_INFO/],
  ['prints no JSON', plugin(printing('hello secret')), /printed no JSON/, /ExecCredential/],
  ['prints another kind', plugin(printing({ kind: 'Pod' })), /kind "Pod", not ExecCredential/, /by hand/],
  [
    'speaks another version',
    plugin(printing({ ...answer({}), apiVersion: 'client.authentication.k8s.io/v1beta1' })),
    /apiVersion "client.authentication.k8s.io\/v1beta1", the kubeconfig says client.authentication.k8s.io\/v1$/,
    /by hand/,
  ],
  ['gives nothing', plugin(printing(answer({}))), /neither a token nor a client certificate/, /by hand/],
  [
    'gives a certificate without key',
    plugin(printing(answer({ clientCertificateData: 'CERT' }))),
    /only one of clientCertificateData and clientKeyData/,
    /by hand/,
  ],
  [
    'gives no time',
    plugin(printing(answer({ token: 'secret', expirationTimestamp: 'soon' }))),
    /expirationTimestamp "soon"/,
    /by hand/,
  ],
  [
    'needs a person',
    plugin('', { interactiveMode: 'Always' }),
    /standard input is no terminal/,
    /interactiveMode: IfAvailable/,
  ],
];

for (const [what, broken, message, remedy] of faults) {
  test(`a plugin that ${what} is an error that says so`, async () => {
    await assert.rejects(credentials(broken).get(), (thrown) => {
      assert.ok(thrown instanceof MeshError);
      assert.equal(thrown.code, 'credential-plugin');
      assert.match(thrown.message, message);
      assert.match(thrown.remedy ?? '', remedy);
      assert.ok(!thrown.message.includes('secret'), 'what it printed is never quoted');
      return true;
    });
  });
}

test('a plugin that hangs or floods is ended', async () => {
  const limits = new LimitLedger(kubeLimits, { kube_plugin_ms: 100, kube_plugin_output_bytes: 1000 });
  await assert.rejects(
    credentials(plugin('setInterval(() => {}, 1000)'), { limits }).get(),
    /did not end within 0.1 s/,
  );
  const flood = new LimitLedger(kubeLimits, { kube_plugin_output_bytes: 1000 });
  await assert.rejects(
    credentials(plugin("setInterval(() => process.stdout.write('x'.repeat(5000)), 1)"), {
      limits: flood,
    }).get(),
    /printed more than 1000 bytes/,
  );
  assert.deepEqual([limits.hits('kube_plugin_ms'), flood.hits('kube_plugin_output_bytes')], [1, 1]);
});
