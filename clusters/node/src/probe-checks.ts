import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { Container } from '@mesh/kube/types';
import type { ContainerProcess } from './container-runtime.ts';
import type { Probe, ProbeCheck } from './probe-loop.ts';

interface ProbeTarget {
  container: Container;
  /** Address of the pod; the node has a route to it. */
  address: string;
  process: ContainerProcess;
  clock: Clock;
}

/** Checks of one container's probes. HTTP and TCP are asked from the node, as a kubelet does. */
export function probeChecks(target: ProbeTarget): ProbeCheck {
  return async (probe, timeoutMs) => {
    if (probe.exec !== undefined) {
      const code = await target.process.execute(probe.exec.command ?? [], timeoutMs);
      return code === 0 ? undefined : `command exited with ${code}`;
    }
    if (probe.httpGet !== undefined) return await httpCheck(probe.httpGet, target, timeoutMs);
    if (probe.tcpSocket !== undefined) {
      const port = portOf(probe.tcpSocket.port, target.container);
      if (port === undefined) return `no port named ${probe.tcpSocket.port}`;
      return await tcpCheck({
        host: probe.tcpSocket.host ?? target.address,
        port,
        timeoutMs,
        clock: target.clock,
      });
    }
    return `probe type ${Object.keys(probe).join(', ')} is not supported on this node`;
  };
}

/** A number, or the number of the container port with that name. */
function portOf(port: string | number | object, container: Container): number | undefined {
  if (typeof port === 'number') return port;
  const text = String(port);
  if (/^\d+$/.test(text)) return Number(text);
  return container.ports?.find(({ name }) => name === text)?.containerPort;
}

function httpCheck(
  action: NonNullable<Probe['httpGet']>,
  { container, address, clock }: ProbeTarget,
  timeoutMs: number,
): Promise<string | undefined> {
  const port = portOf(action.port, container);
  if (port === undefined) return Promise.resolve(`no port named ${String(action.port)}`);
  const headers: Record<string, string> = {
    'user-agent': 'kube-probe/1.34',
    accept: '*/*',
    connection: 'close',
  };
  for (const { name, value } of action.httpHeaders ?? []) headers[name.toLowerCase()] = value;
  return new Promise((resolve) => {
    const start = action.scheme === 'HTTPS' ? httpsRequest : httpRequest;
    const finish = (reason: string | undefined): void => {
      timer.cancel();
      resolve(reason);
    };
    const request = start(
      {
        host: action.host ?? address,
        port,
        path: action.path ?? '/',
        headers,
        agent: false,
        // The Kubernetes API says that probes skip certificate verification.
        rejectUnauthorized: false,
      },
      (response) => {
        const { statusCode = 0 } = response;
        response.resume();
        finish(
          statusCode >= 200 && statusCode < 400
            ? undefined
            : `HTTP probe failed with statuscode: ${statusCode}`,
        );
        request.destroy();
      },
    );
    const timer = clock.after(
      timeoutMs,
      () => {
        finish(`no answer within ${timeoutMs} ms`);
        request.destroy();
      },
      true,
    );
    request.on('error', (error) => finish(error.message));
    request.end();
  });
}

interface TcpTarget {
  host: string;
  port: number;
  timeoutMs: number;
  clock: Clock;
}

function tcpCheck({ host, port, timeoutMs, clock }: TcpTarget): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (reason: string | undefined): void => {
      timer.cancel();
      socket.destroy();
      resolve(reason);
    };
    const timer = clock.after(timeoutMs, () => finish(`no connection within ${timeoutMs} ms`), true);
    socket.on('connect', () => finish(undefined));
    socket.on('error', (error) => finish(error.message));
  });
}
