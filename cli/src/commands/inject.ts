import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import type { KubernetesObject } from '@mesh/charts/objects';
import { injectionDecision, type PodTemplate, withSidecar } from '@mesh/charts/sidecar';
import { injectAnnotation } from '@mesh/multicluster/workload-names';
import { parseStoredValues, type Values } from '@mesh/charts/values';
import { MeshError } from '@mesh/errors/mesh-error';
import { configMaps } from '@mesh/kube/resources';
import { connectCluster } from '../cluster-access.ts';
import { clusterFlags, command } from '../command.ts';
import { printManifests, readManifests } from '../manifests.ts';

const workloads: ReadonlySet<string> = new Set([
  'Deployment',
  'StatefulSet',
  'DaemonSet',
  'ReplicaSet',
  'ReplicationController',
  'Job',
]);

/** Asks for the sidecar by annotation; the webhook adds it when the pods are made. */
function annotated(object: KubernetesObject): KubernetesObject | undefined {
  if (object.kind === 'Namespace' || object.kind === 'Pod') {
    return {
      ...object,
      metadata: {
        ...object.metadata,
        annotations: { ...object.metadata.annotations, [injectAnnotation]: 'enabled' },
      },
    };
  }
  const template = templateOf(object);
  if (template === undefined) return undefined;
  const annotations = { ...template.metadata?.annotations, [injectAnnotation]: 'enabled' };
  return withTemplate(object, { ...template, metadata: { ...template.metadata, annotations } });
}

/** Adds the sidecar itself, for clusters without the webhook. Undefined: nothing to inject. */
function injected(object: KubernetesObject, values: Values): KubernetesObject | undefined {
  const template = object.kind === 'Pod' ? (object as unknown as PodTemplate) : templateOf(object);
  if (template === undefined || !injectionDecision(template, { [injectAnnotation]: 'enabled' }).inject)
    return undefined;
  const made = withSidecar(template, values);
  return object.kind === 'Pod' ? (made as unknown as KubernetesObject) : withTemplate(object, made);
}

function templateOf(object: KubernetesObject): PodTemplate | undefined {
  if (!workloads.has(object.kind)) return undefined;
  return (object['spec'] as { template?: PodTemplate } | undefined)?.template;
}

function withTemplate(object: KubernetesObject, template: PodTemplate): KubernetesObject {
  return { ...object, spec: { ...(object['spec'] as object), template } };
}

export const injectCommand = command({
  name: 'inject',
  summary: 'Add the sidecar to the workloads of a manifest',
  args: 'FILE|-',
  arity: [1, 1],
  details:
    'Reads a manifest and prints it with the annotation that asks for the sidecar; nothing is applied.\n' +
    'A report goes to stderr, so the output can be piped to kubectl.',
  flags: {
    ...clusterFlags,
    manual: {
      kind: 'boolean',
      doc: 'Add the containers themselves, with the values of the install in the cluster.',
    },
  },
  examples: ['kubectl get -n shop deploy -o yaml | mesh inject - | kubectl apply -f -'],
  async run({ args: [file = '-'], flags, output, clock, environment }) {
    const source = file === '-' ? 'stdin' : file;
    const content = await (file === '-' ? text(process.stdin) : readFile(file, 'utf8')).catch(
      (cause: unknown) => {
        throw new MeshError('cli-input', `${file} cannot be read`, { cause });
      },
    );
    let change = annotated;
    if (flags.manual) {
      const client = connectCluster({ flags, environment, clock });
      const stored = await client.find(configMaps, { namespace: 'mesh', name: 'mesh-config' });
      client.close();
      if (stored === undefined) {
        throw new MeshError(
          'not-installed',
          'the cluster has no mesh, so there are no values to inject with',
          {
            remedy: 'mesh install --cluster NAME --trust DIR | kubectl apply -f -',
          },
        );
      }
      const values = parseStoredValues(stored.data?.['values'] ?? '');
      change = (object) => injected(object, values);
    }
    const results = readManifests(source, content).map((object) => {
      const changed = change(object);
      output.note(
        `${object.kind.toLowerCase()} "${object.metadata.name}" ${changed === undefined ? 'skipped' : 'injected'}`,
      );
      return changed ?? object;
    });
    output.print(printManifests(results, 'yaml'));
  },
});
