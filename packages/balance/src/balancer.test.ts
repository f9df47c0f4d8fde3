import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@mesh/clock/seeded';
import { FakeClock } from '@mesh/testkit/fake-clock';
import fc from 'fast-check';
import { Balancer } from './balancer.ts';
import type { Member, MemberSpec } from './member.ts';

function spec(key: string, facts: Partial<MemberSpec<string>> = {}): MemberSpec<string> {
  return { key, tier: 0, weight: 1, ejectable: true, target: key, ...facts };
}

function setup(seed = 1, onReady?: () => void) {
  const clock = new FakeClock();
  const balancer = new Balancer<string>({
    clock,
    random: seededRandom(seed),
    ...(onReady === undefined ? {} : { onReady }),
  });
  return { clock, balancer };
}

/** Runs requests at a fixed rate; each takes what `latency` says. Returns requests per key. */
function simulate(
  clock: FakeClock,
  balancer: Balancer<string>,
  options: { requests: number; perMs: number; latency: (key: string) => number },
): Map<string, number> {
  const shares = new Map<string, number>();
  let sent = 0;
  while (sent < options.requests) {
    for (let burst = 0; burst < options.perMs; burst++) {
      sent++;
      const member = balancer.pick();
      if (member === undefined) continue;
      shares.set(member.key, (shares.get(member.key) ?? 0) + 1);
      member.begin();
      const latency = options.latency(member.key);
      clock.after(latency, () => {
        member.observe(latency, clock.now());
        member.succeed();
        member.end();
      });
    }
    clock.advance(1);
  }
  clock.advance(60_000);
  return shares;
}

function pickCounts(balancer: Balancer<string>, picks: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let pick = 0; pick < picks; pick++) {
    const key = balancer.pick()?.key ?? 'none';
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

function failSeven(member: Member<string> | undefined): void {
  for (let failure = 0; failure < 7; failure++) member?.fail();
}

void test('a slow replica gets a small share', () => {
  const { clock, balancer } = setup();
  balancer.reset(['a', 'b', 'c', 'slow'].map((key) => spec(key)));
  const random = seededRandom(7);
  const shares = simulate(clock, balancer, {
    requests: 20_000,
    perMs: 2,
    latency: (key) => (key === 'slow' ? 200 : 5) * (0.8 + 0.4 * random.next()),
  });
  assert.ok((shares.get('slow') ?? 0) < 20_000 * 0.01, `slow got ${shares.get('slow')}`);
  for (const key of ['a', 'b', 'c']) assert.ok((shares.get(key) ?? 0) > 20_000 * 0.28);
});

void test('equals share traffic within each second, although one was measured lower last', () => {
  const { clock, balancer } = setup(6);
  balancer.reset(['a', 'b'].map((key) => spec(key)));
  const random = seededRandom(8);
  for (let second = 0; second < 20; second++) {
    const shares = new Map<string, number>();
    for (let request = 0; request < 100; request++) {
      const member = balancer.pick();
      member?.begin();
      shares.set(member?.key ?? '', (shares.get(member?.key ?? '') ?? 0) + 1);
      const latency = random.next() < 0.02 ? 20 : 6 + 3 * random.next();
      clock.advance(10);
      member?.observe(latency, clock.now());
      member?.succeed();
      member?.end();
    }
    for (const key of ['a', 'b']) assert.ok((shares.get(key) ?? 0) >= 10, `${key} got ${shares.get(key)}`);
  }
});

void test('the share of a member is proportional to its weight, idle and under load', () => {
  for (const perMs of [1, 8]) {
    const { clock, balancer } = setup(3);
    balancer.reset([spec('pod'), spec('gateway', { weight: 9 })]);
    const random = seededRandom(11);
    const shares = simulate(clock, balancer, {
      requests: 20_000,
      perMs,
      latency: () => 4 + 2 * random.next(),
    });
    const share = (shares.get('gateway') ?? 0) / 20_000;
    assert.ok(share > 0.85 && share < 0.95, `gateway got ${share} at ${perMs} per ms`);
  }
});

void test('even weights are drawn evenly', () => {
  const { balancer } = setup(5);
  balancer.reset(['a', 'b', 'c', 'd', 'e'].map((key) => spec(key)));
  for (const count of pickCounts(balancer, 10_000).values()) assert.ok(Math.abs(count - 2000) < 200);
});

void test('only the first tier with a ready endpoint is used', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ tier: fc.nat(3), reachable: fc.boolean() }), { minLength: 1, maxLength: 12 }),
      fc.integer(),
      (facts, seed) => {
        const { balancer } = setup(seed);
        balancer.reset(facts.map(({ tier }, index) => spec(`${index}`, { tier })));
        for (const [index, fact] of facts.entries()) balancer.get(`${index}`)?.setReachable(fact.reachable);
        const tiers = facts.filter((fact) => fact.reachable).map((fact) => fact.tier);
        const picked = balancer.pick();
        if (tiers.length === 0) assert.equal(picked, undefined);
        else assert.equal(picked?.tier, Math.min(...tiers));
      },
    ),
  );
});

