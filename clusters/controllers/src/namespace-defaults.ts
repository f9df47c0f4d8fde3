import { isAlreadyExists } from '@mesh/kube/api-error';
import { ensureObject } from '@mesh/kube/apply';
import { isDeleting } from '@mesh/kube/objects';
import { configMaps, namespaces, serviceAccounts } from '@mesh/kube/resources';
import type { ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';

const rootCa = 'kube-root-ca.crt';

/**
 * Gives every namespace its ServiceAccount `default` and the ConfigMap `kube-root-ca.crt`, which pods mount to trust
 * the API server.
 * @param clusterCa PEM of the API server's authority; without it only the ServiceAccount is made
 */
export function namespaceDefaultsController(
  context: ControllerContext,
  clusterCa: string | undefined,
): ControlLoop {
  const { client, informers } = context;
  return new ControlLoop(context, {
    name: 'namespace-defaults',
    reconcile: async (name) => {
      const namespace = informers.of(namespaces).get(undefined, name);
      if (namespace === undefined || isDeleting(namespace)) return;
      try {
        if (informers.of(serviceAccounts).get(name, 'default') === undefined) {
          await client
            .create(serviceAccounts, { metadata: { name: 'default', namespace: name } })
            .catch(ignoreExisting);
        }
        if (clusterCa !== undefined) {
          const desired = { metadata: { name: rootCa, namespace: name }, data: { 'ca.crt': clusterCa } };
          await ensureObject(client, configMaps, desired, {
            current: informers.of(configMaps).get(name, rootCa),
            exact: ['data'],
          });
        }
      } catch (thrown) {
        // the namespace may have gone, or begun to go, meanwhile
        const current = await client.find(namespaces, { name });
        if (current !== undefined && !isDeleting(current)) throw thrown;
      }
    },
  })
    .watch(namespaces, ({ metadata }) => [metadata.name])
    .watch(serviceAccounts, ({ metadata }) => (metadata.name === 'default' ? [metadata.namespace ?? ''] : []))
    .watch(configMaps, ({ metadata }) => (metadata.name === rootCa ? [metadata.namespace ?? ''] : []));
}

function ignoreExisting(thrown: unknown): void {
  if (!isAlreadyExists(thrown)) throw thrown;
}
