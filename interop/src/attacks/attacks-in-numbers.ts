/**
 * Attacks whose point is a number, in the numbers of the survey: whether something stays of each of ten thousand connections, or one
 * in a million answers is somebody else's, shows in no small one. Each is run once, behind the windows of its row.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { seededRandom } from '@mesh/clock/seeded';
import { badApplication } from '@mesh/dataplane/testing/http1-attacks';
import { errorCode } from '@mesh/http2/error-codes';
import { Attacker } from '@mesh/http2/testing/attacker';
import { block, frame, get, HEADERS, request, u32, WINDOW_UPDATE } from '@mesh/http2/testing/raw-peer';
import type { AttackSite } from '@mesh/testkit/attack';
import { eventually } from '@mesh/testkit/eventually';
import { damagedHellos, type TlsAttackSite } from '../testing/tls-attacks.ts';
import { holdSlowSockets } from './slow-sockets.ts';
import { askTagged } from './tagged-requests.ts';

interface AttackInNumbers {
  /** How many of what. */
  readonly what: string;
  /** Why it is less than the survey asks for; undefined when it is not. */
  readonly smaller?: string;
  /** Between connections without a handshake, where it is not what other attacks take. */
  readonly plainPauseMs?: number;
  run(site: TlsAttackSite): Promise<void>;
}

/** Runs `one` for each number below `count`, `atOnce` of them together. */
async function each(count: number, atOnce: number, one: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) await one(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

/** Connections of the victim's, which come and go meanwhile. */
const ofOthers = 4;

async function allGone(site: AttackSite): Promise<void> {
  await eventually('all are gone', async () => (await site.open()) <= ofOthers);
}

/** Without TLS, whose handshakes would be the attack: what is asked is whether the codec lets go of its connections. */
async function overflowWindows(site: AttackSite): Promise<void> {
  await each(10_000, 10, async () => {
    const attacker = await Attacker.over(await site.connectPlain());
    await attacker.send(request(1), frame(WINDOW_UPDATE, 0, 0, u32(0x7fffffff)));
    await attacker.ended();
    assert.equal(attacker.goawayCode, errorCode.flowControlError);
    attacker.destroy();
  });
  await allGone(site);
}

const blocksPerConnection = 100;

/**
 * Header blocks that are noise from the first byte end their connection; of those that are noise within well-formed strings a
 * connection takes a hundred. So most are of the second kind, and the last of a connection of the first.
 */
async function sendNoise(site: AttackSite): Promise<void> {
  const random = seededRandom(14);
  const noise = Buffer.from(Array.from({ length: 1 << 20 }, () => random.next() * 256));
  const some = (length: number): Buffer => {
    const at = Math.floor(random.next() * (noise.length - length));
    return noise.subarray(at, at + length);
  };
  const wellFormed = block(...get);
  const field = (): Buffer[] => [Buffer.from([0, 20]), some(20), Buffer.from([38]), some(38)];
  await each(1_000_000 / blocksPerConnection, 10, async () => {
    const attacker = await Attacker.over(await site.connectPlain());
    const blocks = Array.from({ length: blocksPerConnection }, (_, index) => {
      const bytes = index < blocksPerConnection - 5 ? Buffer.concat([wellFormed, ...field()]) : some(60);
      return frame(HEADERS, 5, 2 * index + 1, bytes);
    });
    await attacker.send(...blocks);
    await attacker.ended();
    attacker.destroy();
  });
  await allGone(site);
  assert.equal(await site.requests(), 0);
}

/** Tagged requests of others, whose answers come over the same connections to the application that bad answers come over. */
async function tagBesideBadAnswers(site: AttackSite): Promise<void> {
  const state = { over: false };
  const bad = async (): Promise<void> => {
    while (!state.over) await badApplication(site);
  };
  const sockets: Socket[] = [];
  for (let index = 0; index < 16; index++) sockets.push(await site.connect());
  const tagged = askTagged(sockets, { requests: 1_000_000, perSecond: 5000 }).finally(
    () => (state.over = true),
  );
  await Promise.all([tagged, bad()]);
}

export const attacksInNumbers: Readonly<Record<string, AttackInNumbers>> = {
  'H1-12': {
    what: '4,900 slow sockets at any time for 120 s: 4,700 heads, 150 bodies, 50 readers',
    smaller:
      'of 5,000: a listener takes a quarter of the files that its program may open, which are 20,000 here. Readers are few because each may hold what docs/limits.md says',
    // Heads are cut off after ten seconds and come again.
    plainPauseMs: 1,
    run: (site) => holdSlowSockets(site, { heads: 4700, bodies: 150, readers: 50, seconds: 120 }),
  },
  'H1-13': {
    what: '1,000,000 tagged requests beside the bad answers, each answered by its own tag',
    run: tagBesideBadAnswers,
  },
  'H2-13': { what: '10,000 connections', run: overflowWindows },
  'H2-14': {
    what: '1,000,000 header blocks on 10,000 connections',
    plainPauseMs: 4,
    run: sendNoise,
  },
  'T-7': {
    what: '20,000 hellos',
    smaller:
      'of 1,000,000, which at this rate take half an hour: each is a connection; what reads hellos is fuzzed by `npm run fuzz client-hello`',
    run: (site) => damagedHellos(site, 20_000),
  },
};