void test('leaving a tier is immediate, the way back waits and then grows steadily', () => {
  const { clock, balancer } = setup(9);
  balancer.reset([spec('local'), spec('remote', { tier: 1 })]);
  assert.deepEqual([...pickCounts(balancer, 100).keys()], ['local']);
  balancer.get('local')?.setReachable(false);
  assert.deepEqual([...pickCounts(balancer, 100).keys()], ['remote']);
  balancer.get('local')?.setReachable(true);
  clock.advance(4990);
  assert.deepEqual([...pickCounts(balancer, 100).keys()], ['remote']);
  const shares: number[] = [];
  for (let step = 0; step < 11; step++) {
    shares.push((pickCounts(balancer, 4000).get('local') ?? 0) / 4000);
    clock.advance(1000);
  }
  for (let step = 1; step < shares.length; step++) {
    assert.ok((shares[step] as number) >= (shares[step - 1] as number), `shares ${shares.join(' ')}`);
  }
  assert.ok(Math.abs((shares[5] as number) - 0.5) < 0.04);
  assert.deepEqual([...pickCounts(balancer, 100).keys()], ['local']);
});

void test('what missing endpoints of the first tier would take spills to the second, and to no later one', () => {
  const { balancer, clock } = setup(3);
  const local = ['a', 'b', 'c', 'd'];
  balancer.reset([
    ...local.map((key) => spec(key)),
    spec('remote', { tier: 1 }),
    spec('demoted', { tier: 2 }),
  ]);
  balancer.requireReady(3);
  /** Share of picks that stay in the first tier, and of those that went to a demoted one. */
  const shares = (): [local: number, demoted: number] => {
    const counts = pickCounts(balancer, 8000);
    const picked = (keys: string[]) => keys.reduce((sum, key) => sum + (counts.get(key) ?? 0), 0) / 8000;
    return [picked(local), picked(['demoted'])];
  };
  const reach = (key: string, reachable: boolean) => balancer.get(key)?.setReachable(reachable);
  const about = (expected: number): void => {
    const [stays, demoted] = shares();
    assert.ok(Math.abs(stays - expected) < 0.03, `${stays}, not ${expected}`);
    assert.equal(demoted, 0);
  };
  reach('a', false);
  about(1);
  assert.equal(balancer.spillShare, 0, 'three are enough');
  reach('b', false);
  about(2 / 3);
  reach('c', false);
  about(1 / 3);
  assert.ok(Math.abs(balancer.spillShare - 2 / 3) < 1e-9);
  reach('remote', false);
  about(1);
  assert.equal(balancer.spillShare, 0, 'too few are better than what was judged bad');
  reach('remote', true);
  about(1 / 3);
  reach('b', true);
  reach('c', true);
  about(1);
  for (const key of local) reach(key, false);
  about(0);
  reach('a', true);
  clock.advance(5000 + 10_000);
  about(1 / 3);
  balancer.requireReady(0);
  about(1);
});

