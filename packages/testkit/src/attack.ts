/**
 * An attack that is known by name, written once and run at two kinds of place: in a test, beside a victim in the same process
 * and with a clock that the test moves; and in the long form, against the real program in a process of its own.
 */
import type { Socket } from 'node:net';

/** Where an attack is run: what it is pointed at, and what can be known of it from outside. */
export interface AttackSite {
  /** A connected socket of an attacker. Its errors are of no interest; it is destroyed when the attack is over. */
  connect(): Promise<Socket>;
  /** As `connect`, by one whom the mesh does not know and who speaks no TLS. */
  connectPlain(): Promise<Socket>;
  /** Requests of attackers that reached the application since this attack began. */
  requests(): Promise<number>;
  /** Hits of a limit by its name since this attack began. */
  hits(limit: string): Promise<number>;
  /** Lets so much time pass for what is attacked. */
  pass(ms: number): Promise<void>;
  /** What `pass` can be asked for: time may be real. */
  readonly longestPassMs: number;
  /** For attacks that are a matter of numbers: how many times the small ones. */
  readonly scale: number;
  /** What is held for attackers is counted from here. */
  mark(): void;
  /** Waits until no more than so many bytes are held for attackers since `mark`; rejects when that does not come. */
  holdsAtMost(bytes: number): Promise<void>;
  /** Connections of attackers that what is attacked has not let go of. */
  open(): Promise<number>;
}

export interface Attack {
  /** Of the survey, as `H2-1`. */
  readonly id: string;
  readonly what: string;
  /** Attacks once; rejects when an attacker's end or what it reached is not as it must be. */
  run(site: AttackSite): Promise<void>;
}
