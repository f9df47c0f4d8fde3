/** The status of a Link, from what its session and imports say; pure, so that `kubectl get links` can be believed. */
import { jsonEqual } from '@mesh/kube/patch';
import { importLimits } from '@mesh/multicluster/limits';
import type { ConditionType, ImportedService, LinkCondition, LinkStatus } from '@mesh/multicluster/link';
import type { LinkFault } from './link-reasons.ts';
import type { SessionStatus } from './peer-session.ts';

type ConditionReason = LinkFault | 'StreamOpen' | 'Answering' | 'Verified' | 'Current';

interface StatusInput {
  /** Of the Link that the session is for. */
  generation: number | undefined;
  session: SessionStatus;
  imports: readonly ImportedService[];
  previous: LinkStatus | undefined;
  /** Wall-clock milliseconds. */
  now: number;
}

const trustReasons: ReadonlySet<LinkFault> = new Set<LinkFault>([
  'ForeignAnchor',
  'BadSignature',
  'OutsideNameConstraints',
  'UnknownDomain',
  'WrongIdentity',
  'Expired',
  'NotYetValid',
]);

export function linkStatus({ generation, session, imports, previous, now }: StatusInput): LinkStatus {
  const { fault } = session;
  const condition = (
    type: ConditionType,
    status: LinkCondition['status'],
    reason: ConditionReason,
    message: string,
  ): LinkCondition => {
    const before = previous?.conditions?.find((known) => known.type === type);
    const unchanged = before?.status === status;
    return {
      type,
      status,
      reason,
      message: message.slice(0, 1024),
      lastTransitionTime: unchanged ? before.lastTransitionTime : new Date(now).toISOString(),
    };
  };
  const untrusted = !session.connected && fault !== undefined && trustReasons.has(fault.reason);
  return {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    gateway: session.state,
    services: imports.filter(({ state }) => state === 'Mirrored').length,
    imports: imports.slice(0, importLimits.import_listed.default),
    ...(session.rttMs === undefined ? {} : { rttMs: Math.round(session.rttMs * 10) / 10 }),
    ...(session.silentMs === undefined ? {} : { lastSeen: new Date(now - session.silentMs).toISOString() }),
    conditions: [
      session.connected
        ? condition(
            'Connected',
            'True',
            'StreamOpen',
            'the exports of the peer are followed through its gateway',
          )
        : condition(
            'Connected',
            'False',
            fault?.reason ?? 'Connecting',
            fault?.message ?? 'not connected yet',
          ),
      session.state === 'alive'
        ? condition('GatewayAlive', 'True', 'Answering', 'the gateway answers')
        : condition(
            'GatewayAlive',
            session.state === 'dead' ? 'False' : 'Unknown',
            fault?.reason ?? 'NoAnswer',
            fault?.message ?? 'nothing was heard from the gateway yet',
          ),
      untrusted
        ? condition('TrustCompatible', 'False', fault.reason, fault.message)
        : session.connected
          ? condition(
              'TrustCompatible',
              'True',
              'Verified',
              'both clusters verified each other under one anchor',
            )
          : condition('TrustCompatible', 'Unknown', 'NotConnected', 'can only be told while connected'),
      syncedCondition(session, condition),
    ],
  };
}

function syncedCondition(
  session: SessionStatus,
  condition: (
    type: ConditionType,
    status: LinkCondition['status'],
    reason: ConditionReason,
    message: string,
  ) => LinkCondition,
): LinkCondition {
  if (!session.synced)
    return condition('Synced', 'Unknown', 'NoSnapshot', 'no snapshot of the exports has arrived yet');
  if (session.heldRemovals > 0) {
    const message = `the peer withdrew ${session.heldRemovals} exports, more than half, at once; they stay for 60 s in case that is a mistake`;
    return condition('Synced', 'False', 'SnapshotShrunk', message);
  }
  return session.connected
    ? condition('Synced', 'True', 'Current', 'every export is current')
    : condition('Synced', 'False', 'Stale', 'the last known exports stay in place');
}

/** Equal but for what moves all the time; those alone are written only now and then. */
export function sameStatus(one: LinkStatus | undefined, other: LinkStatus): boolean {
  const lasting = ({ rttMs: _rtt, lastSeen: _seen, ...rest }: LinkStatus): object => rest;
  return one !== undefined && jsonEqual(lasting(one), lasting(other));
}

/** Equal in what is said of the peer itself, for one spec; single exports may differ. */
export function sameHealth(one: LinkStatus | undefined, other: LinkStatus): boolean {
  const health = ({ observedGeneration, gateway, conditions }: LinkStatus): object => ({
    observedGeneration,
    gateway,
    conditions,
  });
  return one !== undefined && jsonEqual(health(one), health(other));
}
