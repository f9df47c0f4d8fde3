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

/** Asks for the sidecar by annotation; the webhook adds it when the pods are made. Undefined: nothing to inject. */
function annotated(object: KubernetesObject): KubernetesObject | undefined {
  const template = object.kind === 'Namespace' ? (object as PodTemplate) : templateOf(object);
  if (template === undefined || !takesSidecar(template)) return undefined;
  const annotations = { ...template.metadata?.annotations, [injectAnnotation]: 'enabled' };
  return withTemplate(object, { ...template, metadata: { ...template.metadata, annotations } });
}

/** Adds the sidecar itself, for clusters without the webhook. Undefined: nothing to inject. */
function injected(object: KubernetesObject, values: Values): KubernetesObject | undefined {
  const template = templateOf(object);
  if (template === undefined || !takesSidecar(template)) return undefined;
  return withTemplate(object, withSidecar(template, values));
}

/** False also where an annotation says `disabled`, on a Namespace as on a pod. */
function takesSidecar(template: PodTemplate): boolean {
  const decision = injectionDecision(template, { [injectAnnotation]: 'enabled' });
  return decision.inject || decision.misspelt === true;
}

interface Workload {
  spec?: { template?: PodTemplate; jobTemplate?: { spec?: { template?: PodTemplate } } };
}

function templateOf(object: KubernetesObject): PodTemplate | undefined {
  if (object.kind === 'Pod') return object as PodTemplate;
  const { spec } = object as Workload;
  if (object.kind === 'CronJob') return spec?.jobTemplate?.spec?.template;
  return workloads.has(object.kind) ? spec?.template : undefined;
}

/** `object` with another template, which for a Pod or a Namespace is all of it. */
function withTemplate(object: KubernetesObject, template: PodTemplate): KubernetesObject {
  const { spec } = object as Workload;
  if (object.kind === 'Pod' || object.kind === 'Namespace') return template as KubernetesObject;
  if (object.kind !== 'CronJob') return { ...object, spec: { ...spec, template } };
  const { jobTemplate } = spec ?? {};
  return {
    ...object,
    spec: { ...spec, jobTemplate: { ...jobTemplate, spec: { ...jobTemplate?.spec, template } } },
  };
}

/** A Job may have no name yet, and what is no object of an API server, such as a Kustomization, no metadata. */
function nameOf({ metadata }: { metadata?: { name?: string; generateName?: string } | null }): string {
  return metadata?.name ?? metadata?.generateName ?? '';
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
        `${object.kind.toLowerCase()} "${nameOf(object)}" ${changed === undefined ? 'skipped' : 'injected'}`,
      );
      return changed ?? object;
    });
    output.print(printManifests(results, 'yaml'));
  },
});
