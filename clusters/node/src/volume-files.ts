/** The files of ConfigMap, Secret, downward API and projected volumes, as data; nothing is written here. */
import type { ConfigMap, Container, Pod, Secret } from '@mesh/kube/types';
import { podField, resourceField, type ClusterData, type ConfigFault } from './environment.ts';

export interface VolumeFile {
  readonly content: Buffer;
  readonly mode: number;
}

export type VolumeFiles = Map<string, VolumeFile>;
export type PodVolume = NonNullable<NonNullable<Pod['spec']>['volumes']>[number];
type Projection = NonNullable<NonNullable<PodVolume['projected']>['sources']>[number];

/** A ServiceAccount token to ask for and put into the volume. */
export interface TokenSource {
  readonly path: string;
  /** Empty text: the API server's own audience. */
  readonly audience: string;
  readonly expirationSeconds: number;
  readonly mode: number;
}

export interface VolumeContent {
  readonly files: VolumeFiles;
  readonly tokens: readonly TokenSource[];
}

export interface VolumeContext {
  readonly pod: Pod;
  readonly podIp: string;
  readonly hostIp: string;
  readonly data: ClusterData;
}

interface Item {
  key: string;
  path: string;
  mode?: number | undefined;
}

const defaultMode = 0o644;

/** Files and tokens of a volume; undefined for volumes whose content is not made from the API (emptyDir). */
export function volumeContent(
  volume: PodVolume,
  context: VolumeContext,
): VolumeContent | ConfigFault | undefined {
  const { pod, data } = context;
  const namespace = pod.metadata?.namespace ?? 'default';
  if (volume.emptyDir !== undefined) return undefined;
  if (volume.configMap !== undefined) {
    const { name = '', items, optional, defaultMode: mode = defaultMode } = volume.configMap;
    const files = objectFiles(
      { kind: 'configmap', name, items, optional, mode },
      data.configMap(namespace, name),
    );
    return 'fault' in files ? files : { files, tokens: [] };
  }
  if (volume.secret !== undefined) {
    const { secretName: name = '', items, optional, defaultMode: mode = defaultMode } = volume.secret;
    const files = objectFiles({ kind: 'secret', name, items, optional, mode }, data.secret(namespace, name));
    return 'fault' in files ? files : { files, tokens: [] };
  }
  if (volume.downwardAPI !== undefined) {
    const { items = [], defaultMode: mode = defaultMode } = volume.downwardAPI;
    const files = downwardFiles(items, mode, context);
    return 'fault' in files ? files : { files, tokens: [] };
  }
  if (volume.projected !== undefined) {
    const { sources = [], defaultMode: mode = defaultMode } = volume.projected;
    const files: VolumeFiles = new Map();
    const tokens: TokenSource[] = [];
    for (const source of sources) {
      if (source.serviceAccountToken !== undefined) {
        const { path, audience = '', expirationSeconds = 3600 } = source.serviceAccountToken;
        const escaped = pathFault(path);
        if (escaped !== undefined) return escaped;
        tokens.push({ path, audience, expirationSeconds, mode });
        continue;
      }
      const part = projectedFiles(source, mode, context);
      if ('fault' in part) return part;
      for (const [path, file] of part) files.set(path, file);
    }
    return { files, tokens };
  }
  const kind = Object.keys(volume).find((key) => key !== 'name') ?? 'unknown';
  return { fault: `volume "${volume.name}": type ${kind} is not supported on this node` };
}

function projectedFiles(source: Projection, mode: number, context: VolumeContext): VolumeFiles | ConfigFault {
  const namespace = context.pod.metadata?.namespace ?? 'default';
  if (source.configMap !== undefined) {
    const { name = '', items, optional } = source.configMap;
    return objectFiles(
      { kind: 'configmap', name, items, optional, mode },
      context.data.configMap(namespace, name),
    );
  }
  if (source.secret !== undefined) {
    const { name = '', items, optional } = source.secret;
    return objectFiles({ kind: 'secret', name, items, optional, mode }, context.data.secret(namespace, name));
  }
  if (source.downwardAPI !== undefined) return downwardFiles(source.downwardAPI.items ?? [], mode, context);
  return { fault: `projected source ${Object.keys(source).join(', ')} is not supported on this node` };
}

interface ObjectSelection {
  kind: 'configmap' | 'secret';
  name: string;
  items: Item[] | undefined;
  optional: boolean | undefined;
  mode: number;
}

function objectFiles(
  { kind, name, items, optional, mode }: ObjectSelection,
  object: ConfigMap | Secret | undefined,
): VolumeFiles | ConfigFault {
  const files: VolumeFiles = new Map();
  if (object === undefined) return optional === true ? files : { fault: `${kind} "${name}" not found` };
  const values = new Map<string, Buffer>();
  const textual = kind === 'configmap';
  for (const [key, value] of Object.entries(object.data ?? {})) {
    values.set(key, Buffer.from(value, textual ? 'utf8' : 'base64'));
  }
  if (textual && 'binaryData' in object) {
    for (const [key, value] of Object.entries(object.binaryData ?? {})) {
      values.set(key, Buffer.from(value, 'base64'));
    }
  }
  const chosen: Item[] = items ?? [...values.keys()].map((key) => ({ key, path: key }));
  for (const item of chosen) {
    const content = values.get(item.key);
    const escaped = pathFault(item.path);
    if (escaped !== undefined) return escaped;
    if (content !== undefined) files.set(item.path, { content, mode: item.mode ?? mode });
    else if (optional !== true) return { fault: `${kind} "${name}" has no key ${item.key}` };
  }
  return files;
}

interface DownwardItem {
  path: string;
  mode?: number | undefined;
  fieldRef?: { fieldPath: string } | undefined;
  resourceFieldRef?: { containerName?: string; resource: string; divisor?: string } | undefined;
}

function downwardFiles(
  items: readonly DownwardItem[],
  mode: number,
  context: VolumeContext,
): VolumeFiles | ConfigFault {
  const files: VolumeFiles = new Map();
  for (const item of items) {
    let value: string | undefined;
    if (item.fieldRef !== undefined) value = podField(context, item.fieldRef.fieldPath);
    else if (item.resourceFieldRef !== undefined) {
      const { containerName } = item.resourceFieldRef;
      const container: Container | undefined = context.pod.spec?.containers.find(
        ({ name }) => name === containerName,
      );
      if (container !== undefined) value = resourceField(container, item.resourceFieldRef);
    }
    const escaped = pathFault(item.path);
    if (escaped !== undefined) return escaped;
    if (value === undefined) return { fault: `downward API item ${item.path} names no known field` };
    files.set(item.path, { content: Buffer.from(value), mode: item.mode ?? mode });
  }
  return files;
}

/** Volume paths stay inside their volume. */
function pathFault(path: string): ConfigFault | undefined {
  const escapes = path === '' || path.startsWith('/') || path.split('/').includes('..');
  return escapes
    ? { fault: `volume path ${JSON.stringify(path)} must be relative and without ".."` }
    : undefined;
}
