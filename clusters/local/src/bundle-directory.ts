import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { MeshError } from '@mesh/errors/mesh-error';

/**
 * The directory of the program bundles: where this very program is when it is one, else `dist` of the repository.
 * @throws MeshError local-clusters when they are not built
 */
export function bundleDirectory(from: string = import.meta.dirname): string {
  for (let directory = from; ; directory = dirname(directory)) {
    for (const candidate of [directory, join(directory, 'dist')]) {
      if (existsSync(join(candidate, 'supervisor.js')) && existsSync(join(candidate, 'node.js')))
        return candidate;
    }
    if (directory === dirname(directory)) {
      throw new MeshError('local-clusters', 'the program bundles are not built', { remedy: 'npm run build' });
    }
  }
}
