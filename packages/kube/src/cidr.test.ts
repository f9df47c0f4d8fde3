import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addressAt,
  cidrContains,
  cidrsOverlap,
  formatCidr,
  formatIp,
  mergeCidrs,
  parseCidr,
  parseIp,
} from './cidr.ts';

void test('an address survives formatting and parsing', () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), (value) => {
      assert.equal(parseIp(formatIp(value)), value);
    }),
  );
});

void test('what is no dotted quad is refused', () => {
  for (const text of ['', '1.2.3', '1.2.3.4.5', '256.0.0.1', '01.2.3.4', '1.2.3.-4', 'a.b.c.d', '1.2.3.4 ']) {
    assert.equal(parseIp(text), undefined, text);
  }
});

void test('a prefix must have no bits behind its length', () => {
  assert.deepEqual(parseCidr('10.1.0.0/16'), { base: 0x0a010000, prefix: 16 });
  assert.equal(parseCidr('10.1.0.1/16'), undefined);
  assert.equal(parseCidr('10.1.0.0/33'), undefined);
  assert.equal(parseCidr('10.1.0.0'), undefined);
});

void test('addresses of a prefix', () => {
  const cidr = parseCidr('192.0.2.0/30');
  assert.ok(cidr !== undefined);
  assert.equal(addressAt(cidr, 3), '192.0.2.3');
  assert.throws(() => addressAt(cidr, 4), /192\.0\.2\.0\/30 has no address 4/);
  assert.equal(cidrContains(cidr, parseIp('192.0.2.4') ?? 0), false);
});

void test('overlap is symmetric and holds for nested prefixes', () => {
  const [wide, narrow, other] = ['10.0.0.0/8', '10.1.2.0/24', '11.0.0.0/8'].map(parseCidr);
  assert.ok(wide !== undefined && narrow !== undefined && other !== undefined);
  assert.ok(cidrsOverlap(wide, narrow) && cidrsOverlap(narrow, wide));
  assert.ok(!cidrsOverlap(wide, other));
});

void test('prefixes are merged into the fewest with the same addresses', () => {
  const merged = (...texts: string[]): string[] =>
    mergeCidrs(texts.flatMap((text) => parseCidr(text) ?? [])).map(formatCidr);
  const nodes = Array.from({ length: 200 }, (_, index) => `10.244.${index}.0/24`);
  assert.deepEqual(merged(...nodes), ['10.244.0.0/17', '10.244.128.0/18', '10.244.192.0/21']);
  assert.deepEqual(merged('10.0.3.0/24', '10.0.2.0/24', '10.0.1.0/24'), ['10.0.1.0/24', '10.0.2.0/23']);
  assert.deepEqual(merged('10.1.0.0/16', '10.0.0.0/8', '10.1.0.0/16'), ['10.0.0.0/8']);
  assert.deepEqual(merged('128.0.0.0/1', '0.0.0.0/1'), ['0.0.0.0/0']);
  assert.deepEqual(merged(), []);
  const small = fc.record({ base: fc.nat(31), prefix: fc.integer({ min: 27, max: 32 }) });
  fc.assert(
    fc.property(fc.array(small), (given) => {
      const cidrs = given.map(({ base, prefix }) => ({ base: base - (base % 2 ** (32 - prefix)), prefix }));
      const result = mergeCidrs(cidrs);
      for (let address = 0; address < 40; address++) {
        const within = cidrs.some((cidr) => cidrContains(cidr, address));
        assert.equal(result.filter((cidr) => cidrContains(cidr, address)).length, within ? 1 : 0);
      }
    }),
  );
});
