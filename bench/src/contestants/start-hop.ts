import type { ProcessOptions } from '../pod.ts';
import { proxyUid } from '../pod.ts';
import type { Hop, Stage } from './contestant.ts';

/** Starts one proxy of a stage as the user whose connections are not redirected. */
export function startHop(
  { client, server, mode }: Stage,
  name: Hop['name'],
  command: readonly string[],
  environment: ProcessOptions['environment'] = {},
): Hop {
  const pod = name === 'outbound' ? client : server;
  const child = pod.start(command, { uid: proxyUid, environment, log: `${pod.name}-${mode}-${name}` });
  if (child.pid === undefined) throw new Error(`${command[0]} did not start in ${pod.name}`);
  return { name, pid: child.pid };
}
