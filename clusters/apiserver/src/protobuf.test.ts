import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeProtobuf } from './protobuf.ts';

/** A length-delimited field. */
function field(number: number, content: Buffer | string): Buffer {
  const bytes = Buffer.from(content);
  assert.ok(bytes.length < 128 && number < 16);
  return Buffer.concat([Buffer.from([(number << 3) | 2, bytes.length]), bytes]);
}
const varint = (number: number, value: number): Buffer => Buffer.from([number << 3, value]);

function envelope(kind: string, raw: Buffer): Buffer {
  const type = Buffer.concat([field(1, 'v1'), field(2, kind)]);
  return Buffer.concat([Buffer.from('k8s\0'), field(1, type), field(2, raw)]);
}

const service = envelope(
  'Service',
  Buffer.concat([
    field(
      1,
      Buffer.concat([
        field(1, 'cart'),
        field(3, ''),
        field(8, ''),
        field(11, Buffer.concat([field(1, 'a'), field(2, 'b')])),
      ]),
    ),
    field(
      2,
      Buffer.concat([
        field(
          1,
          Buffer.concat([
            field(1, 'http'),
            varint(3, 80),
            field(4, Buffer.concat([varint(1, 1), varint(2, 0), field(3, 'web')])),
            varint(5, 0),
          ]),
        ),
        field(9, ''),
        varint(13, 0),
      ]),
    ),
    field(3, field(1, '')),
  ]),
);

test('an object becomes its JSON form, without zero values', () => {
  assert.deepEqual(decodeProtobuf(service), {
    kind: 'ok',
    object: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'cart', labels: { a: 'b' } },
      spec: { ports: [{ name: 'http', port: 80, targetPort: 'web' }] },
    },
  });
});

test('a pointer keeps its zero; a field that is not known is refused, not dropped', () => {
  const deployment = (spec: Buffer): Buffer => envelope('Deployment', field(2, spec));
  const scaledDown = decodeProtobuf(deployment(varint(1, 0)));
  assert.deepEqual(scaledDown.kind === 'ok' ? scaledDown.object['spec'] : scaledDown, { replicas: 0 });
  assert.deepEqual(decodeProtobuf(deployment(varint(14, 1))), {
    kind: 'unsupported',
    fault: 'field 14 of DeploymentSpec',
  });
  assert.equal(decodeProtobuf(envelope('CronJob', Buffer.alloc(0))).kind, 'unsupported');
  assert.equal(decodeProtobuf(envelope('PodSpec', Buffer.alloc(0))).kind, 'unsupported');
});

test('property: damage is a fault or an object, never a crash', () => {
  fc.assert(
    fc.property(fc.nat(service.length - 1), fc.integer({ min: 0, max: 255 }), (index, byte) => {
      const damaged = Buffer.from(service);
      damaged[index] = byte;
      const result = decodeProtobuf(damaged);
      assert.ok(result.kind === 'ok' || result.fault !== '');
    }),
    { numRuns: 1000 },
  );
  for (let length = 0; length < service.length; length++) {
    assert.notEqual(decodeProtobuf(service.subarray(0, length)), undefined);
  }
});
