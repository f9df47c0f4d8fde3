/** What a sidecar that was restarted knows while the control plane is away, and what it makes of better news. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, type NoParamCallback, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { create, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { tcpAddress } from '@mesh/control-api/convert';
import { Destination, type Update, UpdateSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import { Gateway, GatewayTableSchema } from '@mesh/control-api/gen/mesh/gateway/v1/gateway_pb';
import { grpcCode } from '@mesh/control-api/status';
import { LimitLedger } from '@mesh/limits/limits';
import { createLogger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { CredentialStore } from '@mesh/trust/credentials';
import {
  credentialsOf,
  forgeAnchor,
  forgeIssuer,
  forgeLeaf,
  generalName,
  identityOf,
} from '@mesh/trust/forgery';
import type { ControlStreams, KeptStreamHandler } from './control-channel.ts';
import { type FileCalls, fileCalls } from './last-good-file.ts';
import { LastGoodMemory } from './last-good-streams.ts';
import { type DataplaneLimit, dataplaneLimits } from './limits.ts';

const hour = 3_600_000;
const waitMs = 1000;

/** A channel whose control plane says what the test says. */
class Channel implements ControlStreams {
  readonly handlers: KeptStreamHandler<typeof UpdateSchema>[] = [];

  keep(_method: unknown, _input: unknown, handler: unknown) {
    this.handlers.push(handler as KeptStreamHandler<typeof UpdateSchema>);
    return { cancel: () => {} };
  }
}

/** A client: what it was told, in words. */
class Follower implements KeptStreamHandler<typeof UpdateSchema> {
  readonly told: string[] = [];

  onMessage({ update }: MessageShape<typeof UpdateSchema>, first: boolean): void {
    const ports = update.case === 'add' ? update.value.addrs.map(({ addr }) => addr?.port).join(' ') : '';
    this.told.push(`${first ? 'first ' : ''}${update.case} ${ports}`.trim());
  }

  onRejected(): void {
    this.told.push('rejected');
  }

  onInterrupted(agoMs = 0): void {
    this.told.push(`${agoMs / 1000} s old`);
  }
}

const add = (...ports: number[]): Update =>
  create(UpdateSchema, {
    update: {
      case: 'add',
      value: { addrs: ports.map((port) => ({ ...withAddress(port), weight: 1 })) },
    },
  });

function withAddress(port: number) {
  const addr = tcpAddress('10.0.0.1', port);
  return addr === undefined ? {} : { addr };
}

const anchor = forgeAnchor();
const issuer = forgeIssuer(anchor, 'east');
const leaf = forgeLeaf(issuer, [generalName.dns(identityOf('cart', 'east'))]);
const certificate = credentialsOf(leaf, [issuer], [anchor]);

interface LifeOptions {
  /** False: no certificate yet. */
  readonly certified?: boolean;
  /** An earlier word is gone by while an answer is waited for. */
  readonly meanwhile?: boolean;
  /** Of the sidecar: false: it has no file. */
  readonly remembers?: boolean;
  readonly owner?: string;
  readonly files?: FileCalls;
  readonly limits?: Partial<Record<DataplaneLimit, number>>;
}

/** A pod: its directory and the lives of its sidecar, one after the other. */
function pod(test: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-last-good-'));
  test.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'last-good');
  const clock = new FakeClock();
  const life = async ({
    remembers = true,
    certified = true,
    meanwhile = false,
    owner = 'cart-1',
    files = fileCalls,
    limits: overrides = {},
  }: LifeOptions = {}) => {
    const registry = new MetricRegistry();
    const lines: string[] = [];
    const limits = new LimitLedger<DataplaneLimit>(dataplaneLimits, overrides);
    const log = createLogger({ clock, level: 'info', write: (line) => lines.push(line) });
    const file = remembers ? path : undefined;
    const maxAgeMs = 24 * hour;
    const memory = new LastGoodMemory({ clock, log, registry, limits, path: file, owner, maxAgeMs, files });
    memory.load();
    const channel = new Channel();
    const credentials = new CredentialStore(certified ? certificate : undefined);
    const streams = memory.over(channel, { credentials, meanwhile });
    const follow = (authority: string) => {
      const follower = new Follower();
      const running = streams.keep(Destination.method.get, { path: authority }, follower);
      const server = channel.handlers.at(-1);
      assert.ok(server !== undefined);
      return { told: follower.told, server, running };
    };
    return { memory, credentials, streams, channel, follow, registry, limits, log: lines };
  };
  return { clock, path, life };
}

