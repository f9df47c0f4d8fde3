/**
 * What the primary process and its workers say to each other, over the channel that only the two of them have. The
 * private key travels here and nowhere else: not in arguments, environment, files or logs.
 */
import { createPrivateKey } from 'node:crypto';
import type { MetricSnapshot } from '@mesh/telemetry/metric-snapshot';
import type { Credentials } from '@mesh/trust/credentials';

/** Tell a worker its number and how many there are; not settings of the program, hence not among its names. */
export const workerVariable = 'GATEWAY_WORKER';
export const workersVariable = 'GATEWAY_WORKERS';

export type ToWorker =
  | { readonly kind: 'credentials'; readonly credentials: SentCredentials }
  /** `stream` is the number that the worker gave it. */
  | {
      readonly kind: 'message';
      readonly stream: number;
      readonly bytes: Uint8Array;
      /** As for `KeptStreamHandler`. */
      readonly first: boolean;
    }
  /** `agoMs`: for how long already. */
  | { readonly kind: 'interrupted'; readonly stream: number; readonly agoMs: number }
  | {
      readonly kind: 'rejected';
      readonly stream: number;
      readonly code: number;
      readonly message: string;
    }
  | { readonly kind: 'collect' }
  | { readonly kind: 'drain' };

export type ToPrimary =
  | { readonly kind: 'watch'; readonly stream: number; readonly method: string; readonly input: Uint8Array }
  | { readonly kind: 'cancel'; readonly stream: number }
  | { readonly kind: 'state'; readonly state: WorkerState }
  | { readonly kind: 'metrics'; readonly metrics: MetricSnapshot };

/** Said each second; a worker that is silent is taken for dead. */
export interface WorkerState {
  readonly ready: boolean;
  /** What is missing. */
  readonly reason: string;
  /** Port of peers; 0 before it listens. */
  readonly port: number;
  /** Connections of peers that are open. */
  readonly connections: number;
}

/** A key object cannot leave its process, its DER form can. */
interface SentCredentials extends Omit<Credentials, 'key'> {
  /** PKCS #8. */
  readonly keyDer: Uint8Array;
}

export function sendCredentials({ key, ...rest }: Credentials): SentCredentials {
  return { ...rest, keyDer: key.export({ type: 'pkcs8', format: 'der' }) };
}

export function receiveCredentials({ keyDer, ...rest }: SentCredentials): Credentials {
  return { ...rest, key: createPrivateKey({ key: Buffer.from(keyDer), format: 'der', type: 'pkcs8' }) };
}
