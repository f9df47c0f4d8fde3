/**
 * The issuer, read from a mounted Secret and read again when it changes. An unusable one never replaces
 * one that works; its fault is shown on the readiness page and in the log.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Timer } from '@mesh/clock/clock';
import { type LoadedIssuer, verifyIssuer } from '@mesh/ca/issuer-check';
import type { Logger } from '@mesh/telemetry/log';
import { fingerprint } from '@mesh/trust/pem';

export interface IssuerSourceOptions {
  /** Holds `tls.crt`, `tls.key` and `ca.crt`. */
  directory: string;
  cluster: string;
  suffix: string;
  clock: Clock;
  log: Logger;
  pollMs: number;
}

export class IssuerSource {
  readonly #options: IssuerSourceOptions;
  readonly #listeners: Set<(issuer: LoadedIssuer) => void> = new Set();
  #timer: Timer | undefined;
  #current: LoadedIssuer | undefined;
  /** Content that was judged last, so that each change is judged and logged once. */
  #judged = '';
  #loading: Promise<void> | undefined;
  #fault: string = 'the issuer was not read yet';

  constructor(options: IssuerSourceOptions) {
    this.#options = options;
  }

  /** Undefined until a usable issuer was read, and after it or what is above it has expired. */
  get current(): LoadedIssuer | undefined {
    const issuer = this.#current;
    return issuer !== undefined && issuer.notAfter > this.#options.clock.wall() ? issuer : undefined;
  }

  /** Why there is no issuer, or why the newest one is not used; empty when all is well. */
  get fault(): string {
    if (this.#fault === '' && this.current === undefined) return 'the issuer has expired';
    return this.#fault;
  }

  /** Calls `listener` with each new issuer; the returned function ends that. */
  onChange(listener: (issuer: LoadedIssuer) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves after the first reading, whatever came of it. */
  async start(): Promise<void> {
    await this.reload();
    this.#timer = this.#options.clock.every(this.#options.pollMs, () => void this.reload(), true);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Reads the directory now; concurrent calls share one reading. */
  reload(): Promise<void> {
    this.#loading ??= this.#read().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #read(): Promise<void> {
    const { directory, cluster, suffix, clock, log } = this.#options;
    let texts: readonly [string, string, string];
    try {
      texts = [
        await readFile(join(directory, 'tls.crt'), 'utf8'),
        await readFile(join(directory, 'tls.key'), 'utf8'),
        await readFile(join(directory, 'ca.crt'), 'utf8'),
      ];
    } catch (thrown) {
      const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown';
      this.#refused(`the files in ${directory} cannot be read: ${code}`, code);
      return;
    }
    const content = texts.join('\0');
    const hasExpired = this.#current !== undefined && this.current === undefined;
    if (content === this.#judged && !hasExpired) return;
    const [certificatePem, keyPem, anchorsPem] = texts;
    const issuer = verifyIssuer(
      { certificatePem, keyPem, anchorsPem },
      { cluster, suffix, now: clock.wall() },
    );
    if ('fault' in issuer) {
      // What the clock says may become otherwise without a change: a clock that was wrong is set.
      const byClock = issuer.fault === 'not-yet-valid' || issuer.fault === 'expired';
      this.#refused(`${issuer.fault}: ${issuer.detail}`, byClock ? '' : content);
      return;
    }
    this.#judged = content;
    this.#fault = '';
    this.#current = issuer;
    log.info('issuer loaded', {
      fingerprint: fingerprint(issuer.certificatePem),
      notAfter: new Date(issuer.notAfter).toISOString(),
    });
    for (const listener of this.#listeners) listener(issuer);
  }

  #refused(fault: string, judged: string): void {
    if (fault !== this.#fault) this.#options.log.error('issuer not usable', { fault });
    this.#fault = fault;
    this.#judged = judged;
  }
}
