import assert from 'node:assert/strict';
import { checkCsr, maxCsrBytes } from '@mesh/ca/signing-request';
import { isFault, parseCertificate } from '@mesh/trust/certificate';
import { parseCsr } from '@mesh/trust/csr';
import { der as writeDer, DerReader, readOid, readTime } from '@mesh/trust/der';
import type { FuzzTarget } from '../target.ts';

const constructed = 0x20;
const mostDepth = 64;

/** Walks all elements; what was read is written again and must be the same bytes (DER has one form). */
function walk(bytes: Buffer, depth: number): void {
  const reader = new DerReader(bytes);
  for (let at = 0; at < bytes.length; ) {
    const element = reader.next();
    if (element === undefined) return;
    const { tag, content } = element;
    const again = writeDer(tag, content);
    assert.ok(bytes.subarray(at, at + again.length).equals(again), 'a second form of the same element');
    at += again.length;
    readOid(content);
    readTime(element);
    if ((tag & constructed) !== 0 && depth < mostDepth) walk(content, depth + 1);
  }
}

export const der: FuzzTarget = {
  name: 'der',
  what: 'DER elements',
  seeds: () => [
    writeDer(0x30, writeDer(0x06, Buffer.from([0x55, 0x1d, 0x11])), writeDer(0x0c, Buffer.from('a'))),
  ],
  dictionary: [
    Buffer.from([0x30, 0x80]),
    Buffer.from([0x30, 0x84]),
    Buffer.from([0x81, 0x80]),
    Buffer.from([5, 0]),
  ],
  run: (input) => walk(input, 0),
};

export const certificate: FuzzTarget = {
  name: 'certificate',
  what: 'X.509 certificates of peers',
  seeds: () => [],
  dictionary: [Buffer.from([0x55, 0x1d, 0x11]), Buffer.from([0x30, 0]), Buffer.from([1, 1, 0xff])],
  run(input) {
    const read = parseCertificate(input);
    if (!isFault(read)) assert.ok(read.notBefore <= Number.MAX_SAFE_INTEGER);
  },
};

export const csr: FuzzTarget = {
  name: 'csr',
  what: 'PKCS #10 requests at the identity service',
  mostBytes: maxCsrBytes,
  seeds: () => [],
  dictionary: [Buffer.from([0x55, 0x1d, 0x11]), Buffer.from([0x82, 1]), Buffer.from([0xa0, 0])],
  run(input) {
    const identity = 'web.shop.serviceaccount.identity.mesh.east.mesh.local';
    const read = parseCsr(input);
    const checked = checkCsr(input, identity);
    if ('spki' in checked) {
      assert.ok('names' in read && read.names.length === 1);
      assert.equal(read.names[0]?.value.toString('latin1'), identity);
    }
  },
};
