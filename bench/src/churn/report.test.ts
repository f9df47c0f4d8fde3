import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Churned, rateAt, type Track } from './churn.ts';
import { isGood, markdown, reportOf } from './report.ts';
import type { Sample } from './samples.ts';

const minuteMs = 60_000;

function sampleAt(atMs: number, privateMb: number, descriptors = 20): Sample {
  const bytes = privateMb * 1e6;
  return {
    atMs,
    privateBytes: bytes,
    residentBytes: bytes,
    heapBytes: bytes,
    codeBytes: 0,
    mallocBytes: 0,
    externalBytes: 0,
    descriptors,
    series: 100,
    connections: 0,
    inFlight: 0,
  };
}

/** An hour with four samples a minute; memory rises fast in the first quarter, then by `perHour`. */
function track(perHour: number, change: Partial<Track> = {}): Track {
  const samples = Array.from({ length: 240 }, (_, index) => {
    const minute = index / 4;
    const grown = Math.min(minute, 15) * 2 + (perHour * Math.max(0, minute - 15)) / 60;
    return sampleAt(minute * minuteMs, 40 + grown + (index % 2));
  });
  return { name: 'gateway', before: sampleAt(0, 30), samples, after: sampleAt(61 * minuteMs, 60), ...change };
}

function report(tracks: readonly Track[], minutes = 60) {
  const churned: Churned = { tracks, kills: 1, clients: { done: 10, failed: {}, heldBack: 0 } };
  const machine = { cpu: 'a', cores: 2, memoryGiB: 4, kernel: 'k', node: '24', load: 0, commit: 'c' };
  return reportOf(churned, { date: '2026-01-01T00:00:00Z', machine, options: { minutes, rate: 1, seed: 1 } });
}

test('flat is below the bound, whatever the warm-up did', () => {
  const flat = report([track(0.2)]);
  assert.equal(flat.verdicts['gateway'], 'flat');
  assert.ok(isGood(flat));
  assert.match(
    markdown(flat),
    /\| gateway \| private, MB \| 70\.5 \| 70\.6 \| 0\.20 ± 0\.0\d \| \*\*flat\*\* \|/,
  );
});

test('in the first part of the warm-up clients do more, and never while it is measured', () => {
  const options = { minutes: 60, rate: 60, seed: 1 };
  const rates = [0, 9, 10, 15, 59].map((minute) => rateAt(options, minute * minuteMs));
  assert.deepEqual(rates, [600, 600, 60, 60, 60]);
  assert.match(
    markdown(report([track(0)])),
    /15 minutes of warming up, of which clients did 10 times as much in the\nfirst 10,/,
  );
});

test('growth is no good result', () => {
  const grows = report([track(0), track(30, { name: 'inbound' })]);
  assert.equal(grows.verdicts['inbound'], 'grows');
  assert.ok(!isGood(grows));
});

test('a descriptor that stays is no good result, however short the run was', () => {
  const kept = report([track(0, { after: sampleAt(61 * minuteMs, 60, 21) })], 1);
  assert.ok(!isGood(kept));
  assert.match(markdown(kept), /gateway: descriptors 20 before, 21 after/);
  assert.ok(isGood(report([track(30)], 1)), 'and nothing is said of slopes then');
});
