import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { build, type BuildOptions } from 'esbuild';
import { plainDescriptors } from './descriptors.ts';
import { programs } from './programs.ts';

const root = join(import.meta.dirname, '..');
const options = {
  absWorkingDir: root,
  bundle: true,
  write: false,
  metafile: true,
  platform: 'node',
  format: 'esm',
  external: ['koffi'],
} as const satisfies BuildOptions;

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

async function run(plugins: (typeof plainDescriptors)[]): Promise<unknown> {
  const stdin = { contents: program, resolveDir: root };
  const { outputFiles } = await build({ ...options, stdin, plugins });
  const input = outputFiles[0]?.text ?? '';
  return JSON.parse(execFileSync(process.execPath, ['--input-type=module'], { input, encoding: 'utf8' }));
}

test('a bundle with plain descriptors writes and reads what one with those of protobuf-es does', async () => {
  const theirs = await run([]);
  assert.match(JSON.stringify(theirs), /"io\.linkerd\.proxy\.destination\.Update"/);
  assert.deepEqual(await run([plainDescriptors]), theirs);
});

test('no program decodes a descriptor at its start', async () => {
  const { metafile } = await build({
    ...options,
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
