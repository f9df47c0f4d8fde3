/**
 * The common path of every write: names and metadata, defaults, admission, validation, then one commit.
 *
 * Admission webhooks take time, so another write can come between the read and the commit. The commit compares the
 * stored object by identity: a request that named a resourceVersion gets 409, one that did not starts over.
 */
import { randomUUID } from 'node:crypto';
import type { Clock, Random } from '@mesh/clock/clock';
import type { LimitLedger } from '@mesh/limits/limits';
import type { Admission } from './admission.ts';
import type { Operation } from './admission-request.ts';
import type { User } from './authentication.ts';
import { boundPod } from './binding.ts';
import { defaultCustomObject, validateCustomObject } from './custom-object.ts';
import { Faults } from './faults.ts';
import { clone, deepEqual, isObject, listAt, numberAt, textAt, type Json, type JsonObject } from './json.ts';
import { section } from './kinds/rules.ts';
import { kindRules } from './kinds/table.ts';
import type { ApiserverLimit } from './limits.ts';
import { trackUpdate } from './managed-fields.ts';
import { randomSuffix } from './name-suffix.ts';
import { validateMetadata } from './names.ts';
import { finalizersOf, isTerminating, timestamp, type KubeObject } from './object.ts';
import { groupVersion, storageName, type ResourceInfo } from './resources.ts';
import type { ServiceAddresses } from './service-addresses.ts';
import {
  ApiError,
  alreadyExists,
  badRequest,
  conflict,
  invalid,
  invalidOptions,
  notFound,
  objectModified,
} from './status.ts';
import type { Store, WriteResult } from './store.ts';

export interface WriteContext {
  readonly user: User;
  readonly dryRun: boolean;
  readonly fieldManager: string;
  /** Adds a Warning header to the response. */
  warn(message: string): void;
}

/** The object a request is about. `name` is empty in a create. */
export interface Target {
  readonly info: ResourceInfo;
  readonly namespace: string;
  readonly name: string;
  readonly subresource: string;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagation?: 'Orphan' | 'Background' | 'Foreground';
  readonly uid?: string;
  readonly resourceVersion?: string;
}

/** Makes the wanted object from the current one, which it must not change. */
type Produce = (current: KubeObject) => Promise<Change> | Change;
export interface Change {
  readonly object: KubeObject;
  /** The managedFields of `object` are already those of this write (server-side apply). */
  readonly tracked?: boolean;
}

interface WriterOptions {
  store: Store;
  clock: Clock;
  random: Random;
  limits: LimitLedger<ApiserverLimit>;
  admission: Admission;
  addresses: ServiceAddresses;
}

/** Longest part of generateName that is kept before the suffix. */
const generatedBaseLength = 58;

/** Built-in kinds without `metadata.generation`. */
const withoutGeneration: ReadonlySet<string> = new Set([
  'ClusterRole',
  'ClusterRoleBinding',
  'ConfigMap',
  'Endpoints',
  'Event',
  'Lease',
  'Namespace',
  'Node',
  'Role',
  'RoleBinding',
  'Secret',
  'Service',
  'ServiceAccount',
]);

function errorTarget({ info, name }: { info: ResourceInfo; name: string }): {
  name: string;
  group: string;
  kind: string;
} {
  return { name, group: info.group, kind: info.plural };
}

export class Writer {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #limits: LimitLedger<ApiserverLimit>;
  readonly #admission: Admission;
  readonly #addresses: ServiceAddresses;

  constructor({ store, clock, random, limits, admission, addresses }: WriterOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
    this.#limits = limits;
    this.#admission = admission;
    this.#addresses = addresses;
  }

  /** @throws ApiError 404 */
  read({ info, namespace, name }: Omit<Target, 'subresource'>): KubeObject {
    const object = this.#store.get(storageName(info), namespace, name);
    if (object === undefined) throw notFound(errorTarget({ info, name }));
    return object;
  }

