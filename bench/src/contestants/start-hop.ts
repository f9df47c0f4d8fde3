import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessOptions } from '../pod.ts';
import { proxyUid } from '../pod.ts';
import type { Hop, HopName, Stage } from './contestant.ts';

/** Starts one proxy of a stage as the user whose connections are not redirected. */
export function startHop(
  stage: Stage,
  name: HopName,
  command: readonly string[],
  environment: ProcessOptions['environment'] = {},
): Hop {
  const pod = { outbound: stage.client, gateway: stage.middle, inbound: stage.server }[name];
  if (pod === undefined) throw new Error(`${stage.scene.name} has no pod for a ${name} proxy`);
  const child = pod.start(command, {
    uid: proxyUid,
    environment,
    log: join(stage.directory, `${name}.log`),
  });
  if (child.pid === undefined) throw new Error(`${command[0]} did not start in ${pod.name}`);
  return { name, pid: child.pid };
}

/** Writes a configuration that is published beside the results; gives its path. */
export function writeConfiguration(stage: Stage, name: string, text: string): string {
  const file = join(stage.directory, name);
  writeFileSync(file, text, { mode: 0o644 });
  return file;
}
