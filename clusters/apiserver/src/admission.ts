/** Admission: what the server itself insists on, then the webhooks. */
import type { Random } from '@mesh/clock/clock';
import type { AdmissionRequest } from './admission-request.ts';
import { listAt, textAt } from './json.ts';
import { section } from './kinds/rules.ts';
import { isTerminating, type KubeObject } from './object.ts';
import { admitPod } from './pod-admission.ts';
import type { RbacAuthorizer } from './rbac.ts';
import { refuseEscalation } from './rbac-escalation.ts';
import { forbidden, notFound } from './status.ts';
import type { Store } from './store.ts';
import type { Webhooks } from './webhooks.ts';

const permanentNamespaces: ReadonlySet<string> = new Set(['default', 'kube-system', 'kube-public']);

interface AdmissionOptions {
  store: Store;
  random: Random;
  webhooks: Webhooks;
  authorizer: RbacAuthorizer;
}

export class Admission {
  readonly #store: Store;
  readonly #random: Random;
  readonly #webhooks: Webhooks;
  readonly #authorizer: RbacAuthorizer;

  constructor({ store, random, webhooks, authorizer }: AdmissionOptions) {
    this.#store = store;
    this.#random = random;
    this.#webhooks = webhooks;
    this.#authorizer = authorizer;
  }

  /**
   * The object to go on with; `object` may have been changed in place.
   * @param afterChange fills in defaults after a webhook changed the object
   * @throws ApiError
   */
  async mutate(
    request: AdmissionRequest,
    object: KubeObject,
    afterChange: (changed: KubeObject) => void,
  ): Promise<KubeObject> {
    this.#checkNamespace(request);
    let result = object;
    if (isPodCreate(request)) admitPod(result, request.namespace, this.#store, this.#random);
    if (request.info.kind === 'Node' && request.operation === 'CREATE') taintNode(result);
    result = await this.#webhooks.mutate(request, result, afterChange);
    // Containers that a webhook added get their token mounts too.
    if (isPodCreate(request)) admitPod(result, request.namespace, this.#store, this.#random);
    return result;
  }

  /** @param object undefined for a deletion */
  async validate(request: AdmissionRequest, object: KubeObject | undefined): Promise<void> {
    const { info, name, operation } = request;
    if (operation === 'DELETE' && info.kind === 'Namespace' && permanentNamespaces.has(name)) {
      throw forbidden({ kind: 'namespaces', name }, 'this namespace may not be deleted');
    }
    if (object !== undefined && info.group === 'rbac.authorization.k8s.io') {
      refuseEscalation(object, {
        user: request.user,
        plural: info.plural,
        authorizer: this.#authorizer,
        oldObject: request.oldObject,
      });
    }
    await this.#webhooks.validate(request, object);
  }

  /** Nothing new begins in a namespace that does not exist or is going away. */
  #checkNamespace({ info, namespace, name, operation }: AdmissionRequest): void {
    if (operation !== 'CREATE' || !info.namespaced) return;
    const found = this.#store.get('/namespaces', '', namespace);
    if (found === undefined) throw notFound({ kind: 'namespaces', name: namespace });
    if (!isTerminating(found) && textAt(found, 'status', 'phase') !== 'Terminating') return;
    throw forbidden(
      { group: info.group, kind: info.plural, name },
      `unable to create new content in namespace ${namespace} because it is being terminated`,
      [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    );
  }
}

/** A node takes no pods until the node controller has seen that it is ready (admission plugin TaintNodesByCondition). */
function taintNode(node: KubeObject): void {
  const key = 'node.kubernetes.io/not-ready';
  const spec = section(node, 'spec');
  const taints = listAt(spec, 'taints');
  if (taints.some((taint) => textAt(taint, 'key') === key && textAt(taint, 'effect') === 'NoSchedule'))
    return;
  spec['taints'] = [...taints, { key, effect: 'NoSchedule' }];
}

function isPodCreate({ info, operation, subresource }: AdmissionRequest): boolean {
  return info.kind === 'Pod' && info.group === '' && operation === 'CREATE' && subresource === '';
}