  async create(
    target: Target,
    input: KubeObject,
    context: WriteContext,
    { tracked = false }: { tracked?: boolean } = {},
  ): Promise<KubeObject> {
    const { info, namespace } = target;
    const prefix = textAt(input, 'metadata', 'generateName') ?? '';
    const generated = (input.metadata.name ?? '') === '' && prefix !== '';
    if ((input.metadata.resourceVersion ?? '') !== '') {
      throw new ApiError({
        code: 500,
        reason: '',
        message: 'resourceVersion should not be set on objects to be created',
      });
    }
    for (let attempt = 0; ; attempt++) {
      let object = clone(input);
      if (generated)
        object.metadata.name = `${prefix.slice(0, generatedBaseLength)}${randomSuffix(this.#random)}`;
      const { name } = object.metadata;
      if (info.namespaced) object.metadata.namespace = namespace;
      else Reflect.deleteProperty(object.metadata, 'namespace');
      Reflect.deleteProperty(object.metadata, 'uid');
      this.#resetForCreate(info, object);
      this.#defaults(info, object);
      // Before admission: what its plugins and webhooks fill in is nobody's.
      if (!tracked) this.#track(info, object, undefined, target.subresource, context);
      const request = this.#admissionRequest({ ...target, name: name ?? '' }, 'CREATE', context, undefined);
      object = await this.#admission.mutate(request, object, (changed) => this.#defaults(info, changed));
      object.metadata.uid = randomUUID();
      object.metadata.creationTimestamp = timestamp(this.#clock.wall());
      this.#check(info, object, undefined);
      this.#warn(info, object, context);
      await this.#admission.validate(request, object);
      this.#assignAddresses(info, object);
      if (context.dryRun) {
        if (this.#store.get(storageName(info), namespace, name) === undefined) return object;
        throw alreadyExists(errorTarget({ info, name }));
      }
      object.apiVersion = storedApiVersion(info);
      const result = this.#store.create(storageName(info), object);
      if (result.kind === 'ok') return result.object;
      if (!generated || attempt >= this.#limits.values.apiserver_update_retries) {
        throw alreadyExists(errorTarget({ info, name }));
      }
    }
  }

  /** @throws ApiError; 409 when the produced object names another resourceVersion or uid. */
  async update(target: Target, produce: Produce, context: WriteContext): Promise<KubeObject> {
    const { info, name, subresource } = target;
    for (let attempt = 0; ; attempt++) {
      const current = this.read(target);
      const { object: produced, tracked } = await produce(current);
      const wantedVersion = produced.metadata.resourceVersion ?? '';
      const conditional = wantedVersion !== '';
      if (conditional && wantedVersion !== current.metadata.resourceVersion) {
        throw objectModified(errorTarget({ info, name }));
      }
      const wantedUid = produced.metadata.uid ?? '';
      if (wantedUid !== '' && wantedUid !== current.metadata.uid) {
        throw conflict(
          errorTarget({ info, name }),
          `StorageError: invalid object, Code: 4, Key: /registry/${target.info.plural}/${target.namespace === '' ? '' : `${target.namespace}/`}${name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${wantedUid}, UID in object meta: ${current.metadata.uid}`,
        );
      }
      let next = this.#carryOver(target, produced, current);
      if (subresource === 'status' && info.custom === undefined) this.#defaults(info, next);
      if (subresource !== 'status') {
        this.#defaults(info, next);
        if (tracked !== true) this.#track(info, next, current, subresource, context);
        const request = this.#admissionRequest(target, 'UPDATE', context, current);
        next = await this.#admission.mutate(request, next, (changed) => this.#defaults(info, changed));
      }
      this.#check(info, next, current);
      this.#warn(info, next, context);
      await this.#admission.validate(this.#admissionRequest(target, 'UPDATE', context, current), next);
      this.#setGeneration(info, next, current);
      next.apiVersion = storedApiVersion(info);
      if (subresource === 'status' && tracked !== true)
        this.#track(info, next, current, subresource, context);
      if (subresource === '') this.#assignAddresses(info, next);
      if (context.dryRun) return next;
      const result = this.#commit(info, current, next);
      if (result.kind === 'ok') return result.object;
      if (result.kind === 'missing') throw notFound(errorTarget({ info, name }));
      if (attempt >= this.#limits.values.apiserver_update_retries) {
        this.#limits.hit('apiserver_update_retries');
        throw objectModified(errorTarget({ info, name }));
      }
      // What the client saw is still the question: a named version that is gone answers 409 on the next round.
    }
  }

  /** @throws ApiError 404 or 409 */
  bindPod(target: Target, node: string, binding: KubeObject): void {
    const { info, name } = target;
    for (;;) {
      const current = this.read(target);
      const next = boundPod(current, node, binding, timestamp(this.#clock.wall()));
      const result = this.#store.replace(storageName(info), current, next);
      if (result.kind === 'ok') return;
      if (result.kind === 'missing') throw notFound(errorTarget({ info, name }));
    }
  }

  /** `removed` is false while a grace period or finalizers keep the object. */
  async delete(
    target: Target,
    options: DeleteOptions,
    context: WriteContext,
  ): Promise<{ object: KubeObject; removed: boolean }> {
    const { info, name } = target;
    for (;;) {
      const current = this.read(target);
      checkPreconditions(target, current, options);
      await this.#admission.validate(this.#admissionRequest(target, 'DELETE', context, current), undefined);
      const next = this.#markDeleted(info, current, options);
      if (context.dryRun) return { object: next ?? current, removed: next === undefined };
      const result =
        next === undefined
          ? this.#store.remove(storageName(info), current)
          : this.#store.replace(storageName(info), current, next);
      if (result.kind === 'ok') {
        if (next !== undefined) return { object: result.object, removed: false };
        return { object: withoutGrace(result.object), removed: true };
      }
      if (result.kind === 'missing') throw notFound(errorTarget({ info, name }));
    }
  }

  /** The object with its deletion marked, or undefined when it can go at once. */
  #markDeleted(info: ResourceInfo, current: KubeObject, options: DeleteOptions): KubeObject | undefined {
    const grace = info.kind === 'Pod' && info.group === '' ? podGrace(current, options) : 0;
    const finalizers = new Set(finalizersOf(current));
    if (options.propagation !== undefined) {
      finalizers.delete('orphan');
      finalizers.delete('foregroundDeletion');
    }
    if (options.propagation === 'Orphan') finalizers.add('orphan');
    if (options.propagation === 'Foreground') finalizers.add('foregroundDeletion');
    const held = finalizers.size > 0 || namespaceFinalizers(current).length > 0;
    if (!held && grace === 0) return undefined;
    const next = clone(current);
    const { metadata } = next;
    if (finalizers.size > 0) metadata['finalizers'] = [...finalizers];
    const earlier = numberAt(metadata, 'deletionGracePeriodSeconds');
    if (!isTerminating(next) || (earlier !== undefined && grace < earlier)) {
      metadata['deletionTimestamp'] = timestamp(this.#clock.wall() + grace * 1000);
      // Namespaces wait for their content, not for a time.
      if (next.kind !== 'Namespace') metadata['deletionGracePeriodSeconds'] = grace;
      const generation = numberAt(metadata, 'generation');
      if (generation !== undefined && !isTerminating(current)) metadata['generation'] = generation + 1;
    }
    if (next.kind === 'Namespace') section(next, 'status')['phase'] = 'Terminating';
    return next;
  }

  #admissionRequest(
    target: Target,
    operation: Operation,
    { user, dryRun, warn }: WriteContext,
    current: KubeObject | undefined,
  ): Parameters<Admission['mutate']>[0] {
    return { ...target, operation, user, dryRun, warn, oldObject: current };
  }

  #resetForCreate(info: ResourceInfo, object: KubeObject): void {
    const { metadata } = object;
    for (const name of ['deletionTimestamp', 'deletionGracePeriodSeconds', 'selfLink', 'managedFields']) {
      if (name !== 'managedFields' || metadata[name] === null) delete metadata[name];
    }
    if (info.custom !== undefined || !withoutGeneration.has(info.kind)) metadata['generation'] = 1;
    if (!info.status) return;
    const initial = kindRules[info.kind]?.initialStatus;
    const status = info.custom === undefined ? initial?.(object) : undefined;
    if (status !== undefined) object['status'] = status;
    else if (info.custom === undefined) object['status'] = {};
    else delete object['status'];
  }

  #defaults(info: ResourceInfo, object: KubeObject): void {
    if (info.custom !== undefined) defaultCustomObject(info.custom, object);
    else kindRules[info.kind]?.defaults?.(object);
  }

  /** Metadata that no client changes, and the half of the object that this subresource does not write. */
  #carryOver({ info, subresource }: Target, produced: KubeObject, current: KubeObject): KubeObject {
    if (subresource === 'status') {
      const next = clone(current);
      const status = produced['status'];
      if (status === undefined) delete next['status'];
      else next['status'] = clone(status);
      const fields = produced.metadata['managedFields'];
      if (fields !== undefined) next.metadata['managedFields'] = clone(fields);
      return next;
    }
    const next = clone(produced);
    next.kind = current.kind;
    const kept = ['name', 'namespace', 'uid', 'resourceVersion', 'creationTimestamp', 'generation'];
    for (const name of [...kept, 'deletionTimestamp', 'deletionGracePeriodSeconds', 'generateName']) {
      const value = current.metadata[name];
      if (value === undefined) delete next.metadata[name];
      else next.metadata[name] = value;
    }
    if (info.status && subresource !== 'finalize') {
      if (current['status'] === undefined) delete next['status'];
      else next['status'] = clone(current['status']);
    }
    if (info.custom === undefined && subresource === '') kindRules[info.kind]?.prepareUpdate?.(next, current);
    return next;
  }

