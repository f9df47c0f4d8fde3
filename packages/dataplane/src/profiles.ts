/** What is known about an address a client connected to: its service's name, or the one endpoint that it is. */
import type { Clock, Timer } from '@mesh/clock/clock';
import {
  Destination,
  type DestinationProfile,
  type DestinationProfileSchema,
} from '@mesh/control-api/gen/linkerd/destination_pb';
import type { RunningStream } from '@mesh/control-api/grpc-client';
import type { LimitLedger } from '@mesh/limits/limits';
import { TokenBucket } from '@mesh/limits/token-bucket';
import type { ControlStreams, KeptStreamHandler } from './control-channel.ts';
import { type EndpointSpec, endpointSpec } from './endpoint-spec.ts';
import type { DataplaneLimit } from './limits.ts';

export interface Profile {
  /** Not to be parsed. */
  readonly opaque: boolean;
  /** Name of the service; empty when the address is no service. */
  readonly service: string;
  /** Set when the address is one known endpoint. */
  readonly endpoint: EndpointSpec | undefined;
}

/** For addresses that discovery knows nothing about. */
export const noProfile: Profile = { opaque: false, service: '', endpoint: undefined };

export interface ProfilesOptions {
  clock: Clock;
  channel: ControlStreams;
  contextToken: string;
  /**
   * How long a first answer is waited for; then the connection goes on without a profile. So do later ones, without waiting,
   * while the control plane is known to be away.
   */
  timeoutMs: number;
  /** How long an address nobody connects to is kept. */
  idleMs: number;
  /** Of more addresses than `discovered_targets` one without an answer is forgotten, else the one not used for longest. */
  limits: LimitLedger<DataplaneLimit>;
}

class Entry implements KeptStreamHandler<typeof DestinationProfileSchema> {
  readonly #waiting: Set<(profile: Profile) => void> = new Set();
  stream: RunningStream | undefined;
  idle: Timer | undefined;
  profile: Profile | undefined;
  /** Somebody waited in vain. */
  late = false;
  /** The stream ended and did not speak since. */
  interrupted = false;

  onMessage(message: DestinationProfile): void {
    this.interrupted = false;
    this.#set({
      opaque: message.opaqueProtocol,
      service: message.fullyQualifiedName,
      endpoint: message.endpoint === undefined ? undefined : endpointSpec(message.endpoint, {}),
    });
  }

  onRejected(): void {
    this.#set(noProfile);
  }

  onInterrupted(): void {
    this.interrupted = true;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  wait(done: (profile: Profile) => void): void {
    this.#waiting.add(done);
  }

  forgo(done: (profile: Profile) => void): void {
    this.#waiting.delete(done);
  }

  #set(profile: Profile): void {
    this.profile = profile;
    for (const done of this.#waiting) done(profile);
    this.#waiting.clear();
  }
}

export class Profiles {
  readonly #options: ProfilesOptions;
  /** In the order of their last use. */
  readonly #entries: Map<string, Entry> = new Map();
  readonly #evictions: TokenBucket;

  constructor(options: ProfilesOptions) {
    this.#options = options;
    const { clock, limits } = options;
    this.#evictions = new TokenBucket(limits.values.discovered_target_evictions, clock.now());
  }

  /** Connections that wait for a first answer. */
  get waiting(): number {
    let sum = 0;
    for (const { waiting } of this.#entries.values()) sum += waiting;
    return sum;
  }

  /** The profile of `ip:port`, from the cache when known; `noProfile` when nobody answers in time, or too many wait. */
  get(address: string): Promise<Profile> | Profile {
    const entry = this.#entry(address);
    if (entry === undefined) return noProfile;
    if (entry.profile !== undefined) return entry.profile;
    if (entry.late && entry.interrupted) return noProfile;
    return new Promise((resolve) => {
      const done = (profile: Profile): void => {
        timer.cancel();
        resolve(profile);
      };
      const timer = this.#options.clock.after(this.#options.timeoutMs, () => {
        // Nobody may ever answer, while connections come and go.
        entry.late = true;
        entry.forgo(done);
        resolve(noProfile);
      });
      entry.wait(done);
    });
  }

  close(): void {
    for (const entry of this.#entries.values()) this.#stop(entry);
    this.#entries.clear();
  }

  #entry(address: string): Entry | undefined {
    const { clock, channel, contextToken, idleMs, limits } = this.#options;
    let entry = this.#entries.get(address);
    if (entry === undefined) {
      if (this.#entries.size >= limits.values.discovered_targets) {
        limits.hit('discovered_targets');
        if (!this.#makeRoom()) return undefined;
      }
      entry = new Entry();
      entry.stream = channel.keep(Destination.method.getProfile, { path: address, contextToken }, entry);
    }
    this.#entries.delete(address);
    this.#entries.set(address, entry);
    entry.idle?.cancel();
    const kept = entry;
    entry.idle = clock.after(
      idleMs,
      () => {
        this.#entries.delete(address);
        this.#stop(kept);
      },
      true,
    );
    return entry;
  }

  /**
   * What nothing is known of goes first: while nobody answers, new addresses must not take the place of known services.
   * False when a connection waits for each address, which would lose its answer, or too many made room just now.
   */
  #makeRoom(): boolean {
    const { clock, limits } = this.#options;
    let found: [string, Entry] | undefined;
    for (const candidate of this.#entries) {
      const [, { profile, waiting }] = candidate;
      if (waiting > 0) continue;
      found ??= candidate;
      if (profile !== undefined) continue;
      found = candidate;
      break;
    }
    if (found === undefined) return false;
    if (!this.#evictions.take(clock.now())) {
      limits.hit('discovered_target_evictions');
      return false;
    }
    const [address, entry] = found;
    this.#entries.delete(address);
    this.#stop(entry);
    return true;
  }

  #stop(entry: Entry): void {
    entry.idle?.cancel();
    entry.stream?.cancel();
  }
}
