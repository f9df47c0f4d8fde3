import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect as connectHttp2, constants } from 'node:http2';
import { connect } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import type { Container } from '@mesh/kube/types';
import type { ContainerProcess } from './container-runtime.ts';
import type { Probe, ProbeCheck } from './probe-loop.ts';

/** Begins what an HTTP check says of an answer that is no success. */
export const badStatus = 'HTTP probe failed with statuscode';

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
    if (probe.grpc !== undefined) return await grpcCheck(probe.grpc, target, timeoutMs);
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
        finish(statusCode >= 200 && statusCode < 400 ? undefined : `${badStatus}: ${statusCode}`);
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

/** `grpc.health.v1.Health/Check` in plaintext; only SERVING is a success. */
function grpcCheck(
  { port, service }: NonNullable<Probe['grpc']>,
  { address, clock }: ProbeTarget,
  timeoutMs: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const session = connectHttp2(`http://${address}:${port}`);
    const finish = (reason: string | undefined): void => {
      timer.cancel();
      session.destroy();
      resolve(reason);
    };
    const timer = clock.after(timeoutMs, () => finish(`no answer within ${timeoutMs} ms`), true);
    session.on('error', (error) => finish(error.message));
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      'user-agent': 'kube-probe/1.34',
      te: 'trailers',
    });
    const body: Buffer[] = [];
    let status: string | undefined;
    const read = (headers: Record<string, unknown>): void => {
      const given = headers['grpc-status'];
      if (given !== undefined) status = String(given);
    };
    stream.on('response', (headers) => {
      const code = headers[':status'];
      if (code !== constants.HTTP_STATUS_OK) finish(`the answer has HTTP status ${code}`);
      read(headers);
    });
    stream.on('trailers', read);
    stream.on('data', (chunk: Buffer) => {
      body.push(chunk);
      if (Buffer.concat(body).length > longestHealth) finish('the answer is too long');
    });
    stream.on('error', (error) => finish(error.message));
    stream.on('end', () => {
      if (status !== '0') finish(`the health check ended with gRPC status ${status ?? 'none'}`);
      else finish(healthFault(Buffer.concat(body)));
    });
    stream.end(healthRequest(service ?? ''));
  });
}

/** Of the message that answers a health check, which has one small number. */
const longestHealth = 1024;
const servingStatuses = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/** HealthCheckRequest { string service = 1 } behind the five bytes of gRPC. */
function healthRequest(service: string): Buffer {
  const name = Buffer.from(service).subarray(0, 127);
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** HealthCheckResponse { ServingStatus status = 1 }: undefined when it is SERVING. */
function healthFault(body: Buffer): string | undefined {
  const status = body[5] === 0x08 ? (body[6] ?? 0) : 0;
  return status === 1 ? undefined : `service is ${servingStatuses[status] ?? status}`;
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
