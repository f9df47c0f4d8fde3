import type { Clock, Random, Timer } from '@mesh/clock/clock';
import { isAlreadyExists, isConflict } from './api-error.ts';
import type { KubeClient } from './client.ts';
import { leases } from './resources.ts';
import type { Lease, Stored } from './types.ts';

export interface LeaderElectorOptions {
  client: KubeClient;
  namespace: string;
  /** Name of the Lease that the candidates share. */
  name: string;
  /** Who we are; unique among the candidates, usually the pod name. */
  identity: string;
  clock: Clock;
  random: Random;
  /** Others may take over this long after the last renewal they saw. Default 15 000. */
  leaseMs?: number;
  /** Without a successful renewal for this long we step down. Default 10 000, always less than `leaseMs`. */
  renewMs?: number;
  /** Time between attempts. Default 2000. */
  retryMs?: number;
  onStarted: () => void;
  /** Leadership is lost; stop acting at once. */
  onStopped: () => void;
  onError?: (error: unknown) => void;
}

/**
 * Leader election on a coordination.k8s.io/v1 Lease, as client-go does it: expiry is judged by our own clock from
 * when we saw the record change, never by comparing clocks of two machines.
 */
export class LeaderElector {
  readonly #options: LeaderElectorOptions;
  readonly #leaseMs: number;
  readonly #renewMs: number;
  #seen: { record: string; at: number } | undefined;
  #deadline: Timer | undefined;
  #leading = false;
  #stopped = false;
  #timer: Timer | undefined;
  #attempt: Promise<void> = Promise.resolve();

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? 15_000;
    this.#renewMs = options.renewMs ?? 10_000;
    if (this.#renewMs >= this.#leaseMs) throw new Error('renewMs must be less than leaseMs');
  }

  get leading(): boolean {
    return this.#leading;
  }

  start(): void {
    this.#attempt = this.#try();
  }

  /** Steps down and gives the lease back, so that another candidate need not wait. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#attempt;
    if (this.#leading) this.#stepDown();
    await this.#release();
  }

  async #try(): Promise<void> {
    const { clock, random, retryMs = 2000, onError, onStarted } = this.#options;
    const startedAt = clock.now();
    try {
      if (await this.#acquire()) {
        this.#deadline?.cancel();
        // counted from before the request, because others count from when it was stored
        const leftMs = startedAt + this.#renewMs - clock.now();
        this.#deadline = clock.after(leftMs, () => this.#stepDown(), true);
        if (!this.#leading && !this.#stopped) {
          this.#leading = true;
          onStarted();
        }
      } else if (this.#leading) {
        this.#stepDown();
      }
    } catch (error) {
      onError?.(error);
    }
    if (this.#stopped) return;
    const delayMs = retryMs * (1 + 0.2 * random.next());
    this.#timer = clock.after(
      delayMs,
      () => {
        this.#attempt = this.#try();
      },
      true,
    );
  }

  /** True when the lease is ours now. */
  async #acquire(): Promise<boolean> {
    const { client, namespace, name, identity, clock } = this.#options;
    const timeoutMs = Math.max(500, this.#renewMs / 2);
    const current = await client.find(leases, { namespace, name }, { timeoutMs });
    const now = new Date(clock.wall()).toISOString().replace('Z', '000Z');
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#leaseMs / 1000),
      renewTime: now,
    };
    if (current === undefined) {
      const lease: Lease = {
        metadata: { namespace, name },
        spec: { ...spec, acquireTime: now, leaseTransitions: 0 },
      };
      return await this.#won(client.create(leases, lease, { timeoutMs }));
    }
    const holder = current.spec?.holderIdentity ?? '';
    const mine = holder === identity;
    if (!mine && holder !== '' && !this.#expired(current)) return false;
    const transitions = current.spec?.leaseTransitions ?? 0;
    const lease: Stored<Lease> = {
      ...current,
      spec: {
        ...spec,
        acquireTime: mine ? (current.spec?.acquireTime ?? now) : now,
        leaseTransitions: mine ? transitions : transitions + 1,
      },
    };
    return await this.#won(client.update(leases, lease, { timeoutMs }));
  }

  #expired(lease: Stored<Lease>): boolean {
    const now = this.#options.clock.now();
    const record = lease.metadata.resourceVersion;
    if (this.#seen?.record !== record) this.#seen = { record, at: now };
    const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000 || this.#leaseMs;
    return now - this.#seen.at >= durationMs;
  }

  async #won(write: Promise<unknown>): Promise<boolean> {
    try {
      await write;
      return true;
    } catch (thrown) {
      if (isConflict(thrown) || isAlreadyExists(thrown)) return false;
      throw thrown;
    }
  }

  async #release(): Promise<void> {
    const { client, namespace, name, identity, onError } = this.#options;
    try {
      const current = await client.get(leases, { namespace, name });
      if (current.spec?.holderIdentity !== identity) return;
      const { holderIdentity: _ours, ...rest } = current.spec;
      await client.update(leases, { ...current, spec: { ...rest, leaseDurationSeconds: 1 } });
    } catch (error) {
      onError?.(error);
    }
  }

  #stepDown(): void {
    this.#deadline?.cancel();
    if (!this.#leading) return;
    this.#leading = false;
    this.#options.onStopped();
  }
}