void test('a tier that falters on its way back starts its hold-off again', () => {
  const { clock, balancer } = setup(10);
  balancer.reset([spec('local'), spec('remote', { tier: 1 })]);
  balancer.get('local')?.setReachable(false);
  balancer.get('local')?.setReachable(true);
  clock.advance(4000);
  balancer.get('local')?.setReachable(false);
  balancer.get('local')?.setReachable(true);
  clock.advance(4000);
  assert.deepEqual([...pickCounts(balancer, 50).keys()], ['remote']);
});

void test('a tier that flaps does not keep requests from a better one than the last', () => {
  const { clock, balancer } = setup();
  balancer.reset([spec('own', { tier: 0 }), spec('peer', { tier: 1 }), spec('doubtful', { tier: 2 })]);
  const own = balancer.get('own');
  const peer = balancer.get('peer');
  own?.setReachable(false);
  peer?.setReachable(false);
  assert.equal(balancer.pick()?.key, 'doubtful');
  peer?.setReachable(true);
  clock.advance(10_000);
  // Half way back to the peer: what else comes takes nothing of that away.
  own?.setReachable(true);
  const counts = pickCounts(balancer, 1000);
  assert.ok((counts.get('peer') ?? 0) > 400, JSON.stringify([...counts]));
  assert.equal(counts.get('own'), undefined);
  for (let second = 0; second < 5; second++) {
    clock.advance(1000);
    own?.setReachable(second % 2 === 0);
  }
  own?.setReachable(true);
  assert.deepEqual([...pickCounts(balancer, 100)], [['peer', 100]]);
  assert.equal(balancer.activeTier, 1);
  clock.advance(15_000);
  assert.deepEqual([...pickCounts(balancer, 100)], [['own', 100]]);
});

void test('when the tier in use dies during the hold-off the lower one is taken at once', () => {
  const { balancer } = setup();
  balancer.reset([spec('local'), spec('remote', { tier: 1 })]);
  balancer.get('local')?.setReachable(false);
  balancer.get('local')?.setReachable(true);
  balancer.get('remote')?.setReachable(false);
  assert.equal(balancer.pick()?.key, 'local');
});

void test('a first set that lists the remote tier first still starts on the local one', () => {
  const { balancer } = setup();
  balancer.reset([spec('remote', { tier: 1 }), spec('local')]);
  assert.equal(balancer.pick()?.key, 'local');
});

void test('seven failures in a row eject, one probe at a time brings back', () => {
  const { clock, balancer } = setup(2);
  balancer.reset([spec('good'), spec('bad')]);
  const bad = balancer.get('bad');
  failSeven(bad);
  assert.deepEqual([...pickCounts(balancer, 50).keys()], ['good']);
  assert.equal(balancer.ejected, 1);
  clock.advance(1500);
  assert.equal(pickCounts(balancer, 50).get('bad'), 1);
  bad?.fail();
  clock.advance(999);
  assert.equal(pickCounts(balancer, 50).get('bad'), undefined);
  clock.advance(2001);
  assert.equal(pickCounts(balancer, 1).get('bad'), 1);
  bad?.succeed();
  assert.ok((pickCounts(balancer, 50).get('bad') ?? 0) > 5);
});

void test('pauses of an ejected member double from 1 s to 60 s, half more or less', () => {
  const { clock, balancer } = setup(2);
  balancer.reset([spec('good'), spec('bad')]);
  const bad = balancer.get('bad');
  failSeven(bad);
  const pauses: number[] = [];
  for (let ejection = 0; ejection < 12; ejection++) {
    const since = clock.now();
    while (!pickCounts(balancer, 1).has('bad')) clock.advance(50);
    pauses.push(clock.now() - since);
    bad?.fail();
  }
  const shares = pauses.map((pause, ejection) => pause / Math.min(60_000, 1000 * 2 ** ejection));
  for (const [ejection, share] of shares.entries()) {
    assert.ok(share >= 0.5 && share <= 1.55, `pause ${ejection} was ${pauses[ejection]} ms`);
  }
  assert.ok(Math.min(...shares) < 0.75 && Math.max(...shares) > 1.25, `not in step: ${shares.join(' ')}`);
  assert.ok(Math.max(...pauses) > 30_000);
});

