import { addressAt, cidrContains, cidrSize, parseIp, type Cidr } from '@mesh/kube/cidr';
import type { ReconcileResult } from '@mesh/kube/controller';
import { EventRecorder } from '@mesh/kube/event-recorder';
import { isDeleting, keyOf, parseKey } from '@mesh/kube/objects';
import { services } from '@mesh/kube/resources';
import type { Service, Stored } from '@mesh/kube/types';
import type { ControllerContext } from './context.ts';
import { ControlLoop } from './control-loop.ts';

/** How soon to look again for an address when all are taken. */
const fullRetryMs = 2000;

/**
 * Gives every Service of type LoadBalancer an address of the pool and takes it back when the type changes: the part of a
 * cloud's controller. Services of another `loadBalancerClass` are somebody else's.
 */
export function loadBalancerController(context: ControllerContext, pool: Cidr): ControlLoop {
  const assigner = new AddressAssigner(context, pool);
  return new ControlLoop(context, {
    name: 'load-balancer',
    // Two at a time could choose the same address.
    concurrency: 1,
    reconcile: (key) => assigner.reconcile(key),
  }).watch(services, (service) => [keyOf(service)]);
}

class AddressAssigner {
  readonly #context: ControllerContext;
  readonly #pool: Cidr;
  readonly #events: EventRecorder;
  /** What we wrote, by key: the informer learns of it later than the next choice is made. */
  readonly #given: Map<string, string> = new Map();
  #next = 1;

  constructor(context: ControllerContext, pool: Cidr) {
    this.#context = context;
    this.#pool = pool;
    this.#events = new EventRecorder({ ...context, component: 'service-controller' });
  }

  async reconcile(key: string): Promise<ReconcileResult> {
    const service = this.#context.informers.of(services).getByKey(key);
    if (service === undefined || isDeleting(service) || service.spec?.type !== 'LoadBalancer') {
      this.#given.delete(key);
      if (service !== undefined && ingressOf(service) !== undefined) await this.#write(key, undefined);
      return;
    }
    if (service.spec.loadBalancerClass !== undefined) return;
    const used = this.#used(key);
    const wanted = service.spec.loadBalancerIP ?? '';
    const current = ingressOf(service);
    if (current !== undefined && (wanted === '' || wanted === current) && this.#isFree(current, used)) {
      this.#given.set(key, current);
      return;
    }
    const address = wanted === '' ? this.#choose(used) : wanted;
    if (address === undefined || !this.#isFree(address, used)) {
      const message =
        address === undefined
          ? 'every address of the pool is in use'
          : `${address} is outside the pool or already in use`;
      this.#events.record(services, service, { type: 'Warning', reason: 'SyncLoadBalancerFailed', message });
      return { requeueAfterMs: fullRetryMs };
    }
    this.#given.set(key, address);
    await this.#write(key, address);
    this.#events.record(services, service, {
      type: 'Normal',
      reason: 'EnsuredLoadBalancer',
      message: 'Ensured load balancer',
    });
  }

  async #write(key: string, address: string | undefined): Promise<void> {
    const { client } = this.#context;
    const service = await client.find(services, parseKey(key));
    if (service === undefined || ingressOf(service) === address) return;
    const loadBalancer = address === undefined ? {} : { ingress: [{ ip: address, ipMode: 'VIP' }] };
    await client.updateStatus(services, { ...service, status: { ...service.status, loadBalancer } });
  }

  #used(key: string): Set<string> {
    const used = new Set<string>();
    for (const other of this.#context.informers.of(services).list()) {
      const address = ingressOf(other);
      if (address !== undefined && keyOf(other) !== key) used.add(address);
    }
    for (const [other, address] of this.#given) if (other !== key) used.add(address);
    return used;
  }

  /** The first and the last address of the pool are no hosts. */
  #isFree(address: string, used: ReadonlySet<string>): boolean {
    const number = parseIp(address);
    const { base } = this.#pool;
    return (
      number !== undefined &&
      cidrContains(this.#pool, number) &&
      number !== base &&
      number !== base + cidrSize(this.#pool) - 1 &&
      !used.has(address)
    );
  }

  /** Goes round the pool, so that a released address is not handed out again at once. */
  #choose(used: ReadonlySet<string>): string | undefined {
    const usable = cidrSize(this.#pool) - 2;
    for (let step = 0; step < usable; step++) {
      const index = ((this.#next - 1 + step) % usable) + 1;
      const address = addressAt(this.#pool, index);
      if (used.has(address)) continue;
      this.#next = index + 1;
      return address;
    }
    return undefined;
  }
}

function ingressOf(service: Stored<Service>): string | undefined {
  return service.status?.loadBalancer?.ingress?.[0]?.ip;
}
