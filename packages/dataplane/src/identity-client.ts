/**
 * Gets and renews the program's certificate: key and CSR here, ServiceAccount token to the identity service, leaf back.
 *
 * The key is made anew for each certificate and never leaves the process. The service is dialled with the trust anchors
 * alone and must prove its own identity. The token file is read for each attempt, because it is rotated. The anchors
 * themselves are followed from the first certificate on. A machine that slept renews within a minute after it woke.
 */
import { readFileSync } from 'node:fs';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { backoffMs, type Clock, type Random, type Timer } from '@mesh/clock/clock';
import { beforeDate } from '@mesh/clock/date-timer';
import { isoTime } from '@mesh/clock/iso-time';
import { type HostPort } from '@mesh/control-api/convert';
import { type CertifyResponse, Identity } from '@mesh/control-api/gen/linkerd/identity_pb';
import { GrpcChannel } from '@mesh/control-api/grpc-client';
import { GrpcError } from '@mesh/control-api/status';
import { MeshError } from '@mesh/errors/mesh-error';
import { connectHttp2 } from '@mesh/http2/client';
import type { Logger } from '@mesh/telemetry/log';
import type { MetricRegistry } from '@mesh/telemetry/metrics';
import { checkChain, parseAnchors } from '@mesh/trust/chain';
import type { Credentials, CredentialStore } from '@mesh/trust/credentials';
import { createKeyAndCsr } from '@mesh/trust/csr';
import { dialTls } from '@mesh/trust/dial';
import { toPem } from '@mesh/trust/pem';
import type { PeerEnvironment } from './peer.ts';
import { TrustBundleFollower } from './trust-bundle.ts';

/** Share of a certificate's remaining life after which it is renewed. */
const renewAt = 0.7;
const minRenewMs = 10_000;
const maxRenewMs = 24 * 3_600_000;
const certifyTimeoutMs = 10_000;
const retry = { baseMs: 200, capMs: 10_000, jitter: 0.2 };

export interface IdentityClientOptions {
  clock: Clock;
  random: Random;
  log: Logger;
  registry: MetricRegistry;
  http2Limits: PeerEnvironment['http2Limits'];
  store: CredentialStore;
  /** Of the identity service. */
  address: HostPort;
  /** Which the service must prove. */
  serverIdentity: string;
  /** Which we ask for. */
  identity: string;
  tokenFile: string;
  /** Where the same service tells changes of the anchors; it must prove the same identity. */
  bundleAddress: HostPort;
  /** PEM; to begin with. */
  anchors: string;
  /** Suffix of trust domains. */
  suffix: string;
}

export class IdentityClient {
  readonly #options: IdentityClientOptions;
  readonly #refreshed: (result: 'success' | 'failure') => void;
  readonly #bundle: TrustBundleFollower;
  #anchors: string;
  #timer: Timer | undefined;
  #failures = 0;
  #renewing = false;
  #stopped = false;
  /** Why there is no certificate yet, for the readiness page; empty when there is one. */
  fault = 'no certificate was asked for yet';