void test('a success between failures keeps the breaker closed', () => {
  const { balancer } = setup();
  balancer.reset([spec('a'), spec('b')]);
  const member = balancer.get('a');
  for (let round = 0; round < 5; round++) {
    for (let failure = 0; failure < 6; failure++) member?.fail();
    member?.succeed();
  }
  assert.equal(balancer.ready, 2);
});

void test('an answer to a request from before the ejection does not end it, only the probe does', () => {
  const { clock, balancer } = setup(2);
  balancer.reset([spec('good'), spec('bad')]);
  const bad = balancer.get('bad');
  failSeven(bad);
  bad?.succeed();
  assert.equal(balancer.ejected, 1);
  clock.advance(1500);
  bad?.succeed();
  assert.equal(balancer.ejected, 1);
  assert.equal(balancer.pick()?.key, 'bad');
  bad?.succeed();
  assert.equal(balancer.ejected, 0);
});

void test('an abandoned probe leaves room for the next', () => {
  const { clock, balancer } = setup(2);
  balancer.reset([spec('good'), spec('bad')]);
  failSeven(balancer.get('bad'));
  clock.advance(1500);
  assert.equal(balancer.pick()?.key, 'bad');
  balancer.get('bad')?.forgo();
  assert.equal(balancer.pick()?.key, 'bad');
});

void test('a probe of which nothing is heard makes room for the next, after as long a pause as its failure would bring', () => {
  const { clock, balancer } = setup(2);
  balancer.reset([spec('good'), spec('bad')]);
  failSeven(balancer.get('bad'));
  const pauses: number[] = [];
  for (let probe = 0; probe < 12; probe++) {
    const since = clock.now();
    while (balancer.pick()?.key !== 'bad' && clock.now() - since < 100_000) clock.advance(50);
    pauses.push(clock.now() - since);
  }
  for (const [probe, pause] of pauses.entries()) {
    const share = pause / Math.min(60_000, 1000 * 2 ** probe);
    assert.ok(share >= 0.5 && share <= 1.55, `pause ${probe} was ${pause} ms`);
  }
  balancer.get('bad')?.succeed();
  assert.equal(balancer.ready, 2);
  clock.advance(120_000);
  assert.equal(balancer.ready, 2, 'the end of its time means nothing once it was answered');
});

void test('an answer that begins well ends a probe; how it ends counts like any other', () => {
  const { clock, balancer } = setup(2);
  balancer.reset([spec('good'), spec('bad')]);
  const bad = balancer.get('bad');
  const probeAfter = (): number => {
    const since = clock.now();
    while (balancer.pick()?.key !== 'bad' && clock.now() - since < 100_000) clock.advance(50);
    return clock.now() - since;
  };
  failSeven(bad);
  bad?.answered();
  assert.equal(balancer.ejected, 1, 'only that of a probe');
  probeAfter();
  bad?.answered();
  assert.equal(balancer.ejected, 0);
  bad?.fail();
  assert.equal(balancer.ejected, 0, 'one failure of seven');
  for (let failure = 0; failure < 6; failure++) bad?.fail();
  assert.equal(balancer.ejected, 1);
  for (let round = 0; round < 4; round++) {
    probeAfter();
    bad?.answered();
    failSeven(bad);
  }
  assert.ok(probeAfter() >= 16_000, 'answers that only begin well do not make the pauses short again');
  bad?.answered();
  bad?.succeed();
  failSeven(bad);
  assert.ok(probeAfter() <= 1550, 'a success does');
});

void test('an answer that begins well does not make up for failures', () => {
  const { balancer } = setup();
  balancer.reset([spec('a'), spec('b')]);
  for (let failure = 0; failure < 7; failure++) {
    balancer.get('a')?.answered();
    balancer.get('a')?.fail();
  }
  assert.equal(balancer.ejected, 1);
});

void test('the last ready endpoint of all tiers is never ejected', () => {
  const { balancer } = setup();
  balancer.reset([spec('a'), spec('b', { tier: 1 })]);
  failSeven(balancer.get('a'));
  failSeven(balancer.get('b'));
  assert.equal(balancer.ready, 1);
  assert.equal(balancer.pick()?.key, 'b');
  balancer.get('b')?.setReachable(false);
  assert.equal(balancer.pick()?.key, 'a', 'ejected but reachable is better than none');
});

