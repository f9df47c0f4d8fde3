import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { MeshError } from '@mesh/errors/mesh-error';

/** Programs of Kubernetes itself, as envtest lays them out in one directory. */
export interface KubernetesBinaries {
  readonly apiserver: string;
  readonly etcd: string;
}

/** Environment variable that names the directory, for people; the same as envtest reads. */
export const assetsVariable = 'KUBEBUILDER_ASSETS';

/**
 * The binaries in `directory`.
 * @throws MeshError assets-missing naming each path that is not there or cannot be run
 */
export function findBinaries(directory: string): KubernetesBinaries {
  const found = { apiserver: join(directory, 'kube-apiserver'), etcd: join(directory, 'etcd') };
  const faults = isAbsolute(directory)
    ? Object.values(found).flatMap((path) => whyUnusable(path) ?? [])
    : [`${JSON.stringify(directory)} is not an absolute path`];
  if (faults.length > 0) {
    throw new MeshError('assets-missing', `${assetsVariable}: ${faults.join('; ')}`, {
      remedy: `Let ${assetsVariable} name the directory that holds kube-apiserver and etcd, or unset it to use the embedded API server.`,
    });
  }
  return found;
}

function whyUnusable(path: string): string | undefined {
  try {
    accessSync(path, constants.X_OK);
    return undefined;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EACCES'
      ? `${path} is not executable`
      : `there is no ${path}`;
  }
}

/** What the binaries say of themselves: `kube-apiserver v1.35.4 and etcd 3.6.16`. */
export function describeBinaries({ apiserver, etcd }: KubernetesBinaries): string {
  const ask = (binary: string): string =>
    execFileSync(binary, ['--version'], { encoding: 'utf8', timeout: 10_000 });
  const kubernetes = /Kubernetes (\S+)/.exec(ask(apiserver))?.[1] ?? '(unknown version)';
  const store = /etcd Version: (\S+)/.exec(ask(etcd))?.[1] ?? '(unknown version)';
  return `kube-apiserver ${kubernetes} and etcd ${store}`;
}
