import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import {
  create,
  type DescField,
  type DescFile,
  type DescMessage,
  fromBinary,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf';
import { file_google_protobuf_duration, file_google_protobuf_timestamp } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { isFile, plainFileText } from './descriptor-text.ts';
import { describeFile } from './plain-descriptors.ts';
import type { PlainFile } from './plain-file.ts';

const generated = join(import.meta.dirname, 'gen');

/** By protobuf-es, with what ours come to: each file after those that it imports. */
const files = new Map<DescFile, DescFile>();

async function describeAgain(file: DescFile): Promise<DescFile> {
  const known = files.get(file);
  if (known !== undefined) return known;
  const dependencies: DescFile[] = [];
  for (const each of file.dependencies) dependencies.push(await describeAgain(each));
  const text = encodeURIComponent(`export default ${plainFileText(file)}`);
  const { default: plain } = (await import(`data:text/javascript,${text}`)) as { default: PlainFile };
  const ours = describeFile(plain, dependencies);
  files.set(file, ours);
  return ours;
}

for (const file of [file_google_protobuf_duration, file_google_protobuf_timestamp]) await describeAgain(file);
for (const name of readdirSync(generated, { recursive: true, encoding: 'utf8' })) {
  if (!name.endsWith('_pb.ts')) continue;
  const exports = (await import(join(generated, name))) as object;
  for (const file of Object.values(exports).filter(isFile)) await describeAgain(file);
}

const pairs = [...files].flatMap(([theirs, ours]) => pairsOf(theirs.messages, ours.messages));

function pairsOf(theirs: DescMessage[], ours: DescMessage[]): { theirs: DescMessage; ours: DescMessage }[] {
  return theirs.flatMap((message, index) => {
    const same = ours[index];
    assert.ok(same);
    return [{ theirs: message, ours: same }, ...pairsOf(message.nestedMessages, same.nestedMessages)];
  });
}

/** All that a descriptor says, with names in place of the descriptors that it refers to. */
function facts(described: object): unknown {
  const owned = new Set(['enums', 'messages', 'services', 'extensions', 'nestedEnums', 'nestedMessages']);
  for (const each of ['nestedExtensions', 'fields', 'values', 'methods']) owned.add(each);
  const known = ['kind', 'name', 'typeName', 'deprecated', 'file', 'parent', 'field', 'oneofs', 'members'];
  const keys = new Set([...known, ...owned, ...Object.keys(described)]);
  // The descriptor of the descriptor, and functions.
  for (const key of ['proto', 'toString', 'getDefaultValue']) keys.delete(key);
  const say = (key: string, value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value))
      return value.map((each: object) => (owned.has(key) ? facts(each) : String(each)));
    if (Object.getPrototypeOf(value) === Object.prototype && !('kind' in value)) {
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, String(each)]));
    }
    return String(value);
  };
  const said = [...keys].map((key) => [key, say(key, (described as Record<string, unknown>)[key])] as const);
  return { text: String(described), ...Object.fromEntries(said.filter(([, value]) => value !== undefined)) };
}

test('a descriptor of plain data says what that of protobuf-es says', () => {
  assert.ok(pairs.length > 100, `${pairs.length} messages`);
  for (const [theirs, ours] of files) assert.deepEqual(facts(ours), facts(theirs));
});

test('references lead to descriptors of plain data, too', () => {
  const all = new Set<unknown>(pairs.map(({ ours }) => ours));
  for (const { ours } of pairs) {
    for (const field of ours.fields) if (field.message !== undefined) assert.ok(all.has(field.message));
  }
  for (const { services } of files.values()) {
    for (const { input, output } of services.flatMap(({ methods }) => methods)) {
      assert.ok(all.has(input) && all.has(output));
    }
  }
});

test('messages are written and read alike', () => {
  for (const { theirs, ours } of pairs) {
    fc.assert(
      fc.property(initOf(theirs, 3), (init) => {
        const bytes = toBinary(theirs, create(theirs, init));
        assert.deepEqual(toBinary(ours, create(ours, init)), bytes);
        assert.deepEqual(fromBinary(ours, bytes), fromBinary(theirs, bytes));
      }),
      { numRuns: 20 },
    );
  }
});

test('fields that nobody knows, and bytes that are no message', () => {
  for (const { theirs, ours } of pairs) {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        assert.deepEqual(attempt(ours, bytes), attempt(theirs, bytes));
      }),
      { numRuns: 50 },
    );
  }
});

function attempt(message: DescMessage, bytes: Uint8Array): unknown {
  try {
    return fromBinary(message, bytes);
  } catch (thrown) {
    return String(thrown);
  }
}

test('what a bundle does not have is asked for in vain, by name', () => {
  const { ours } = pairs.find(({ theirs }) => theirs.name === 'WeightedAddr') ?? assert.fail();
  assert.throws(() => ours.proto, /WeightedAddr/);
});

function initOf(message: DescMessage, depth: number): fc.Arbitrary<Record<string, unknown>> {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  for (const member of message.members) {
    if (member.kind === 'oneof') {
      const cases = member.fields.filter((field) => field.message === undefined || depth > 0);
      members[member.localName] = fc.oneof(
        fc.constant({ case: undefined }),
        ...cases.map((field) => valueOf(field, depth).map((value) => ({ case: field.localName, value }))),
      );
    } else if (member.message === undefined || depth > 0) {
      members[member.localName] = memberOf(member, depth);
    }
  }
  return fc.record(members, { requiredKeys: [] });
}

function memberOf(field: DescField, depth: number): fc.Arbitrary<unknown> {
  const value = valueOf(field, depth);
  if (field.fieldKind === 'list') return fc.array(value, { maxLength: 3 });
  return field.fieldKind === 'map'
    ? fc.dictionary(fc.string({ maxLength: 3 }), value, { maxKeys: 3 })
    : value;
}

function valueOf(field: DescField, depth: number): fc.Arbitrary<unknown> {
  if (field.message !== undefined) return initOf(field.message, depth - 1);
  if (field.enum !== undefined) return fc.constantFrom(...field.enum.values.map(({ number }) => number), 77);
  switch (field.scalar) {
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.STRING:
      return fc.string({ maxLength: 8, unit: 'grapheme' });
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 8 });
    case ScalarType.FLOAT:
      return fc.float();
    case ScalarType.DOUBLE:
      return fc.double();
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return fc.nat(0xffff_ffff);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    default:
      return fc.integer();
  }
}
