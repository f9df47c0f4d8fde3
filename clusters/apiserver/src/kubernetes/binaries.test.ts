import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MeshError } from '@mesh/errors/mesh-error';
import { describeBinaries, findBinaries } from './binaries.ts';

test('a directory without usable binaries is refused with each path and what is wrong', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'mesh-assets-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const refused = (where: string, ...faults: RegExp[]): void => {
    assert.throws(
      () => findBinaries(where),
      (thrown) => {
        assert.ok(thrown instanceof MeshError && thrown.code === 'assets-missing');
        for (const fault of faults) assert.match(thrown.message, fault);
        return true;
      },
    );
  };
  refused('bin', /"bin" is not an absolute path/);
  refused(directory, /there is no \S+\/kube-apiserver; there is no \S+\/etcd/);
  writeFileSync(join(directory, 'etcd'), '#!/bin/sh\necho etcd Version: 3.6.0', { mode: 0o755 });
  writeFileSync(join(directory, 'kube-apiserver'), '');
  refused(directory, /kube-apiserver is not executable$/);
  rmSync(join(directory, 'kube-apiserver'));
  writeFileSync(join(directory, 'kube-apiserver'), '#!/bin/sh\necho Kubernetes v1.35.0', { mode: 0o755 });
  const found = findBinaries(directory);
  assert.deepEqual(found, { apiserver: join(directory, 'kube-apiserver'), etcd: join(directory, 'etcd') });
  assert.equal(describeBinaries(found), 'kube-apiserver v1.35.0 and etcd 3.6.0');
});
