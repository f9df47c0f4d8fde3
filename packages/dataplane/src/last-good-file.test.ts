import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import {
  decodeLastGood,
  encodeLastGood,
  type FileCalls,
  fileCalls,
  type LastGood,
  readLastGood,
  sizeOf,
  writeLastGood,
} from './last-good-file.ts';

const owner = 'cart.shop cart-1';
const streams: fc.Arbitrary<Map<string, LastGood>> = fc
  .array(
    fc.tuple(
      fc.string(),
      fc.record({ at: fc.nat(), messages: fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 3 }) }),
    ),
    { maxLength: 4 },
  )
  .map((entries) => new Map(entries));

const plain = (read: ReadonlyMap<string, LastGood>) =>
  [...read].map(([key, { at, messages }]) => [key, at, messages.map((bytes) => [...bytes])]);

function pathFor(test: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-last-good-'));
  test.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'last-good');
}

void test('what was written is read again, by its owner alone', () => {
  fc.assert(
    fc.property(streams, (written) => {
      const text = encodeLastGood(written, owner);
      const read = decodeLastGood(text, owner);
      assert.ok('streams' in read);
      assert.deepEqual(plain(read.streams), plain(written));
      const other = decodeLastGood(text, 'cart.shop cart-2');
      assert.ok('fault' in other && other.fault === 'foreign');
      const later = decodeLastGood(text.replace('"format":1', '"format":2'), owner);
      assert.ok('fault' in later && later.fault === 'foreign');
    }),
  );
});

void test('cut short anywhere or changed anywhere, it is not used', () => {
  const text = encodeLastGood(new Map([['a stream', { at: 1, messages: [Buffer.from('hello')] }]]), owner);
  for (let length = 0; length < text.length; length++) {
    assert.ok('fault' in decodeLastGood(text.slice(0, length), owner), `${length} characters`);
  }
  const body = text.indexOf('\n') + 1;
  for (let at = body; at < text.length; at++) {
    const changed = `${text.slice(0, at)}${text[at] === '1' ? '2' : '1'}${text.slice(at + 1)}`;
    const read = decodeLastGood(changed, owner);
    assert.ok('fault' in read && read.fault === 'damaged', `character ${at}`);
  }
});

void test('its size is told before it is encoded, and no less than it is', () => {
  fc.assert(
    fc.property(streams, (written) => {
      const told = [...written].reduce((sum, [key, entry]) => sum + sizeOf(key, entry), 0);
      const body = encodeLastGood(written, owner).split('\n')[1] ?? '';
      assert.ok(Buffer.byteLength(body) <= told + 2, `${Buffer.byteLength(body)} > ${told}`);
    }),
  );
});

void test('a file that is missing, too large or no file is as good as none', async (t) => {
  const path = pathFor(t);
  const limits = { owner, maxBytes: 1000 };
  const fault = (at: string) => {
    const read = readLastGood(at, limits);
    return 'fault' in read ? read.fault : 'used';
  };
  assert.equal(fault(path), 'absent');
  await writeLastGood(path, encodeLastGood(new Map(), owner), { flush: false });
  assert.equal(fault(path), 'used');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  writeFileSync(path, 'x'.repeat(10_000));
  assert.equal(fault(path), 'too-large');
  assert.equal(fault(join(path, '..')), 'damaged', 'a directory');
});

/** The system's own, which say what they were called for. */
function told(calls: string[]): FileCalls {
  const paths = new Map<unknown, string>();
  const name = (path: unknown) => basename(paths.get(path) ?? String(path));
  return new Proxy(fileCalls, {
    get:
      (target, call: keyof FileCalls) =>
      (...given: unknown[]) => {
        calls.push(`${call} ${name(given[0])}`);
        const settle = given.at(-1) as (fault: Error | null, value?: unknown) => void;
        Reflect.apply(target[call], undefined, [
          ...given.slice(0, -1),
          (fault: Error | null, value?: unknown) => {
            if (call === 'open') paths.set(value, String(given[0]));
            settle(fault, value);
          },
        ]);
      },
  });
}

void test('what is flushed is on the disk before it has its name, and its name before that is told', async (t) => {
  const path = pathFor(t);
  const directory = basename(join(path, '..'));
  const calls: string[] = [];
  const files = told(calls);
  await writeLastGood(path, 'one', { flush: true, files });
  const draft = ['open last-good.new', 'writeFile last-good.new'];
  const renamed = ['close last-good.new', 'rename last-good.new'];
  const entry = [`open ${directory}`, `fsync ${directory}`, `close ${directory}`];
  assert.deepEqual(calls.splice(0), [...draft, 'fsync last-good.new', ...renamed, ...entry]);
  assert.equal(readFileSync(path, 'utf8'), 'one');
  await writeLastGood(path, 'two', { flush: false, files });
  assert.deepEqual(calls.splice(0), [...draft, ...renamed]);
  assert.equal(readFileSync(path, 'utf8'), 'two');
});

void test('a write that fails leaves what was there', async (t) => {
  const path = pathFor(t);
  await writeLastGood(path, 'old', { flush: true });
  await assert.rejects(writeLastGood(join(path, 'not-a-directory'), 'new', { flush: true }));
  assert.equal(readFileSync(path, 'utf8'), 'old');
});
