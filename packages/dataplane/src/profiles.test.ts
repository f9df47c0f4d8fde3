/** What is known about addresses: asked once, forgotten when idle, and never of more than a few at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { DestinationProfileSchema } from '@mesh/control-api/gen/linkerd/destination_pb';
import { grpcCode } from '@mesh/control-api/status';
import { LimitLedger } from '@mesh/limits/limits';
import { FakeClock } from '@mesh/testkit/fake-clock';
import type { ControlStreams, KeptStreamHandler } from './control-channel.ts';
import { dataplaneLimits } from './limits.ts';
import { noProfile, Profiles } from './profiles.ts';

type Handler = KeptStreamHandler<typeof DestinationProfileSchema>;

/** Streams that are open, by the address that they are about. */
class Channel implements ControlStreams {
  readonly open: Map<string, Handler> = new Map();
  asked = 0;

  keep(_method: unknown, input: unknown, handler: unknown): { cancel: () => void } {
    const { path } = input as { path: string };
    this.asked++;
    this.open.set(path, handler as Handler);
    return { cancel: () => this.open.delete(path) };
  }

  say(address: string, fullyQualifiedName: string): void {
    this.open.get(address)?.onMessage(create(DestinationProfileSchema, { fullyQualifiedName }), true);
  }
}

function setup(most = 1000, evictions = 500) {
  const clock = new FakeClock();
  const channel = new Channel();
  const limits = new LimitLedger(dataplaneLimits, {
    discovered_targets: most,
    discovered_target_evictions: evictions,
  });
  const profiles = new Profiles({
    clock,
    channel,
    contextToken: '',
    timeoutMs: 500,
    idleMs: 5000,
    limits,
  });
  /** Service of an address that has an answer. */
  const known = async (address: string): Promise<string> => {
    const profile = profiles.get(address);
    channel.say(address, `service of ${address}`);
    return (await profile).service;
  };
  return { clock, channel, limits, profiles, known };
}

void test('an address is asked about once; what is said later counts for who comes later', async () => {
  const { channel, profiles } = setup();
  const [first, second] = [profiles.get('a'), profiles.get('a')];
  channel.say('a', 'cart');
  assert.deepEqual([(await first).service, (await second).service], ['cart', 'cart']);
  channel.say('a', 'cart-v2');
  assert.equal((profiles.get('a') as { service: string }).service, 'cart-v2');
  assert.equal(channel.asked, 1);
});

void test('an address that is no service, or of which nobody says anything in time, has no profile', async () => {
  const { clock, channel, profiles } = setup();
  const refused = profiles.get('a');
  channel.open.get('a')?.onRejected({ code: grpcCode.invalidArgument, message: 'no service' });
  assert.equal(await refused, noProfile);
  let late: unknown;
  void Promise.resolve(profiles.get('b')).then((profile) => (late = profile));
  await clock.advanceAsync(499);
  assert.equal(late, undefined);
  await clock.advanceAsync(1);
  assert.equal(late, noProfile);
  channel.say('b', 'cart');
  assert.equal((profiles.get('b') as { service: string }).service, 'cart', 'the next one knows it');
});

void test('an address that nobody connects to is forgotten with its stream', async () => {
  const { clock, channel, known } = setup();
  await known('a');
  clock.advance(4999);
  await known('a');
  clock.advance(4999);
  assert.equal(channel.open.size, 1);
  clock.advance(1);
  assert.equal(channel.open.size, 0);
  assert.equal(clock.pending, 0);
});

void test('when there are too many, the one not used for longest makes room, and no service goes unknown', async () => {
  const { channel, limits, profiles, known } = setup(3);
  for (const address of ['cart', 'one', 'two']) await known(address);
  assert.equal(limits.hits('discovered_targets'), 0);
  void profiles.get('cart');
  assert.equal(await known('three'), 'service of three');
  assert.deepEqual([...channel.open.keys()], ['cart', 'two', 'three']);
  assert.equal(limits.hits('discovered_targets'), 1);
  for (let address = 4; address < 100; address++) await known(`${address}`);
  assert.equal(channel.open.size, 3);
  assert.equal(await known('cart'), 'service of cart');
});

void test('while nobody answers, new addresses take the place of each other and not of what is known', async () => {
  const { channel, clock, known, profiles } = setup(3);
  await known('cart');
  for (let address = 0; address < 10; address++) {
    const stranger = profiles.get(`${address}`);
    await clock.advanceAsync(500);
    assert.equal(await stranger, noProfile);
    if (address % 4 === 0) void profiles.get('cart');
  }
  assert.deepEqual(profiles.get('cart'), { opaque: false, service: 'service of cart', endpoint: undefined });
  assert.equal(channel.asked, 11, 'nobody was asked about the service again');
  assert.equal(channel.open.size, 3);
});

void test('addresses make room for each other no faster than the control plane takes it', async () => {
  const { channel, clock, known, limits, profiles } = setup(3, 10);
  for (let address = 0; address < 13; address++) await known(`${address}`);
  assert.equal(profiles.get('14'), noProfile);
  assert.deepEqual([...channel.open.keys()], ['10', '11', '12']);
  assert.equal(limits.hits('discovered_target_evictions'), 1);
  await clock.advanceAsync(1000);
  assert.equal(await known('14'), 'service of 14', 'a second later there is room again');
  assert.equal(profiles.get('15'), noProfile);
});

void test('who waits for an answer does not lose it to others', async () => {
  const { channel, limits, profiles } = setup(2);
  const [first] = [profiles.get('a'), profiles.get('b')];
  assert.equal(profiles.get('c'), noProfile);
  assert.equal(limits.hits('discovered_targets'), 1);
  channel.say('a', 'cart');
  assert.equal((await first).service, 'cart');
});

void test('while the control plane is away, one connection to an address waits, and not each of them', async () => {
  const { clock, channel, profiles } = setup();
  const handler = (): Handler => channel.open.get('a') ?? assert.fail('nobody asks');
  const first = profiles.get('a');
  handler().onInterrupted?.();
  assert.ok(profiles.get('a') instanceof Promise, 'it may come back in time');
  await clock.advanceAsync(500);
  assert.equal(await first, noProfile);
  assert.equal(profiles.get('a'), noProfile);
  channel.say('a', 'cart');
  assert.equal((profiles.get('a') as { service: string }).service, 'cart');

  void profiles.get('slow');
  await clock.advanceAsync(500);
  assert.ok(profiles.get('slow') instanceof Promise, 'one that is merely slow is waited for');
});

void test('while nobody answers, connections that come and go leave nothing', async () => {
  const { clock, channel, profiles } = setup();
  for (let second = 0; second < 10; second++) {
    for (let connection = 0; connection < 5; connection++) void profiles.get('a');
    assert.equal(profiles.waiting, 5);
    await clock.advanceAsync(1000);
    assert.equal(profiles.waiting, 0);
  }
  void profiles.get('a');
  channel.say('a', 'cart');
  assert.equal(profiles.waiting, 0);
});
