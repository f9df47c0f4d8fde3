/** A long wire between two pods: the relay of the test kit, as a process of its own. netem is not in every kernel. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { HostPort } from '@mesh/control-api/convert';
import { hostAddress } from './control-plane.ts';

/** Of the wire, bytes per second: 200 Mbit/s, so that 80 ms need 2 MB on the way and 200 ms need 5 MB. */
const wireBandwidth = 25_000_000;

export interface Wire {
  /** Where the endpoint is reached over the wire. */
  readonly address: HostPort;
  stop(): void;
}

export async function startWire(root: string, endpoint: HostPort, roundTripMs: number): Promise<Wire> {
  const child: ChildProcess = spawn(
    process.execPath,
    [
      join(root, 'packages/testkit/src/fault-relay-main.ts'),
      JSON.stringify({ ...endpoint, listenHost: hostAddress }),
      JSON.stringify({ delayMs: roundTripMs / 2, bandwidth: wireBandwidth }),
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  if (child.stdout === null) throw new Error('the relay has no standard output');
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    address: { host: hostAddress, port: Number(line.toString().trim()) },
    stop: () => child.kill(),
  };
}
