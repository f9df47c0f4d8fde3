import type { Clock, Timer } from '@mesh/clock/clock';
import type { Container } from '@mesh/kube/types';

export type Probe = NonNullable<Container['readinessProbe']>;
export type ProbeKind = 'startup' | 'readiness' | 'liveness';

/** Undefined when the probe succeeded, else why it did not. */
export type ProbeCheck = (probe: Probe, timeoutMs: number) => Promise<string | undefined>;

interface ProbeLoopOptions {
  kind: ProbeKind;
  probe: Probe;
  check: ProbeCheck;
  clock: Clock;
  /** Called on each change of the verdict: readiness both ways, startup once when passed, failure of the others once. */
  onVerdict: (passed: boolean, reason: string) => void;
}

/** Until a container was ready once, it is asked this often: a period of 10 s must not cost 10 s at every start. */
const eagerPeriodMs = 200;

/**
 * One probe of a running container, with the thresholds of the Kubernetes API. A readiness or startup probe that has
 * never passed is asked more often than its period, but failures still count once per period.
 */
export class ProbeLoop {
  readonly #options: ProbeLoopOptions;
  #timer: Timer | undefined;
  #stopped = false;
  #successes = 0;
  #failures = 0;
  #verdict: boolean | undefined;
  #nextCounted: number;

  constructor(options: ProbeLoopOptions) {
    this.#options = options;
    const { clock, probe, kind } = options;
    const delayMs = (probe.initialDelaySeconds ?? 0) * 1000;
    this.#nextCounted = clock.now() + delayMs;
    if (kind === 'liveness') this.#verdict = true;
    this.#timer = clock.after(delayMs, () => void this.#ask());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #ask(): Promise<void> {
    const { probe, check, clock, kind } = this.#options;
    const periodMs = Math.max(1, probe.periodSeconds ?? 10) * 1000;
    const reason = await check(probe, Math.max(1, probe.timeoutSeconds ?? 1) * 1000).catch(
      (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown)),
    );
    if (this.#stopped) return;
    if (reason === undefined) this.#passed();
    else this.#failed(reason, periodMs);
    // A verdict may have stopped the loop.
    if (this.#finished) return;
    const eager = kind !== 'liveness' && this.#verdict === undefined;
    this.#timer = clock.after(eager ? Math.min(eagerPeriodMs, periodMs) : periodMs, () => void this.#ask());
  }

  get #finished(): boolean {
    return this.#stopped;
  }

  #passed(): void {
    const { probe, kind, onVerdict } = this.#options;
    this.#failures = 0;
    this.#successes++;
    if (this.#verdict === true || this.#successes < (probe.successThreshold ?? 1)) return;
    this.#verdict = true;
    if (kind === 'startup') this.stop();
    onVerdict(true, '');
  }

  #failed(reason: string, periodMs: number): void {
    const { probe, kind, clock, onVerdict } = this.#options;
    this.#successes = 0;
    if (clock.now() < this.#nextCounted) return;
    this.#nextCounted = clock.now() + periodMs;
    this.#failures++;
    if (this.#failures < (probe.failureThreshold ?? 3) || this.#verdict === false) return;
    if (kind === 'readiness' && this.#verdict === undefined) return;
    this.#verdict = false;
    if (kind !== 'readiness') this.stop();
    onVerdict(false, reason);
  }
}
