import assert from 'node:assert/strict';
import { test } from 'node:test';
import { build } from 'esbuild';
import { bundleOptions } from './bundle-options.ts';
import { plainDescriptors } from './descriptors.ts';
import { programs } from './programs.ts';
import { runBundled } from './testing/run-bundled.ts';

const program = `
  import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
  import { timestampFromMs } from '@bufbuild/protobuf/wkt';
  import { CertifyResponseSchema } from './packages/control-api/src/gen/linkerd/identity_pb.ts';
  import { Destination, UpdateSchema } from './packages/control-api/src/gen/linkerd/destination_pb.ts';
  const address = { ip: { ip: { case: 'ipv4', value: 0x0a000001 } }, port: 80 };
  const addrs = [{ addr: address, weight: 3, metricLabels: { a: 'b' } }];
  const update = toBinary(UpdateSchema, create(UpdateSchema, { update: { case: 'add', value: { addrs } } }));
  const answer = create(CertifyResponseSchema, { validUntil: timestampFromMs(1_750_000_000_000) });
  console.log(JSON.stringify([
    Destination.method.get.output.typeName,
    Buffer.from(update).toString('hex'),
    fromBinary(UpdateSchema, update),
    Buffer.from(toBinary(CertifyResponseSchema, answer)).toString('hex'),
  ]));
`;

test('a bundle with plain descriptors writes and reads what one with those of protobuf-es does', async () => {
  const theirs = await runBundled(program, []);
  assert.match(JSON.stringify(theirs), /"io\.linkerd\.proxy\.destination\.Update"/);
  assert.deepEqual(await runBundled(program, [plainDescriptors]), theirs);
});

test('no program decodes a descriptor at its start', async () => {
  const { metafile } = await build({
    ...bundleOptions,
    write: false,
    metafile: true,
    entryPoints: Object.values(programs),
    outdir: 'dist',
    plugins: [plainDescriptors],
  });
  const decoding = Object.entries(metafile.outputs).flatMap(([bundle, { inputs }]) =>
    Object.keys(inputs)
      .filter((path) => /protobuf\/.*(codegenv2\/file|descriptor_pb|registry)\.js$/.test(path))
      .map((path) => `${bundle}: ${path}`),
  );
  assert.deepEqual(decoding, []);
});
