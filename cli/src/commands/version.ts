import { parseStoredValues, version } from '@mesh/charts/values';
import { describeError } from '@mesh/errors/mesh-error';
import { configMaps } from '@mesh/kube/resources';
import { connectCluster } from '../cluster-access.ts';
import { clusterFlags, command } from '../command.ts';

export const versionCommand = command({
  name: 'version',
  summary: 'Show the version of this command and of the mesh in the cluster',
  flags: { ...clusterFlags, client: { kind: 'boolean', doc: 'Only this command; ask no cluster.' } },
  async run({ flags, output, clock, environment }) {
    output.print(`Client version: ${version}`);
    if (flags.client) return;
    let server = 'unavailable';
    try {
      const client = connectCluster({ flags, environment, clock });
      const stored = await client.get(
        configMaps,
        { namespace: 'mesh', name: 'mesh-config' },
        { timeoutMs: 5000 },
      );
      server = parseStoredValues(stored.data?.['values'] ?? '').version;
      client.close();
    } catch (failure) {
      // A cluster that cannot be asked is an answer here, not a failure; why, is said beside it.
      output.note(describeError(failure));
    }
    output.print(`Server version: ${server}`);
  },
});