/** A pod whose sidecar learned of two endpoints of `cart:80` and died `agoMs` ago. */
async function restarted(test: TestContext, agoMs = 0) {
  const { clock, path, life } = pod(test);
  const before = await life();
  const { server } = before.follow('cart:80');
  server.onMessage(add(1), true);
  server.onMessage(add(2), false);
  await before.memory.close();
  clock.advance(agoMs);
  return { clock, path, life };
}

void test('while the control plane does not answer, what it said before the restart holds, as old as it is', async (t) => {
  const { clock, life } = await restarted(t, hour);
  const { memory, follow, registry, limits, log } = await life();
  assert.equal(memory.restored, true);
  assert.match(log.join(''), /"msg":"last-good snapshot read","streams":1,"ageS":3600/);
  const { told, server } = follow('cart:80');
  clock.advance(waitMs - 1);
  assert.deepEqual(told, [], 'an answer is waited for first');
  clock.advance(1);
  assert.deepEqual(told, ['first add 1 2', '3601 s old']);
  assert.equal(limits.hits('last_good_wait_ms'), 1);
  assert.match(registry.render(), /^mesh_last_good_streams 1$/m);
  assert.match(registry.render(), /^mesh_last_good_reads_total\{result="used"\} 1$/m);
  server.onInterrupted?.();
  assert.deepEqual(told.slice(2), ['0 s old'], 'once is enough');
  server.onMessage(add(3), true);
  assert.deepEqual(told.slice(3), ['first add 3'], 'the first word replaces it');
  assert.match(registry.render(), /^mesh_last_good_streams 0$/m);
});

void test('an answer is waited for from when it can be asked for', async (t) => {
  const { clock, life } = await restarted(t);
  const { credentials, follow, limits } = await life({ certified: false });
  const [cancelled, waiting] = [follow('cart:80'), follow('cart:80')];
  clock.advance(10 * waitMs);
  cancelled.running.cancel();
  credentials.update(certificate);
  clock.advance(waitMs - 1);
  assert.deepEqual(waiting.told, []);
  assert.equal(limits.hits('last_good_wait_ms'), 0);
  clock.advance(1);
  assert.deepEqual(waiting.told, ['first add 1 2', '11 s old']);
  assert.deepEqual(cancelled.told, []);
  assert.equal(limits.hits('last_good_wait_ms'), 1);
});

