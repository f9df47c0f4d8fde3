/** The attacker. Begins with an AttackerHello; first message: an AttackerOrder; then each AttackOrder is answered by an AttackReport. */
import { systemClock as clock } from '@mesh/clock/system';
import { describeError } from '@mesh/errors/mesh-error';
import { toPem } from '@mesh/trust/pem';
import { anchor } from '@mesh/trust/testing/certificate-vector';
import { attacksInNumbers } from './attacks-in-numbers.ts';
import { cpuBounds, knownAttacks } from './known-attacks.ts';
import type { AttackerHello, AttackerOrder, AttackOrder, AttackReport } from './messages.ts';
import { betweenConnectionsMs, betweenPlainMs, RemoteSite } from './remote-site.ts';

/**
 * Between connections whose frames are held to a share of a core. A handshake takes 3 ms of one; 25 a second would be more than
 * that share, whatever came behind them.
 */
const betweenBoundedMs = 500;
/** About what the victim gets of what an attacker did to the application. */
const sharing: ReadonlySet<string> = new Set(['H1-13']);

let where: AttackerOrder | undefined;

async function attack({ attack: id, seconds }: AttackOrder): Promise<AttackReport> {
  const many = seconds === 'in numbers' ? attacksInNumbers[id] : undefined;
  const found = many ?? knownAttacks.find((known) => known.id === id);
  if (where === undefined || found === undefined) throw new Error(`there is no attack ${id}`);
  const site = new RemoteSite(where, {
    clock,
    application: sharing.has(id) ? 'shared' : 'own',
    pauseMs: id in cpuBounds ? betweenBoundedMs : betweenConnectionsMs,
    plainPauseMs: many?.plainPauseMs ?? betweenPlainMs,
  });
  const failures: string[] = [];
  const end = clock.now() + (seconds === 'in numbers' ? 0 : seconds * 1000);
  let rounds = 0;
  do {
    await site.begin();
    rounds++;
    await found.run(site).catch((fault: unknown) => failures.push(describeError(fault)));
    await site.finish();
  } while (clock.now() < end && failures.length === 0);
  return { rounds, connections: site.connections, ends: site.ends, failures };
}

async function onMessage(message: AttackerOrder | AttackOrder): Promise<object> {
  if ('attack' in message) return attack(message);
  where = message;
  return {};
}

process.on('message', (message) => {
  void onMessage(message as Parameters<typeof onMessage>[0]).then((answer) => process.send?.(answer));
});
process.send?.({ anchors: toPem(anchor.der) } satisfies AttackerHello);
process.on('disconnect', () => process.exit(0));
