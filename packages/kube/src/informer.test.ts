import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '@mesh/clock/system';
import { seededRandom } from '@mesh/clock/seeded';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { KubeClient } from './client.ts';
import { Informer } from './informer.ts';
import { configMaps } from './resources.ts';
import { CollectionServer, contentsOf, expired } from './testing/collection-server.ts';
import type { ConfigMap } from './types.ts';

/** Real sockets with back-off cut short, so that reconnects do not make tests slow. */
const quickClock = {
  ...systemClock,
  after: (delayMs: number, task: () => void, background?: boolean) =>
    systemClock.after(delayMs < 30_000 ? delayMs / 50 : delayMs, task, background),
};

async function follow(t: TestContext, fill: (server: CollectionServer) => void = () => {}, pageSize = 500) {
  const server = await CollectionServer.start(t);
  fill(server);
  const client = new KubeClient({ server: server.url, namespace: 'default', clock: quickClock });
  const informer = new Informer<ConfigMap>({
    client,
    type: configMaps,
    clock: quickClock,
    random: seededRandom(1),
    pageSize,
    indexers: { value: (object) => [object.data?.['value'] ?? ''] },
  });
  t.after(async () => {
    await informer.stop();
    client.close();
  });
  const same = async (what: string): Promise<void> => {
    await eventually(what, () => {
      assert.deepEqual(contentsOf(informer.list()), server.contents());
      return true;
    });
  };
  return { server, informer, same };
}

test('lists in pages, then follows adds, changes and deletes', async (t) => {
  const { server, informer, same } = await follow(
    t,
    (empty) => {
      for (let index = 0; index < 7; index++) empty.put(`a${index}`, 'x');
    },
    3,
  );
  assert.equal(informer.ageMs, Number.POSITIVE_INFINITY);
  informer.start();
  await informer.synced;
  assert.equal(server.listed, 3);
  await same('first list');
  server.put('a1', 'y');
  server.remove('a2');
  server.put('b', 'y');
  await same('watched changes');
  assert.deepEqual(
    informer
      .byIndex('value', 'y')
      .map((object) => object.metadata.name)
      .sort(),
    ['a1', 'b'],
  );
  assert.equal(informer.get('default', 'a2'), undefined);
  assert.equal(informer.ageMs, 0);
});

test('a watch cut in the middle of a line loses nothing', async (t) => {
  const { server, informer, same } = await follow(t, (empty) => empty.put('a', '1'));
  informer.start();
  await eventually('watching', () => server.openWatches === 1);
  server.cut('{"type":"ADDED","object":{"metadata":{"name":"gho');
  server.put('a', '2');
  server.put('b', '1');
  await same('caught up after the cut');
  assert.equal(server.listed, 1, 'the watch went on from the last version instead of listing again');
});

test('an expired version leads to a list that also shows what was deleted meanwhile', async (t) => {
  const { server, informer, same } = await follow(t, (empty) => {
    empty.put('stays', '1');
    empty.put('goes', '1');
  });
  const seen: string[] = [];
  informer.onChange((key, { object }) => seen.push(`${key} ${object?.data?.['value'] ?? 'gone'}`));
  informer.start();
  await eventually('watching', () => server.openWatches === 1);
  seen.length = 0;
  server.cut();
  server.remove('goes');
  server.put('comes', '1');
  server.compact();
  await same('relisted');
  assert.equal(server.listed, 2);
  assert.deepEqual(seen.sort(), ['default/comes 1', 'default/goes gone'], 'unchanged keys are not reported');
});

test('an ERROR event with 410 in an open watch leads to a new list', async (t) => {
  const { server, informer, same } = await follow(t, (empty) => empty.put('a', '1'));
  informer.start();
  await eventually('watching', () => server.openWatches === 1);
  server.write(expired);
  await eventually('listed again', () => server.listed === 2 && server.openWatches === 1);
  server.put('a', '2');
  await same('watching after the list');
});

test('where each list is outdated by the time of its watch, the pauses between lists grow', async (t) => {
  const server = await CollectionServer.start(t);
  const pauses: number[] = [];
  const clock = {
    ...systemClock,
    after: (delayMs: number, task: () => void, background?: boolean) => {
      if (delayMs < 30_000) pauses.push(delayMs);
      return systemClock.after(delayMs < 30_000 ? 0 : delayMs, task, background);
    },
  };
  const client = new KubeClient({ server: server.url, namespace: 'default', clock });
  const informer = new Informer<ConfigMap>({ client, type: configMaps, clock, random: seededRandom(1) });
  t.after(async () => {
    await informer.stop();
    client.close();
  });
  server.expireNext = 9;
  informer.start();
  await eventually('a watch that holds', () => server.openWatches === 1);
  assert.equal(server.listed, 10);
  assert.equal(pauses.length, 8, 'none before the second list, which shows what the first did not');
  assert.ok((pauses[0] ?? 0) < 1000 && (pauses.at(-1) ?? 0) > 10_000, pauses.join(' '));
});

