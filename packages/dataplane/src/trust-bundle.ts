/**
 * Follows the trust anchors of the cluster, so that a rotation needs no restart (docs/trust-rotation.md).
 *
 * What is added counts at once. What is removed counts after a while, in which everybody gets a certificate of what is
 * left: until then two sidecars of one cluster may not yet have got as far.
 */
import { backoffMs, type Clock, type Timer } from '@mesh/clock/clock';
import { TrustBundle } from '@mesh/control-api/gen/mesh/identity/v1/bundle_pb';
import type { Logger } from '@mesh/telemetry/log';
import type { Counter, Family, MetricRegistry } from '@mesh/telemetry/metrics';
import { type BundleVerdict, joinAnchors, judgeBundle, sameAnchors } from '@mesh/trust/bundle';
import { certificateDers, fingerprintOf } from '@mesh/trust/pem';
import { ControlChannel, type ControlChannelOptions } from './control-channel.ts';

const removalMs = 60_000;
/** Asked again for a certificate that a pending set holds: another replica of the identity service may still have had the former issuer. */
const askAgain = { baseMs: 30_000, capMs: 3_600_000, jitter: 0.2 };

export interface TrustBundleOptions extends ControlChannelOptions {
  registry: MetricRegistry;
  /** These anchors count from now on. */
  adopt: (anchorsPem: string) => void;
  /** Asks for a certificate now. */
  renew: () => void;
}

export class TrustBundleFollower {
  readonly #options: TrustBundleOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #results: Family<Counter>;
  readonly #channel: ControlChannel;
  readonly #unsubscribe: () => void;
  #started = false;
  /** The newest set that was sent and does not count as it is yet. */
  #pending: string | undefined;
  #removal: Timer | undefined;
  #asking: Timer | undefined;
  /** Certificates that were asked for since the newest set came. */
  #asked = 0;

  constructor(options: TrustBundleOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#channel = new ControlChannel(options);
    this.#results = options.registry.counter(
      'mesh_trust_bundles_total',
      'Sets of trust anchors that were received, by result.',
    );
    const anchors = options.registry.gauge('mesh_trust_anchors', 'Trust anchors in use.', { merge: 'max' });
    options.registry.onCollect(() => {
      const { current } = options.credentials;
      if (current !== undefined) anchors.with().set(certificateDers(current.anchorsPem).length);
    });
    // The stream begins with the first certificate; each later one may be of what a pending set holds.
    this.#unsubscribe = options.credentials.onChange(() => {
      this.#start();
      if (this.#pending === undefined) return;
      this.#asking?.cancel();
      if (this.#judge(this.#pending) === 'needs-renewal') this.#askAgain();
    });
  }

  close(): void {
    this.#unsubscribe();
    this.#removal?.cancel();
    this.#asking?.cancel();
    this.#channel.close();
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#channel.keep(
      TrustBundle.method.watch,
      {},
      {
        onMessage: ({ anchorsPem }) => this.#receive(anchorsPem),
        onRejected: ({ message }) => this.#log.error('trust bundle not followed', { detail: message }),
      },
    );
  }

  #receive(anchorsPem: string): void {
    // Each stream begins with it: one that breaks again and again must not put off what is waited for.
    if (this.#pending !== undefined && sameAnchors(anchorsPem, this.#pending)) return;
    this.#removal?.cancel();
    this.#removal = undefined;
    this.#asking?.cancel();
    this.#asked = 0;
    this.#pending = undefined;
    const { current } = this.#options.credentials;
    if (current === undefined || sameAnchors(anchorsPem, current.anchorsPem)) return;
    if (this.#judge(anchorsPem) !== 'needs-renewal') return;
    this.#results.with({ result: 'needs_renewal' }).add();
    this.#options.renew();
  }

  #judge(anchorsPem: string): BundleVerdict['kind'] | undefined {
    const { credentials, suffix } = this.#options;
    const { current } = credentials;
    if (current === undefined || this.#removal !== undefined) return undefined;
    const verdict = judgeBundle(anchorsPem, { current, now: this.#clock.wall(), suffix });
    this.#pending = undefined;
    if (verdict.kind === 'refused') {
      this.#results.with({ result: 'refused' }).add();
      this.#log.error('trust bundle refused', { detail: verdict.detail });
      return verdict.kind;
    }
    const joined = joinAnchors(current.anchorsPem, anchorsPem);
    if (!sameAnchors(joined, current.anchorsPem)) this.#adopt(joined);
    if (sameAnchors(joined, anchorsPem)) return verdict.kind;
    this.#pending = anchorsPem;
    if (verdict.kind === 'needs-renewal') {
      this.#log.info('certificate is of an anchor that is removed', { detail: verdict.detail });
      return verdict.kind;
    }
    this.#removal = this.#clock.after(removalMs, () => this.#remove(anchorsPem), true);
    return verdict.kind;
  }

  /** Our certificate may be another one by now. */
  #remove(anchorsPem: string): void {
    const { credentials, suffix } = this.#options;
    this.#removal = undefined;
    const { current } = credentials;
    if (current === undefined) return;
    if (judgeBundle(anchorsPem, { current, now: this.#clock.wall(), suffix }).kind !== 'accepted') {
      this.#askAgain();
      return;
    }
    this.#pending = undefined;
    this.#adopt(anchorsPem);
  }

  #askAgain(): void {
    this.#asking?.cancel();
    this.#asking = this.#clock.after(
      backoffMs(this.#asked++, this.#options.random, askAgain),
      () => this.#options.renew(),
      true,
    );
  }

  #adopt(anchorsPem: string): void {
    this.#results.with({ result: 'adopted' }).add();
    this.#log.info('trust anchors changed', {
      anchors: certificateDers(anchorsPem).map(fingerprintOf).join(' '),
    });
    this.#options.adopt(anchorsPem);
  }
}
