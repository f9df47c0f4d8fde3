import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { ContainerLog } from './container-log.ts';

function begin(t: TestContext, maxBytes: number) {
  const directory = mkdtempSync(join(tmpdir(), 'container-log-'));
  const file = join(directory, 'default', 'p', 'app.log');
  const log = new ContainerLog({ file, maxBytes, clock: new FakeClock() });
  t.after(() => {
    log.close();
    rmSync(directory, { recursive: true });
  });
  const stream = new PassThrough();
  const ended = log.follow(stream, 'stdout');
  const say = async (line: string): Promise<void> => {
    stream.write(`${line}\n`);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const lines = (path = file) =>
    readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' ').slice(3).join(' '));
  return { file, say, lines, end: () => (stream.end(), ended) };
}

test('a log is rotated before it grows too large', async (t) => {
  const { file, say, lines, end } = begin(t, 100);
  for (const line of ['one', 'two', 'three']) await say(line);
  await end();
  assert.deepEqual([lines(`${file}.1`), lines()], [['one', 'two'], ['three']]);
});

test('a log whose directory is removed goes on in a new one', async (t) => {
  const { file, say, lines, end } = begin(t, 100);
  await say('one');
  rmSync(dirname(file), { recursive: true });
  for (const line of ['two', 'three', 'four']) await say(line);
  await end();
  assert.deepEqual(lines(), ['three', 'four']);
});

test('a log that cannot be rotated or written costs its lines alone', async (t) => {
  const { file, say, lines, end } = begin(t, 100);
  await say('one');
  rmSync(dirname(file), { recursive: true });
  writeFileSync(dirname(file), 'in the way');
  for (const line of ['two', 'three', 'four']) await say(line);
  rmSync(dirname(file));
  await say('five');
  await end();
  assert.deepEqual(lines(), ['five']);
});