test('a bookmark moves the version on, so a later reconnect needs no list', async (t) => {
  const { server, informer, same } = await follow(t, (empty) => empty.put('a', '1'));
  informer.start();
  await eventually('watching', () => server.openWatches === 1);
  server.put('a', '2');
  server.bookmark();
  await same('changed');
  server.compact();
  server.end();
  await eventually('watching again', () => server.openWatches === 1 && server.watched === 2);
  assert.equal(server.listed, 1);
});

test('the last known state stays readable while the server fails, and its age is told', async (t) => {
  const { server, informer, same } = await follow(t, (empty) => empty.put('a', '1'));
  informer.start();
  await eventually('watching', () => informer.connected);
  server.failNext = Array.from({ length: 5 }, () => ({ status: 503 }));
  server.cut();
  await eventually('disconnected', () => !informer.connected && informer.ageMs > 0);
  assert.deepEqual(contentsOf(informer.list()), { a: '1' });
  server.put('b', '1');
  await same('recovered');
  await eventually('connected', () => informer.connected);
  assert.equal(informer.ageMs, 0);
});

test('garbage in a watch is dropped with its connection, never applied', async (t) => {
  const { server, informer, same } = await follow(t, (empty) => empty.put('a', '1'));
  informer.start();
  for (const garbage of [
    'not json\n',
    '{"type":"ADDED"}\n',
    '{"type":"WHAT","object":{}}\n',
    '[]\n',
    'null\n',
  ]) {
    const before = server.watched;
    await eventually('watching', () => server.openWatches === 1);
    server.write(garbage);
    await eventually(`left after ${garbage}`, () => server.watched > before);
  }
  await same('state is right');
});

test('a listener added late gets what is known, and resync reports every key again', async (t) => {
  const server = await CollectionServer.start(t);
  server.put('a', '1');
  server.put('b', '1');
  const clock = new FakeClock();
  const client = new KubeClient({ server: server.url, namespace: 'default', clock });
  const informer = new Informer<ConfigMap>({
    client,
    type: configMaps,
    clock,
    random: seededRandom(1),
    resyncMs: 1000,
  });
  t.after(async () => {
    await informer.stop();
    client.close();
  });
  informer.start();
  await informer.synced;
  const seen: string[] = [];
  const off = informer.onChange((key) => seen.push(key));
  assert.deepEqual(seen, ['default/a', 'default/b']);
  clock.advance(1000);
  assert.deepEqual(seen, ['default/a', 'default/b', 'default/a', 'default/b']);
  off();
  clock.advance(1000);
  assert.equal(seen.length, 4);
});

type Move =
  | { kind: 'put' | 'remove'; name: string }
  | { kind: 'cut' | 'cutMidLine' | 'end' | 'compact' | 'bookmark' | 'fail' | 'turn' };

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom('put' as const, 'remove' as const),
      name: fc.constantFrom('a', 'b', 'c', 'd'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'cut' as const,
        'cutMidLine' as const,
        'end' as const,
        'compact' as const,
        'bookmark' as const,
        'fail' as const,
      ),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('turn' as const) }) },
);

test('whatever is cut, refused or forgotten meanwhile, the copy ends equal to the original', async (t) => {
  const { server, informer, same } = await follow(t, (empty) => empty.put('a', '0'), 2);
  let serial = 0;
  const notified = new Map<string, string>();
  informer.onChange((key, { object }) => {
    const name = key.slice(key.indexOf('/') + 1);
    if (object === undefined) notified.delete(name);
    else notified.set(name, object.data?.['value'] ?? '');
  });
  informer.start();
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 1, maxLength: 25 }), async (moves) => {
      for (const one of moves) {
        if (one.kind === 'put') server.put(one.name, String(++serial));
        else if (one.kind === 'remove') server.remove(one.name);
        else if (one.kind === 'cut') server.cut();
        else if (one.kind === 'cutMidLine') server.cut('{"type":"MODIFIED","object":{"metadata":{"na');
        else if (one.kind === 'end') server.end();
        else if (one.kind === 'compact') server.compact();
        else if (one.kind === 'bookmark') server.bookmark();
        else if (one.kind === 'fail') server.failNext.push({ status: 503 });
        else await new Promise((resolve) => setTimeout(resolve, 2));
      }
      server.failNext = [];
      await same('equal again');
      assert.deepEqual(
        Object.fromEntries([...notified].sort()),
        server.contents(),
        'listeners saw every change',
      );
    }),
    { numRuns: 25 },
  );
});

test('a server that asks to be left alone for days is asked again after a minute', async (t) => {
  const server = await CollectionServer.start(t);
  server.failNext.push({ status: 503, headers: { 'retry-after': '3000000' } });
  const pauses: number[] = [];
  const clock = {
    ...systemClock,
    // The time-out of a request is shorter.
    after: (delayMs: number, task: () => void, background?: boolean) => {
      if (delayMs > 30_000 && delayMs !== 150_000) pauses.push(delayMs);
      return systemClock.after(delayMs === 60_000 ? 1 : delayMs, task, background);
    },
  };
  const client = new KubeClient({ server: server.url, namespace: 'default', clock });
  const informer = new Informer<ConfigMap>({ client, type: configMaps, clock, random: seededRandom(1) });
  t.after(async () => {
    await informer.stop();
    client.close();
  });
  informer.start();
  await informer.synced;
  assert.deepEqual(pauses, [60_000]);
});
