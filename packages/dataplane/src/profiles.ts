/** What is known about an address a client connected to: its service's name, or the one endpoint that it is. */
import type { Clock, Timer } from '@mesh/clock/clock';
import {
  Destination,
  type DestinationProfile,
  type DestinationProfileSchema,
} from '@mesh/control-api/gen/linkerd/destination_pb';
import type { RunningStream } from '@mesh/control-api/grpc-client';
import type { ControlStreams, KeptStreamHandler } from './control-channel.ts';
import { type EndpointSpec, endpointSpec } from './endpoint-spec.ts';

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
  /** How long a first answer is waited for; then the connection goes on without a profile. */
  timeoutMs: number;
  /** How long an address nobody connects to is kept. */
  idleMs: number;
  maxEntries: number;
}

class Entry implements KeptStreamHandler<typeof DestinationProfileSchema> {
  readonly #waiting: ((profile: Profile) => void)[] = [];
  stream: RunningStream | undefined;
  idle: Timer | undefined;
  profile: Profile | undefined;

  onMessage(message: DestinationProfile): void {
    this.#set({
      opaque: message.opaqueProtocol,
      service: message.fullyQualifiedName,
      endpoint: message.endpoint === undefined ? undefined : endpointSpec(message.endpoint, {}),
    });
  }

  onRejected(): void {
    this.#set(noProfile);
  }

  wait(done: (profile: Profile) => void): void {
    this.#waiting.push(done);
  }

  #set(profile: Profile): void {
    this.profile = profile;
    for (const done of this.#waiting.splice(0)) done(profile);
  }
}

export class Profiles {
  readonly #options: ProfilesOptions;
  readonly #entries: Map<string, Entry> = new Map();

  constructor(options: ProfilesOptions) {
    this.#options = options;
  }

  /** The profile of `ip:port`, from the cache when known; `noProfile` when nobody answers in time. */
  get(address: string): Promise<Profile> | Profile {
    const entry = this.#entry(address);
    if (entry === undefined) return noProfile;
    if (entry.profile !== undefined) return entry.profile;
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(this.#options.timeoutMs, () => resolve(noProfile));
      entry.wait((profile) => {
        timer.cancel();
        resolve(profile);
      });
    });
  }

  close(): void {
    for (const entry of this.#entries.values()) this.#stop(entry);
    this.#entries.clear();
  }

  #entry(address: string): Entry | undefined {
    const { clock, channel, contextToken, idleMs, maxEntries } = this.#options;
    let entry = this.#entries.get(address);
    if (entry === undefined) {
      if (this.#entries.size >= maxEntries) return undefined;
      entry = new Entry();
      this.#entries.set(address, entry);
      entry.stream = channel.keep(Destination.method.getProfile, { path: address, contextToken }, entry);
    }
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

  #stop(entry: Entry): void {
    entry.idle?.cancel();
    entry.stream?.cancel();
  }
}