  #warn(info: ResourceInfo, object: KubeObject, { warn }: WriteContext): void {
    if (info.custom !== undefined) return;
    for (const warning of kindRules[info.kind]?.warnings?.(object) ?? []) warn(warning);
  }

  #check(info: ResourceInfo, object: KubeObject, current: KubeObject | undefined): void {
    const faults = new Faults();
    const ownFinalizers = info.custom !== undefined || info.group === 'apiextensions.k8s.io';
    validateMetadata(object, { rule: info.names, ownFinalizers }, faults);
    if (current !== undefined && isTerminating(current)) {
      const before = finalizersOf(current);
      const added = finalizersOf(object).filter((finalizer) => !before.includes(finalizer));
      if (added.length > 0) {
        faults.forbidden(
          'metadata.finalizers',
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added.map((name) => JSON.stringify(name)).join(', ')}}`,
        );
      }
    }
    if (info.custom !== undefined) validateCustomObject(info.custom, object, faults);
    else kindRules[info.kind]?.validate?.(object, faults, current);
    this.#refuse(info, object, faults);
  }

  #refuse(info: ResourceInfo, object: KubeObject, faults: Faults): void {
    if (faults.causes.length === 0) return;
    const name = object.metadata.name ?? '';
    throw invalid({ name, group: info.group, kind: info.kind }, faults.causes);
  }

  #assignAddresses(info: ResourceInfo, object: KubeObject): void {
    if (info.kind !== 'Service' || info.group !== '') return;
    const faults = new Faults();
    this.#addresses.assign(object, faults);
    this.#refuse(info, object, faults);
  }

  #setGeneration(info: ResourceInfo, next: KubeObject, current: KubeObject): void {
    const before = numberAt(current, 'metadata', 'generation');
    if (before === undefined) return;
    const desired = (object: KubeObject): Json => {
      const { metadata: _, status, apiVersion: __, ...rest } = object as JsonObject;
      return info.status || status === undefined ? rest : { ...rest, status };
    };
    next.metadata['generation'] = deepEqual(desired(next), desired(current)) ? before : before + 1;
  }

  #track(
    info: ResourceInfo,
    next: KubeObject,
    current: KubeObject | undefined,
    subresource: string,
    { fieldManager }: WriteContext,
  ): void {
    trackUpdate(next, current, {
      info,
      manager: fieldManager,
      apiVersion: groupVersion(info),
      subresource,
      time: timestamp(this.#clock.wall()),
    });
  }

  /** Writes `next`, or removes the object when `next` has dropped the last thing that held a deletion back. */
  #commit(info: ResourceInfo, current: KubeObject, next: KubeObject): WriteResult {
    const resource = storageName(info);
    const graceOver = (numberAt(next, 'metadata', 'deletionGracePeriodSeconds') ?? 0) === 0;
    const free = finalizersOf(next).length === 0 && namespaceFinalizers(next).length === 0;
    if (!isTerminating(next) || !graceOver || !free) return this.#store.replace(resource, current, next);
    const written = this.#store.replace(resource, current, next);
    return written.kind === 'ok' ? this.#store.remove(resource, written.object) : written;
  }
}

function storedApiVersion(info: ResourceInfo): string {
  return info.custom === undefined ? groupVersion(info) : `${info.group}/${info.custom.storageVersion}`;
}

function namespaceFinalizers(object: KubeObject): Json[] {
  return object.kind === 'Namespace' ? listAt(object, 'spec', 'finalizers') : [];
}

/** Seconds a pod gets. One that runs nowhere, or has ended, gets none. */
function podGrace(pod: KubeObject, { gracePeriodSeconds }: DeleteOptions): number {
  const phase = textAt(pod, 'status', 'phase');
  if ((textAt(pod, 'spec', 'nodeName') ?? '') === '' || phase === 'Succeeded' || phase === 'Failed') return 0;
  return Math.max(0, gracePeriodSeconds ?? numberAt(pod, 'spec', 'terminationGracePeriodSeconds') ?? 30);
}

/** A removed object as the answer shows it: nothing waits for its grace period any more. */
function withoutGrace(object: KubeObject): KubeObject {
  if (numberAt(object, 'metadata', 'deletionGracePeriodSeconds') === undefined) return object;
  return { ...object, metadata: { ...object.metadata, deletionGracePeriodSeconds: 0 } };
}

function checkPreconditions(target: Target, current: KubeObject, options: DeleteOptions): void {
  const { uid, resourceVersion } = options;
  const { metadata } = current;
  if (uid !== undefined && uid !== metadata.uid) {
    throw conflict(
      { ...errorTarget(target), kind: target.info.kind },
      `the UID in the precondition (${uid}) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
    );
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    throw conflict(
      { ...errorTarget(target), kind: target.info.kind },
      `the ResourceVersion in the precondition (${resourceVersion}) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`,
    );
  }
}

