import { controlPlaneChecks } from '../checks/control-plane.ts';
import { multiclusterChecks } from '../checks/multicluster.ts';
import { runChecks } from '../checks/run.ts';
import { connectCluster } from '../cluster-access.ts';
import { clusterFlags, command, outputFlag } from '../command.ts';
import { namespaces } from '@mesh/kube/resources';
import { multiclusterNamespace } from '@mesh/multicluster/link';

export const checkCommand = command({
  name: 'check',
  summary: 'Check the mesh of a cluster and say what is wrong and why',
  details:
    'Exit code 1 when a check fails; warnings do not count. The multi-cluster extension is checked where it is installed.',
  flags: {
    ...clusterFlags,
    namespace: { kind: 'text', doc: 'Look only at the pods of this namespace. Default: all.', value: 'NAME' },
    output: outputFlag('table', 'short', 'json'),
  },
  async run({ flags, output, clock, environment }) {
    const client = connectCluster({ flags, environment, clock });
    try {
      const categories = controlPlaneChecks({ client, clock, namespace: flags.namespace });
      const extension = await client.find(namespaces, { name: multiclusterNamespace }).catch(() => undefined);
      if (extension !== undefined) categories.push(...multiclusterChecks({ client, clock }));
      return await runChecks(categories, { output, format: flags.output });
    } finally {
      client.close();
    }
  },
});
