import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { mergeKubeconfigs } from './merge-kubeconfigs.ts';
import { processStartTime, StateDirectory, type LocalState } from './state-directory.ts';

function record(pid: number, startTime: string): LocalState {
  return { phase: 'ready', supervisor: { pid, startTime }, world: undefined, clusters: [] };
}

void test('a record counts only while its supervisor lives', (t) => {
  const path = mkdtempSync(join(tmpdir(), 'state-'));
  t.after(() => rmSync(path, { recursive: true }));
  const state = new StateDirectory(path);
  assert.equal(state.read(), undefined);
  const startTime = processStartTime(process.pid) ?? '';
  assert.match(startTime, /^\d+$/);
  state.write(record(process.pid, startTime));
  assert.equal(state.read()?.supervisor.pid, process.pid);
  state.write(record(process.pid, '1'));
  assert.equal(state.read(), undefined, 'another process got the number');
});

void test('removal leaves what is not ours', (t) => {
  const path = mkdtempSync(join(tmpdir(), 'state-'));
  t.after(() => rmSync(path, { recursive: true }));
  const state = new StateDirectory(path);
  mkdirSync(join(path, 'east'));
  writeFileSync(join(path, 'notes.txt'), '');
  state.write(record(1, '1'));
  state.remove(['east']);
  assert.ok(!existsSync(join(path, 'east')) && !existsSync(state.stateFile));
  assert.ok(existsSync(join(path, 'notes.txt')));
});

void test('a path too long for sockets is refused before anything starts', () => {
  assert.throws(
    () => new StateDirectory(`/tmp/${'x'.repeat(100)}`).cluster('east'),
    /too long for unix sockets/,
  );
});

void test('the directory comes from the environment', () => {
  assert.equal(StateDirectory.default({ MESH_LOCAL_DIR: '/tmp/m' }).path, '/tmp/m');
  assert.match(StateDirectory.default({}).path, /\/\.mesh\/local$/);
});

void test('kubeconfigs become one, the first context current', () => {
  const one = (name: string): string =>
    `clusters: [{name: ${name}, cluster: {server: s}}]\nusers: [{name: ${name}-admin}]\ncontexts: [{name: ${name}, context: {cluster: ${name}, user: ${name}-admin}}]\n`;
  const merged = parse(mergeKubeconfigs([one('east'), one('west')])) as Record<string, { name: string }[]>;
  assert.equal(merged['current-context'] as unknown, 'east');
  for (const list of ['clusters', 'users', 'contexts']) assert.equal(merged[list]?.length, 2, list);
});
