/** What is measured: each cell is one kind of load on one scene. */
import type { Scene } from './contestants/contestant.ts';
import { drive } from './load/driver.ts';
import { grpcMessage, grpcPath } from './load/grpc-message.ts';
import { h2load } from './load/h2load.ts';
import type { LoadResult } from './load/load-result.ts';
import { wrk } from './load/wrk.ts';
import type { Playing } from './stage-set.ts';

export interface CellLoad {
  readonly connections: number;
  readonly seconds: number;
}

/** Of what CPU time and rate are told. */
export type Unit = 'request' | 'connection' | 'GB';

export interface Cell {
  /** Of `--cells`, and in JSON. */
  readonly name: string;
  readonly title: string;
  readonly scene: Scene;
  readonly unit: Unit;
  readonly connections: readonly number[];
  /** Whether `no proxy` is measured, too. */
  readonly baseline: boolean;
  /** A target compares contestants in it at 32 connections. */
  readonly decides?: true;
  /** As much as the contestant can, by closed loop. */
  load(playing: Playing, load: CellLoad): Promise<LoadResult>;
  /** At a rate, by open loop. */
  loadAt?(playing: Playing, load: CellLoad, rate: number): Promise<LoadResult>;
}

const scene = (name: string, traffic: Scene['traffic'], mtls: boolean, roundTripMs = 0): Scene => ({
  name,
  traffic,
  mtls,
  roundTripMs,
  large: traffic === 'tcp' || roundTripMs > 0,
  gateway: false,
});

export const plainHttp = scene('http', 'http', false);
export const httpPair = scene('http-mtls', 'http', true);
const bodiesPair: Scene = { ...scene('http-mtls-bodies', 'http', true), large: true };
export const throughGateway: Scene = { ...scene('gateway', 'http', true), gateway: true };
const grpcPair = scene('grpc-mtls', 'grpc', true);
const plainTcp = scene('tcp', 'tcp', false);
const tcpPair = scene('tcp-mtls', 'tcp', true);

function http(path: string): Pick<Required<Cell>, 'load' | 'loadAt'> {
  return {
    load: ({ stage, target }, { connections, seconds }) =>
      wrk(stage.client, {
        connections,
        seconds,
        url: `http://${target.host}:${target.port}${path}`,
        directory: stage.directory,
      }),
    loadAt: ({ stage, target }, { connections, seconds }, rate) =>
      drive(stage.client, 'open-loop', { ...target, protocol: 'http1', path, connections, seconds, rate }),
  };
}

/** Calls under way at a time, 8 on each connection: what clients of gRPC do. */
function grpc(): Pick<Required<Cell>, 'load' | 'loadAt'> {
  const shape = (calls: number): { connections: number; streams: number } =>
    calls < 8 ? { connections: 1, streams: calls } : { connections: Math.round(calls / 8), streams: 8 };
  return {
    load: ({ stage, target }, { connections, seconds }) =>
      h2load(stage.client, {
        ...shape(connections),
        seconds,
        url: `http://${target.host}:${target.port}${grpcPath}`,
        directory: stage.directory,
        grpcMessage,
      }),
    loadAt: ({ stage, target }, { connections, seconds }, rate) =>
      drive(stage.client, 'open-loop', {
        ...target,
        protocol: 'grpc',
        path: grpcPath,
        connections: shape(connections).connections,
        seconds,
        rate,
      }),
  };
}

const mebibyteBodies = http('/bytes/1048576');

/** So many that a latency is that of a request, and not of a queue before a connection. */
const besideConnections = 64;
const besideRate = 200;
/** The small requests warm up for a second, and their driver needs some time to start and to end. */
const besideMarginSeconds = 2;

/** Transfers as fast as they go, and small requests meanwhile: bytes are those of the transfers, latencies those of the others. */
async function besideTransfers(playing: Playing, { connections, seconds }: CellLoad): Promise<LoadResult> {
  const transfersSeconds = seconds + besideMarginSeconds;
  const [transfers, small] = await Promise.all([
    mebibyteBodies.load(playing, { connections, seconds: transfersSeconds }),
    http('/').loadAt(playing, { connections: besideConnections, seconds }, besideRate),
  ]);
  const { latencyMs } = small;
  return {
    operations: transfers.operations,
    seconds: transfers.seconds,
    bytes: transfers.bytes,
    failed: transfers.failed + small.failed,
    ...(latencyMs === undefined ? {} : { latencyMs }),
  };
}