  constructor(options: IdentityClientOptions) {
    this.#options = options;
    const { registry, store } = options;
    this.#anchors = options.anchors;
    this.#bundle = new TrustBundleFollower({
      ...options,
      credentials: store,
      address: options.bundleAddress,
      adopt: (anchorsPem) => {
        this.#anchors = anchorsPem;
        if (store.current !== undefined) store.update({ ...store.current, anchorsPem });
      },
      renew: () => void this.#renew(),
    });
    const expiry = registry.gauge(
      'identity_cert_expiration_timestamp_seconds',
      'When the own certificate ends, seconds since the epoch.',
      { merge: 'max' },
    );
    const refreshedAt = registry.gauge(
      'identity_cert_refresh_timestamp_seconds',
      'When the own certificate was last renewed, seconds since the epoch.',
      { merge: 'max' },
    );
    const refreshes = registry.counter('identity_cert_refresh_count', 'Certificate renewals by result.');
    this.#refreshed = (result) => {
      refreshes.with({ result }).add();
      if (result === 'success') refreshedAt.with().set(options.clock.wall() / 1000);
    };
    registry.onCollect(() => {
      if (store.current !== undefined) expiry.with().set(store.current.notAfter / 1000);
    });
  }

  /** Begins; the store has credentials once the first attempt succeeds. */
  start(): void {
    void this.#renew();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#bundle.close();
  }

  async #renew(): Promise<void> {
    if (this.#renewing) return;
    this.#renewing = true;
    this.#timer?.cancel();
    const waitMs = await this.#attempt();
    this.#renewing = false;
    if (!this.#stopped) this.#timer = beforeDate(this.#options.clock, waitMs, () => void this.#renew());
  }

  /** Resolves with the pause until the next attempt. */
  async #attempt(): Promise<number> {
    const { clock, random, log, store, identity } = this.#options;
    try {
      const credentials = await this.#certify();
      if (this.#stopped) return 0;
      // They may have changed meanwhile.
      store.update({ ...credentials, anchorsPem: this.#anchors });
      this.fault = '';
      this.#failures = 0;
      this.#refreshed('success');
      const left = credentials.notAfter - clock.wall();
      const waitMs = Math.min(maxRenewMs, Math.max(Math.min(minRenewMs, left / 2), left * renewAt));
      log.info('certificate renewed', {
        identity,
        notAfter: isoTime(credentials.notAfter),
        renewInS: Math.round(waitMs / 1000),
      });
      return waitMs;
    } catch (thrown) {
      if (this.#stopped) return 0;
      this.#refreshed('failure');
      const waitMs = backoffMs(this.#failures++, random, retry);
      const detail = thrown instanceof Error ? thrown.message : String(thrown);
      this.fault = `no certificate: ${detail}`;
      log.warn('certificate not renewed', { identity, detail, retryInMs: Math.round(waitMs) });
      return waitMs;
    }
  }

  async #certify(): Promise<Credentials> {
    const { clock, identity, tokenFile, address, serverIdentity, http2Limits } = this.#options;
    const anchors = this.#anchors;
    // A kilobyte from a file system in memory; node:fs/promises would stay loaded for it.
    const token = readFileSync(tokenFile);
    const { key, csrDer } = await createKeyAndCsr(identity);
    const channel = new GrpcChannel({
      clock,
      authority: `${address.host}:${address.port}`,
      connect: async () => {
        const socket = await dialTls({
          host: address.host,
          port: address.port,
          identity: serverIdentity,
          alpn: [],
          credentials: { anchorsPem: anchors },
          clock,
          timeoutMs: certifyTimeoutMs,
          suffix: this.#options.suffix,
        });
        return connectHttp2(socket, { clock, limits: http2Limits });
      },
    });
    try {
      const response = await channel.unary(
        Identity.method.certify,
        { identity, token, certificateSigningRequest: csrDer },
        { deadlineMs: certifyTimeoutMs },
      );
      return { ...this.#check(response), key, anchorsPem: anchors, identity };
    } catch (thrown) {
      if (thrown instanceof GrpcError) {
        throw new MeshError('certify-refused', `the identity service at ${address.host}: ${thrown.message}`, {
          cause: thrown,
        });
      }
      throw thrown;
    } finally {
      channel.close();
    }
  }

  /** A certificate that others would refuse must not replace one that works. */
  #check(response: CertifyResponse): Pick<Credentials, 'chainPem' | 'notAfter'> {
    const { clock, identity, suffix } = this.#options;
    const chain = [response.leafCertificate, ...response.intermediateCertificates].map((der) =>
      Buffer.from(der),
    );
    const verdict = checkChain({
      chain,
      anchors: parseAnchors(this.#anchors),
      now: clock.wall(),
      role: 'server',
      suffix,
    });
    if ('refused' in verdict) {
      throw new MeshError('certify-refused', `the issued certificate is not valid here: ${verdict.detail}`, {
        remedy: 'Check that the issuer of this cluster was signed by one of the trust anchors.',
      });
    }
    if (verdict.peer.name !== identity) {
      throw new MeshError('certify-refused', `asked for ${identity}, was issued ${verdict.peer.name}`);
    }
    const validUntil =
      response.validUntil === undefined ? verdict.notAfter : timestampMs(response.validUntil);
    return { chainPem: chain.map(toPem).join(''), notAfter: Math.min(verdict.notAfter, validUntil) };
  }
}