void test('a member that is not ejectable stays for failed responses but not for lost connections', () => {
  const { balancer } = setup();
  balancer.reset([spec('gateway', { ejectable: false }), spec('other')]);
  failSeven(balancer.get('gateway'));
  assert.equal(balancer.ready, 2);
  balancer.get('gateway')?.setReachable(false);
  assert.equal(balancer.ready, 1);
});

void test('an updated set keeps the load of what stays and reports what went', () => {
  const { balancer } = setup();
  balancer.reset([spec('a'), spec('b')]);
  const kept = balancer.get('a');
  kept?.begin();
  const gone = balancer.reset([spec('a', { weight: 3, target: 'new' }), spec('c')]);
  assert.deepEqual(
    gone.map((member) => member.key),
    ['b'],
  );
  assert.equal(balancer.get('a'), kept);
  assert.equal(kept?.inFlight, 1);
  assert.equal(kept?.target, 'new');
  gone[0]?.setReachable(false);
  assert.equal(balancer.ready, 2);
});

void test('a retry avoids the member that failed, even into the next tier', () => {
  const { balancer } = setup();
  balancer.reset([spec('a'), spec('b'), spec('remote', { tier: 1 })]);
  const first = balancer.get('a');
  for (let pick = 0; pick < 50; pick++) assert.equal(balancer.pick(first)?.key, 'b');
  balancer.remove('b');
  assert.equal(balancer.pick(first)?.key, 'remote');
  balancer.remove('remote');
  assert.equal(balancer.pick(first)?.key, 'a');
});

void test('it says when an endpoint can be picked again', () => {
  let calls = 0;
  const { balancer } = setup(1, () => calls++);
  assert.equal(balancer.pick(), undefined);
  balancer.reset([spec('a'), spec('b')]);
  assert.equal(calls, 1);
  balancer.get('a')?.setReachable(false);
  balancer.get('b')?.setReachable(false);
  balancer.get('b')?.setReachable(true);
  assert.equal(calls, 2);
});

void test('waiters hear of an ejected endpoint that can be reached again, because it is picked', () => {
  let calls = 0;
  const { balancer } = setup(1, () => calls++);
  balancer.reset([spec('a'), spec('b')]);
  failSeven(balancer.get('a'));
  balancer.get('a')?.setReachable(false);
  balancer.get('b')?.setReachable(false);
  assert.equal(balancer.pick(), undefined);
  assert.equal(balancer.pickable, false);
  calls = 0;
  balancer.get('a')?.setReachable(true);
  assert.equal(balancer.pickable, true);
  assert.equal(balancer.pick()?.key, 'a');
  assert.equal(calls, 1);
});

void test('ready counts and picks agree over any sequence of changes', () => {
  const operation = fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    kind: fc.constantFrom('upsert', 'remove', 'down', 'up', 'fail', 'advance'),
    tier: fc.nat(2),
    weight: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), fc.integer(), (operations, seed) => {
      let calls = 0;
      const { clock, balancer } = setup(seed, () => calls++);
      for (const { key, kind, tier, weight } of operations) {
        const { pickable } = balancer;
        const callsBefore = calls;
        if (kind === 'upsert') balancer.upsert(spec(key, { tier, weight }));
        else if (kind === 'remove') balancer.remove(key);
        else if (kind === 'advance') clock.advance(weight * 400);
        else if (kind === 'fail') failSeven(balancer.get(key));
        else balancer.get(key)?.setReachable(kind === 'up');
        const ready = [...balancer.members()].filter((member) => member.ready);
        assert.equal(balancer.ready, ready.length);
        const picked = balancer.pick();
        const reachable = [...balancer.members()].some((member) => member.reachable);
        assert.equal(picked !== undefined, reachable);
        assert.equal(balancer.pickable, reachable);
        if (reachable && !pickable) assert.ok(calls > callsBefore, 'waiters hear of it');
        if (picked !== undefined) assert.ok(picked.attached && picked.reachable);
        picked?.forgo();
      }
    }),
  );
});
