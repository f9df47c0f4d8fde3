/** What the processes of the long form tell each other. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Latency } from '@mesh/bench/load/load-result';

/** What the attacker says when it is there. */
export interface AttackerHello {
  /** PEM of its certificates' anchor, which the mesh must trust: chains are bad for what they are, not for whose. */
  readonly anchors: string;
}

/** Where the attacker finds things, in its first message. */
export interface AttackerOrder {
  readonly host: string;
  /** Of applications, as clients dial them; the proxy takes what goes there. One is the victim's, too. */
  readonly ports: { readonly shared: number; readonly own: number };
  /** Name in the proxy's certificate. */
  readonly serverIdentity: string;
  /** What a gateway exports, `host:port`; empty for a sidecar. */
  readonly exported: string;
  /** The attacker, who is known to the mesh, and his PEM files. */
  readonly identity: string;
  readonly chain: string;
  readonly key: string;
  readonly anchors: string;
  /** Page of the proxy's metrics. */
  readonly metrics: string;
  /** Unix sockets of the applications, which count requests. */
  readonly applications: { readonly shared: string; readonly own: string };
}

/** Attack again and again for so long, and to the end of the last time; or once, in numbers. */
export interface AttackOrder {
  readonly attack: string;
  readonly seconds: number | 'in numbers';
}

export interface AttackReport {
  /** How often the attack was run to its end. */
  readonly rounds: number;
  readonly connections: number;
  /** How connections ended, as the attacker saw it, and how many. */
  readonly ends: Readonly<Record<string, number>>;
  /** What was not as it must be. */
  readonly failures: readonly string[];
}

export interface VictimOrder {
  readonly host: string;
  readonly port: number;
  readonly rate: number;
  readonly connections: number;
}

export interface VictimReport {
  readonly served: number;
  /** No answer, another than 200, or none yet 2 s after it was due. */
  readonly failed: number;
  readonly latencyMs: Latency;
}

/** Sends `message`, if there is one, and waits for the next message that comes back. */
export async function asked<Answer>(child: ChildProcess, message?: object): Promise<Answer> {
  const ended = new AbortController();
  const answer = once(child, 'message', { signal: ended.signal });
  const onExit = (): void => ended.abort(new Error('a process of the attack ended before it answered'));
  child.once('exit', onExit);
  if (message !== undefined) child.send(message);
  const [first] = (await answer) as [Answer];
  child.off('exit', onExit);
  return first;
}
