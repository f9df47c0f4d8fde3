import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { systemClock as clock } from '@mesh/clock/system';
import { dispatch } from '../dispatch.ts';
import { injectCommand } from './inject.ts';

/** What `mesh inject` prints, and reports, for a manifest. */
async function inject(
  t: TestContext,
  manifest: string,
): Promise<{ code: number; out: string; notes: string[] }> {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-inject-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'manifest.yaml');
  writeFileSync(file, manifest);
  const out: string[] = [];
  const notes: string[] = [];
  const output = {
    print: (line: string) => void out.push(line),
    note: (line: string) => void notes.push(line),
    paint: (_: string, text: string) => text,
    interactive: false,
  };
  const code = await dispatch([injectCommand], ['inject', file], { output, clock, environment: {} });
  return { code, out: out.join('\n'), notes };
}

test('what kubectl reads from the manifest is what it reads from the output', async (t) => {
  const { code, out } = await inject(
    t,
    `kind: Pod
metadata: {name: a, annotations: {text: "no"}}
spec:
  optional: yes
  modes: [0400, 0o400, 0b11]
  texts: ["yes", "on", "n", "0400", "0b11", "1_000", "1e3", "0o7", 'true', "~"]
  times: [12:30, 2024-01-01, "12:30"]
  base: &base {cpu: 1}
  merged: {<<: *base, memory: 2}
`,
  );
  assert.equal(code, 0);
  assert.equal(
    out,
    `---
kind: Pod
metadata:
  name: a
  annotations:
    text: "no"
    mesh.io/inject: enabled
spec:
  optional: true
  modes:
    - 256
    - 256
    - 3
  texts:
    - "yes"
    - "on"
    - "n"
    - "0400"
    - "0b11"
    - "1_000"
    - "1e3"
    - "0o7"
    - "true"
    - "~"
  times:
    - "12:30"
    - "2024-01-01"
    - "12:30"
  base:
    cpu: 1
  merged:
    cpu: 1
    memory: 2`,
  );
});

test('every kind that makes pods is annotated at its pods, and nothing else is touched', async (t) => {
  const template = 'template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a}]}}';
  const kinds = ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'ReplicationController', 'Job'];
  const manifests = [
    ...kinds.map((kind) => `{kind: ${kind}, metadata: {name: a}, spec: {${template}}}`),
    `{kind: CronJob, metadata: {name: a}, spec: {jobTemplate: {spec: {${template}}}}}`,
    '{kind: Pod, metadata: {name: a}, spec: {containers: [{name: a}]}}',
    '{kind: Namespace, metadata: {name: a}}',
  ];
  for (const manifest of manifests) {
    const { code, out, notes } = await inject(t, manifest);
    assert.equal(code, 0);
    assert.match(notes.join('\n'), /^\w+ "a" injected$/);
    assert.equal(out.split('mesh.io/inject: enabled').length, 2, out);
    const [before = ''] = out.split('mesh.io/inject: enabled');
    if (manifest.includes('template'))
      assert.match(before, /template:\n\s+metadata:\n\s+labels:\n\s+app: a\n/i);
  }
  const others =
    'kind: Service\nmetadata: {name: a}\n---\n# nothing\n---\nkind: Kustomization\nresources: [a]\n';
  const { code, out, notes } = await inject(t, others);
  assert.equal(code, 0);
  assert.deepEqual(notes, ['service "a" skipped', 'kustomization "" skipped']);
  assert.doesNotMatch(out, /mesh.io/);
});

test('an annotation that meant nothing becomes one that does', async (t) => {
  const annotations = 'annotations: {mesh.io/inject: "true"}';
  const { out } = await inject(t, `{kind: Pod, metadata: {name: a, ${annotations}}, spec: {containers: []}}`);
  assert.match(out, /mesh.io\/inject: enabled/);
});

test('what says that it wants no sidecar, or can have none, stays as it is', async (t) => {
  const disabled = 'metadata: {name: a, annotations: {mesh.io/inject: disabled}}';
  for (const manifest of [
    `{kind: Deployment, metadata: {name: a}, spec: {template: {${disabled}, spec: {containers: []}}}}`,
    `{kind: Pod, ${disabled}, spec: {containers: []}}`,
    `{kind: Namespace, ${disabled}}`,
    '{kind: Pod, metadata: {name: a}, spec: {hostNetwork: true, containers: []}}',
  ]) {
    const { out, notes } = await inject(t, manifest);
    assert.match(notes.join('\n'), /^\w+ "a" skipped$/);
    assert.doesNotMatch(out, /inject: enabled/);
  }
});

test('anchors may be used often, and what is no manifest is refused by its name', async (t) => {
  const uses = Array.from({ length: 200 }, () => '*base').join(', ');
  const { code } = await inject(t, `{kind: Pod, metadata: {name: a}, base: &base {x: 1}, uses: [${uses}]}`);
  assert.equal(code, 0);
  const doubled = Array.from(
    { length: 20 },
    (_, index) => `a${index + 1}: &a${index + 1} [*a${index}, *a${index}]`,
  );
  const bomb = `kind: Pod\na0: &a0 [x]\n${doubled.join('\n')}\n`;
  for (const manifest of [bomb, 'kind: List\nitems: [null]\n', 'text', '{kind: 1}']) {
    const refused = await inject(t, manifest);
    assert.equal(refused.code, 1);
    assert.equal(refused.out, '');
    assert.match(refused.notes.join('\n'), /error: .*manifest.yaml: .*\n {2}remedy: /);
  }
});