void test('what is gone by meanwhile is no complaint until the answer is late', async (t) => {
  const { clock, life } = await restarted(t);
  const { memory, credentials, follow, log, registry } = await life({ certified: false, meanwhile: true });
  const streams = [follow('cart:80'), follow('cart:80')];
  const quiet = () => {
    assert.equal(memory.note, '');
    assert.match(registry.render(), /^mesh_last_good_streams 0$/m);
    assert.doesNotMatch(log.join(''), /the control plane/);
  };
  clock.advance(10 * waitMs);
  for (const { told } of streams) assert.deepEqual(told, ['first add 1 2', '0 s old']);
  quiet();
  credentials.update(certificate);
  clock.advance(waitMs - 1);
  quiet();
  const [answered] = streams;
  answered?.server.onMessage(add(3), true);
  assert.deepEqual(answered?.told.slice(2), ['first add 3']);
  quiet();
  clock.advance(1);
  assert.match(log.join(''), /"level":"warn".*does not answer: going by the last-good snapshot","ageS":11/);
});

void test('one that is gone by because a stream failed is not counted as waited for', async (t) => {
  const { clock, life } = await restarted(t);
  const { follow, limits } = await life();
  const { server } = follow('cart:80');
  server.onInterrupted?.();
  clock.advance(10 * waitMs);
  assert.equal(limits.hits('last_good_wait_ms'), 0);
});

void test('what a stream ended with is told with it, and forgotten once it speaks', async (t) => {
  const { life } = await restarted(t);
  const { memory, follow, log } = await life();
  const { server } = follow('cart:80');
  server.onInterrupted?.(0, { code: grpcCode.unavailable, message: 'cannot connect' });
  assert.match(
    log.join(''),
    /does not answer: going by the last-good snapshot".*"detail":"unavailable: cannot connect"/,
  );
  server.onInterrupted?.(0, { code: grpcCode.permissionDenied, message: 'not this pod' });
  assert.match(memory.note, /up to 0 s ago \(permissionDenied: not this pod\)$/);
  server.onMessage(add(3), true);
  assert.equal(memory.note, '');
  server.onInterrupted?.();
  assert.equal(memory.note, '', 'what it said in this life holds');
});

void test('that it goes by what was said before is told once, with its age, and when that ends', async (t) => {
  const { clock, life } = await restarted(t, hour);
  const { memory, follow, log } = await life();
  const streams = [follow('cart:80'), follow('cart:80')];
  assert.equal(memory.note, '');
  clock.advance(waitMs);
  assert.equal(
    memory.note,
    'the control plane does not answer: 1 of its streams go by what it said up to 3601 s ago',
  );
  for (const { server } of streams) server.onMessage(add(3), true);
  assert.equal(memory.note, '');
  const told = log.filter((line) => line.includes('the control plane'));
  assert.equal(told.length, 2, told.join(''));
  assert.match(
    told[0] ?? '',
    /"level":"warn".*does not answer: going by the last-good snapshot","ageS":3601/,
  );
  assert.match(told[1] ?? '', /answers: the last-good snapshot is no longer gone by/);
});

const table = (name: string) => create(GatewayTableSchema, { exports: [{ namespace: 'shop', name }] });

/** Asks for the table of a gateway. */
function watchTable({ streams, channel }: { streams: ControlStreams; channel: Channel }) {
  streams.keep(Gateway.method.watch, { instance: 'a' }, { onMessage() {}, onRejected() {} });
  return channel.handlers.at(-1) as unknown as KeptStreamHandler<typeof GatewayTableSchema>;
}

void test('who may do what is written down at once: what was taken away does not come back', async (t) => {
  const { path, life } = pod(t);
  const now = await life();
  const { registry } = now;
  const server = watchTable(now);
  const exported = (name: string) =>
    Buffer.from(toBinary(GatewayTableSchema, table(name))).toString('base64');
  server.onMessage(table('cart'), true);
  // While that is being written.
  server.onMessage(table('ledger'), false);
  server.onMessage(table('orders'), false);
  await eventually('the last one is written', () => readFileSync(path, 'utf8').includes(exported('orders')));
  // It has its name before that is on the disk, and counts then.
  const writes = () =>
    /^mesh_last_good_writes_total\{result="success"\} (\d+)$/m.exec(registry.render())?.[1];
  await eventually('it counts', () => writes() !== '1');
  assert.equal(writes(), '2', 'one at a time');
});

void test('who may do what is flushed to the disk, also by the write after one that failed; endpoints are not', async (t) => {
  const { clock, path, life } = pod(t);
  const results: string[] = [];
  const fsync = (file: number, settle: NoParamCallback) => {
    // The first one fails.
    results.push(results.length === 0 ? 'failed' : 'flushed');
    if (results.length === 1) settle(new Error('I/O error'));
    else fileCalls.fsync(file, settle);
  };
  const files: FileCalls = { ...fileCalls, fsync: Object.assign(fsync, fileCalls.fsync) };
  const now = await life({ files });
  now.follow('cart:80').server.onMessage(add(1), true);
  clock.advance(5000);
  await eventually('endpoints are written', () => existsSync(path));
  assert.deepEqual(results, []);
  watchTable(now).onMessage(table('cart'), true);
  const tried = (result: string) => () =>
    new RegExp(`writes_total\\{result="${result}"\\} 1$`, 'm').test(now.registry.render());
  await eventually('a write failed', tried('failure'));
  clock.advance(5000);
  await eventually('the table is written', () => readFileSync(path, 'utf8').includes('Gateway/Watch'));
  await eventually('file and directory are flushed', () => results.length === 3);
});

void test('what is said again after a reconnect or a restart is not written again', async (t) => {
  const { clock, life } = pod(t);
  const now = await life();
  const server = watchTable(now);
  const written = async ({ registry }: Pick<typeof now, 'registry'>) => {
    clock.advance(5000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    return Number(/writes_total\{result="success"\} (\d+)$/m.exec(registry.render())?.[1] ?? 0);
  };
  server.onMessage(table('cart'), true);
  await eventually('it is written', async () => (await written(now)) === 1);
  server.onInterrupted?.();
  server.onMessage(table('cart'), true);
  assert.equal(await written(now), 1);
  const next = await life();
  const again = watchTable(next);
  again.onMessage(table('cart'), true);
  assert.equal(await written(next), 0);
  again.onInterrupted?.();
  again.onMessage(table('ledger'), true);
  await eventually('the news is written', async () => (await written(next)) === 1);
});

void test('what was withdrawn does not come back where what replaced it does not fit, or nothing did', async (t) => {
  const { path, life } = pod(t);
  const written = () => readFileSync(path, 'utf8');
  for (const [replace, hits] of [
    [(server) => server.onMessage(table('x'.repeat(200)), false), 1],
    [(server) => server.onRejected({ code: grpcCode.invalidArgument, message: 'no such gateway' }), 0],
  ] as readonly [(server: KeptStreamHandler<typeof GatewayTableSchema>) => void, number][]) {
    const now = await life({ limits: { last_good_bytes: 200 } });
    const server = watchTable(now);
    server.onMessage(table('cart'), true);
    await eventually('it is written', () => written().includes('Gateway/Watch'));
    replace(server);
    await eventually('it is gone', () => !written().includes('Gateway/Watch'));
    assert.equal(now.limits.hits('last_good_bytes'), hits);
    const { memory, registry } = await life();
    assert.equal(memory.restored, false);
    assert.match(registry.render(), /^mesh_last_good_reads_total\{result="absent"\} 1$/m);
  }
});

void test('an answer in time leaves the past alone, and so does a refusal', async (t) => {
  const { clock, life } = await restarted(t);
  const { follow } = await life();
  const answered = follow('cart:80');
  answered.server.onMessage(add(3), true);
  clock.advance(10 * waitMs);
  assert.deepEqual(answered.told, ['first add 3']);
  const again = await life();
  const rejected = again.follow('cart:80');
  rejected.server.onRejected({ code: grpcCode.invalidArgument, message: 'no such service' });
  clock.advance(10 * waitMs);
  assert.deepEqual(rejected.told, ['rejected']);
});

void test('once a stream has failed nothing is waited for', async (t) => {
  const { life } = await restarted(t);
  const { follow } = await life();
  const first = follow('cart:80');
  first.server.onInterrupted?.();
  assert.deepEqual(first.told, ['first add 1 2', '0 s old', '0 s old']);
  first.running.cancel();
  assert.deepEqual(follow('cart:80').told, ['first add 1 2', '0 s old']);
  assert.deepEqual(follow('ledger:80').told, [], 'what nobody knew is not known now');
});

void test('what was idle for a while is known again when the control plane is gone meanwhile', async (t) => {
  const { clock, life } = pod(t);
  const { follow } = await life();
  const idle = follow('cart:80');
  idle.server.onMessage(add(1), true);
  const other = follow('ledger:80');
  other.server.onMessage(add(7), true);
  idle.running.cancel();
  clock.advance(hour);
  other.server.onInterrupted?.();
  assert.deepEqual(follow('cart:80').told, ['first add 1', '3600 s old']);
});

void test('without a file nothing is remembered, for as long as the program runs either', async (t) => {
  const { life } = pod(t);
  const { follow } = await life({ remembers: false });
  const { server, running } = follow('cart:80');
  server.onMessage(add(1), true);
  running.cancel();
  server.onInterrupted?.();
  assert.deepEqual(follow('cart:80').told, []);
});

void test('what was not asked for again outlives a second restart, with its true age', async (t) => {
  const { clock, life } = await restarted(t, hour);
  const second = await life();
  second.follow('ledger:80').server.onMessage(add(7), true);
  await second.memory.close();
  clock.advance(hour);
  const { follow } = await life();
  const [cart, ledger] = [follow('cart:80'), follow('ledger:80')];
  clock.advance(waitMs);
  assert.deepEqual(cart.told, ['first add 1 2', '7201 s old']);
  assert.deepEqual(ledger.told, ['first add 7', '3601 s old']);
});

void test('too old, of another pod or damaged: not used, and told', async (t) => {
  for (const [result, prepare] of [
    ['stale', ({ clock }) => clock.advance(24 * hour)],
    ['damaged', ({ path }) => writeFileSync(path, 'x')],
    ['foreign', () => {}],
    ['absent', ({ path }) => rmSync(path)],
  ] as readonly [string, (pod: { clock: FakeClock; path: string }) => void][]) {
    const { life, ...rest } = await restarted(t, 1);
    prepare(rest);
    const { memory, follow, registry, log } = await life(result === 'foreign' ? { owner: 'cart-2' } : {});
    assert.equal(memory.restored, false, result);
    const { told } = follow('cart:80');
    rest.clock.advance(10 * waitMs);
    assert.deepEqual(told, [], result);
    assert.match(
      registry.render(),
      new RegExp(`^mesh_last_good_reads_total\\{result="${result}"\\} 1$`, 'm'),
    );
    assert.equal(/last-good snapshot ignored/.test(log.join('')), result !== 'absent', result);
  }
});

void test('a stream that grows too old while the program runs is not gone by', async (t) => {
  const { clock, life } = await restarted(t, 23 * hour);
  const { follow } = await life();
  clock.advance(2 * hour);
  const { told } = follow('cart:80');
  clock.advance(10 * waitMs);
  assert.deepEqual(told, []);
});

void test('a file that would be too large leaves streams out, which is counted', async (t) => {
  const { clock, life } = pod(t);
  const before = await life({ limits: { last_good_bytes: 200 } });
  for (const authority of ['cart:80', 'ledger:80']) before.follow(authority).server.onMessage(add(1), true);
  await before.memory.close();
  assert.equal(before.limits.hits('last_good_bytes'), 1);
  const { follow } = await life({ limits: { last_good_bytes: 200 } });
  const [cart, ledger] = [follow('cart:80'), follow('ledger:80')];
  clock.advance(waitMs);
  assert.deepEqual([cart.told.length, ledger.told.length], [2, 0]);
});

void test('who may do what has precedence in a file that is full', async (t) => {
  const { path, life } = pod(t);
  const now = await life({ limits: { last_good_bytes: 200 } });
  now.follow('cart:80').server.onMessage(add(1), true);
  watchTable(now).onMessage(table('cart'), true);
  await now.memory.close();
  const text = readFileSync(path, 'utf8');
  assert.match(text, /Gateway\/Watch/);
  assert.doesNotMatch(text, /Destination\/Get/);
  assert.ok(now.limits.hits('last_good_bytes') > 0);
});

void test('changes are written within seconds, and what holds on is confirmed each minute, but not while nobody answers', async (t) => {
  const { clock, life } = pod(t);
  const { follow, registry } = await life();
  const { server } = follow('cart:80');
  const written = () =>
    Number(/^mesh_last_good_writes_total\{result="success"\} (\d+)$/m.exec(registry.render())?.[1] ?? 0);
  clock.advance(5000);
  assert.equal(written(), 0, 'nothing is known yet');
  server.onMessage(add(1), true);
  clock.advance(5000);
  await eventually('the change is written', () => written() === 1);
  clock.advance(60_000);
  await eventually('it still holds', () => written() === 2);
  // One that fails time and again is no reason to doubt the others.
  follow('nothing:80').server.onInterrupted?.();
  clock.advance(60_000);
  await eventually('it still holds', () => written() === 3);
  server.onInterrupted?.();
  clock.advance(10 * 60_000);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(written(), 3);
  const { follow: followAgain } = await life();
  const { told } = followAgain('cart:80');
  clock.advance(waitMs);
  assert.deepEqual(told, ['first add 1', '601 s old']);
});

void test('a directory that cannot be written to is told once and counted', async (t) => {
  const { clock, path, life } = pod(t);
  const { follow, registry, log } = await life();
  rmSync(join(path, '..'), { recursive: true });
  follow('cart:80').server.onMessage(add(1), true);
  for (let look = 1; look <= 3; look++) {
    clock.advance(5000);
    await eventually('it was tried', () =>
      new RegExp(`writes_total\\{result="failure"\\} ${look}$`, 'm').test(registry.render()),
    );
  }
  assert.equal(log.filter((line) => line.includes('last-good snapshot not written')).length, 1);
});