const download: Pick<Cell, 'load'> = {
  load: ({ stage, target }, { connections, seconds }) =>
    drive(stage.client, 'download', { ...target, connections, seconds }),
};

/** Large enough that the start, with small windows, is a part and not all of it. */
const longBodyBytes = 32 * 1024 * 1024;
/** Then what has come counts. */
const longBodySeconds = 3;

function longBody(roundTripMs: number): Cell {
  return {
    name: `rtt-${roundTripMs}`,
    title: `mTLS pair: one body of 32 MiB over ${roundTripMs} ms round trip`,
    scene: scene(`http-mtls-${roundTripMs}ms`, 'http', true, roundTripMs),
    unit: 'GB',
    connections: [1],
    baseline: true,
    load: ({ stage, target }, { connections }) =>
      drive(stage.client, 'download', {
        ...target,
        connections,
        seconds: longBodySeconds,
        bodyBytes: longBodyBytes,
      }),
  };
}

/** Cells of one scene lie together: its stages are opened once. */
export const cells: readonly Cell[] = [
  {
    name: 'plain',
    title: 'HTTP/1 through one proxy, no TLS',
    scene: plainHttp,
    unit: 'request',
    connections: [1, 32, 256],
    baseline: true,
    decides: true,
    ...http('/'),
  },
  {
    name: 'mtls',
    title: 'mTLS pair: HTTP/1 in, HTTP/2 between, HTTP/1 out',
    scene: httpPair,
    unit: 'request',
    connections: [1, 32, 256],
    baseline: false,
    decides: true,
    ...http('/'),
  },
  {
    name: 'steady',
    title: 'mTLS pair: 2,000 requests/s, open loop',
    scene: httpPair,
    unit: 'request',
    connections: [32],
    baseline: true,
    decides: true,
    load: (playing, load) => http('/').loadAt(playing, load, 2000),
  },
  {
    name: 'body-64k',
    title: 'mTLS pair: bodies of 64 KiB',
    scene: bodiesPair,
    unit: 'request',
    connections: [1, 32, 256],
    baseline: false,
    ...http('/bytes/65536'),
  },
  {
    name: 'body-1m',
    title: 'mTLS pair: bodies of 1 MiB',
    scene: bodiesPair,
    unit: 'request',
    connections: [1, 32, 256],
    baseline: false,
    // No half load: too few requests in its time to speak of percentiles.
    load: mebibyteBodies.load,
  },
  {
    name: 'beside',
    title: `mTLS pair: latencies of ${besideRate} small requests/s beside so many transfers of 1 MiB bodies`,
    scene: bodiesPair,
    unit: 'GB',
    connections: [32],
    baseline: false,
    load: besideTransfers,
  },
  {
    name: 'grpc',
    title: 'mTLS pair: gRPC unary, 100-byte messages',
    scene: grpcPair,
    unit: 'request',
    connections: [1, 32, 256],
    baseline: false,
    ...grpc(),
  },
  {
    name: 'tcp',
    title: 'opaque TCP through one proxy',
    scene: plainTcp,
    unit: 'GB',
    connections: [1, 32],
    baseline: true,
    decides: true,
    ...download,
  },
  {
    name: 'tcp-mtls',
    title: 'mTLS pair: opaque TCP',
    scene: tcpPair,
    unit: 'GB',
    connections: [1, 32],
    baseline: false,
    decides: true,
    ...download,
  },
  {
    name: 'connect',
    title: 'mTLS pair: new connections, each with a full handshake between the proxies',
    scene: tcpPair,
    unit: 'connection',
    connections: [1, 32],
    baseline: false,
    load: ({ stage, target }, { connections, seconds }) =>
      drive(stage.client, 'connections', { ...target, connections, seconds }),
  },
  {
    name: 'gateway',
    title: 'from another cluster: sidecar, gateway, sidecar',
    scene: throughGateway,
    unit: 'request',
    connections: [1, 32, 256],
    baseline: false,
    ...http('/'),
  },
  longBody(20),
  longBody(80),
  longBody(200),
];