/** Reads DeleteOptions from a body or from the query. @throws ApiError 400 */
export function deleteOptions(body: Json | undefined, query: URLSearchParams): DeleteOptions {
  const grace = numberAt(body, 'gracePeriodSeconds') ?? numeric(query.get('gracePeriodSeconds'));
  const propagation = textAt(body, 'propagationPolicy') ?? query.get('propagationPolicy') ?? undefined;
  const orphan = isObject(body) && body['orphanDependents'] === true;
  const uid = textAt(body, 'preconditions', 'uid');
  const resourceVersion = textAt(body, 'preconditions', 'resourceVersion');
  if (
    propagation !== undefined &&
    propagation !== 'Orphan' &&
    propagation !== 'Background' &&
    propagation !== 'Foreground'
  ) {
    throw invalidOptions('DeleteOptions', (faults) =>
      faults.unsupported('propagationPolicy', propagation, ['Foreground', 'Background', 'Orphan', 'nil']),
    );
  }
  const policy = propagation ?? (orphan ? 'Orphan' : undefined);
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(policy === undefined ? {} : { propagation: policy }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

function numeric(text: string | null): number | undefined {
  if (text === null || text === '') return undefined;
  if (!/^\d+$/.test(text)) throw badRequest(`gracePeriodSeconds ${JSON.stringify(text)} is not a number`);
  return Number(text);
}
