/**
 * Turns stored CustomResourceDefinitions into served resources, and deletes the instances of a definition that is
 * being deleted before letting it go.
 */
import type { PrinterColumn } from './custom-version.ts';
import { at, clone, isObject, listAt, numberAt, objectAt, textAt, textsAt, type Json } from './json.ts';
import { finalizersOf, isTerminating, timestamp, type KubeObject } from './object.ts';
import type { ResourceInfo, ResourceRegistry, ScalePaths } from './resources.ts';
import type { Store } from './store.ts';
import type { Clock } from '@mesh/clock/clock';

const definitions = 'apiextensions.k8s.io/customresourcedefinitions';
const cleanup = 'customresourcecleanup.apiextensions.k8s.io';

function columnsOf(version: Json): PrinterColumn[] {
  const columns = listAt(version, 'additionalPrinterColumns').map((column) => ({
    name: textAt(column, 'name') ?? '',
    type: textAt(column, 'type') ?? 'string',
    format: textAt(column, 'format') ?? '',
    description: textAt(column, 'description') ?? '',
    priority: numberAt(column, 'priority') ?? 0,
    jsonPath: textAt(column, 'jsonPath') ?? '',
  }));
  if (columns.length > 0) return columns;
  return [
    {
      name: 'Age',
      type: 'date',
      format: '',
      description: '',
      priority: 0,
      jsonPath: '.metadata.creationTimestamp',
    },
  ];
}

function scaleOf(version: Json): ScalePaths | undefined {
  const scale = at(version, 'subresources', 'scale');
  if (!isObject(scale)) return undefined;
  const path = (name: string): string[] =>
    (textAt(scale, name) ?? '').split('.').filter((part) => part !== '');
  const selector = path('labelSelectorPath');
  return {
    replicas: path('specReplicasPath'),
    statusReplicas: path('statusReplicasPath'),
    selector: selector.length === 0 ? undefined : selector,
  };
}

function resourcesOf(definition: KubeObject): ResourceInfo[] {
  const names = at(definition, 'spec', 'names');
  const versions = listAt(definition, 'spec', 'versions');
  const storage =
    textAt(
      versions.find((version) => at(version, 'storage') === true),
      'name',
    ) ?? '';
  const kind = textAt(names, 'kind') ?? '';
  return versions
    .filter((version) => at(version, 'served') === true)
    .map((version) => {
      const schema = objectAt(version, 'schema', 'openAPIV3Schema');
      return {
        group: textAt(definition, 'spec', 'group') ?? '',
        version: textAt(version, 'name') ?? '',
        plural: textAt(names, 'plural') ?? '',
        singular: textAt(names, 'singular') ?? '',
        kind,
        listKind: textAt(names, 'listKind') ?? `${kind}List`,
        namespaced: textAt(definition, 'spec', 'scope') === 'Namespaced',
        shortNames: textsAt(names, 'shortNames'),
        categories: textsAt(names, 'categories'),
        status: at(version, 'subresources', 'status') !== undefined,
        scale: scaleOf(version),
        extra: [],
        names: 'subdomain',
        review: false,
        custom: {
          definition: definition.metadata.name,
          storageVersion: storage,
          schema,
          columns: columnsOf(version),
          selectableFields: listAt(version, 'selectableFields').map((field) =>
            (textAt(field, 'jsonPath') ?? '').replace(/^\./, ''),
          ),
        },
      };
    });
}

/** Keeps `registry` equal to the stored definitions. Returns the way to stop. */
export function followDefinitions(store: Store, registry: ResourceRegistry, clock: Clock): () => void {
  const register = (definition: KubeObject): void =>
    registry.setCustom(definition.metadata.name, resourcesOf(definition));
  for (const definition of store.list(definitions)) register(definition);

  let scheduled = false;
  const sweep = (): void => {
    scheduled = false;
    for (const definition of store.list(definitions)) {
      if (isTerminating(definition)) emptyOut(store, definition, clock);
    }
  };
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    // Not in the turn of the write: a listener must not write while others are still being told.
    queueMicrotask(sweep);
  };
  schedule();
  return store.subscribe((event) => {
    if (event.resource === definitions) {
      if (event.type === 'DELETED') registry.setCustom(event.object.metadata.name, []);
      else register(event.object);
      schedule();
    } else if (event.type === 'DELETED') schedule();
  });
}

function emptyOut(store: Store, definition: KubeObject, clock: Clock): void {
  const resource = `${textAt(definition, 'spec', 'group')}/${textAt(definition, 'spec', 'names', 'plural')}`;
  for (const instance of store.list(resource)) {
    if (finalizersOf(instance).length === 0) store.remove(resource, instance);
    else if (!isTerminating(instance)) {
      const marked = clone(instance);
      marked.metadata['deletionTimestamp'] = timestamp(clock.wall());
      marked.metadata['deletionGracePeriodSeconds'] = 0;
      store.replace(resource, instance, marked);
    }
  }
  const current = store.get(definitions, '', definition.metadata.name);
  if (current === undefined || store.list(resource).length > 0) return;
  const next = clone(current);
  next.metadata['finalizers'] = finalizersOf(current).filter((finalizer) => finalizer !== cleanup);
  const released = store.replace(definitions, current, next);
  if (released.kind === 'ok' && finalizersOf(released.object).length === 0) {
    store.remove(definitions, released.object);
  }
}
