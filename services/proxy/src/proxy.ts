/** The whole sidecar: certificate, discovery, both directions, admin page. */
import type { Socket } from 'node:net';
import type { Clock, Random, Timer } from '@mesh/clock/clock';
import type { HostPort } from '@mesh/control-api/convert';
import { SocketConnector } from '@mesh/dataplane/connector';
import { ControlChannel } from '@mesh/dataplane/control-channel';
import { Discovery } from '@mesh/dataplane/discovery';
import { Drain, listenOn } from '@mesh/dataplane/drain';
import { forwardingLimits, lastGoodFile } from '@mesh/dataplane/forwarding-config';
import { HttpMetrics } from '@mesh/dataplane/http-metrics';
import { IdentityClient } from '@mesh/dataplane/identity-client';
import { LastGoodMemory } from '@mesh/dataplane/last-good-streams';
import { OpaqueExpiry } from '@mesh/dataplane/opaque-expiry';
import { defaultCodecs } from '@mesh/dataplane/peer';
import { PeerPool } from '@mesh/dataplane/peer-pool';
import { processMetrics, windowMetrics } from '@mesh/dataplane/process-metrics';
import { Profiles } from '@mesh/dataplane/profiles';
import { DetectMetrics } from '@mesh/dataplane/protocol-detection';
import { TransportMetrics } from '@mesh/dataplane/transport-metrics';
import { LimitLedger } from '@mesh/limits/limits';
import {
  adminLedgers,
  type AdminLedgers,
  type AdminResponse,
  type AdminServer,
  type Readiness,
  startAdmin,
} from '@mesh/dataplane/admin-server';
import { limitMetrics } from '@mesh/telemetry/limit-metrics';
import type { Logger } from '@mesh/telemetry/log';
import { MetricRegistry } from '@mesh/telemetry/metrics';
import { CredentialStore } from '@mesh/trust/credentials';
import { trustLimits } from '@mesh/trust/limits';
import { controlPlaneIdentity, identityName } from '@mesh/trust/names';
import type { ProxyConfig } from './config.ts';
import type { ProxyEnvironment } from './environment.ts';
import { Inbound } from './inbound.ts';
import { defaultPolicy } from './inbound-policy.ts';
import { proxyLimits } from './limits.ts';
import { Outbound, outboundPool } from './outbound.ts';
import { PortPolicies } from './port-policies.ts';
import { inRanges } from './redirect-rules.ts';

const version = '0.1.0';

export interface ProxyOptions {
  config: ProxyConfig;
  clock: Clock;
  random: Random;
  log: Logger;
  /** Where a redirected connection was going. */
  originalDestination: (socket: Socket) => HostPort | undefined;
  /** POST /shutdown was asked for. */
  onShutdown: () => void;
}

export interface ProxyPorts {
  readonly outbound: number;
  readonly inbound: number;
  readonly admin: number;
}

export class Proxy {
  readonly #options: ProxyOptions;
  readonly #environment: ProxyEnvironment;
  readonly #identityClient: IdentityClient;
  readonly #channel: ControlChannel;
  readonly #policyChannel: ControlChannel;
  readonly #lastGood: LastGoodMemory;
  readonly #policies: PortPolicies;
  readonly #discovery: Discovery;
  readonly #profiles: Profiles;
  readonly #outbound: Outbound;
  readonly #forgetting: Timer;
  readonly #adminLedgers: AdminLedgers = adminLedgers();
  #inbound: Inbound | undefined;
  #admin: AdminServer | undefined;

  constructor(options: ProxyOptions) {
    this.#options = options;
    const { config, clock, random, log } = options;
    const cluster = config.MESH_CLUSTER;
    const suffix = config.MESH_TRUST_DOMAIN.slice(cluster.length + 1);
    const registry = new MetricRegistry();
    const codecs = defaultCodecs();
    const limits = forwardingLimits(config, 2);
    const policyLimits = new LimitLedger(proxyLimits);
    const tlsLimits = new LimitLedger(trustLimits);
    const credentials = new CredentialStore();
    const connector = new SocketConnector({
      clock,
      credentials,
      limits,
      suffix,
    });
    this.#environment = {
      clock,
      log,
      registry,
      http: new HttpMetrics(registry),
      transport: new TransportMetrics(registry),
      detect: new DetectMetrics(registry),
      limits,
      codecs,
      peers: new PeerPool({ clock, random, connector, limits, ...codecs }),
      expiry: new OpaqueExpiry({ clock, log, registry, limits }),
      credentials,
      tlsLimits,
      inboundDrain: new Drain(),
      outboundDrain: new Drain(),
      originalDestination: options.originalDestination,
      identity: identityName({
        serviceAccount: config.MESH_SERVICE_ACCOUNT,
        namespace: config.MESH_NAMESPACE,
        cluster,
        suffix,
      }),
      cluster,
      suffix,
      podIp: config.MESH_POD_IP,
      opaquePorts: config.MESH_OPAQUE_PORTS,
      detectTimeoutMs: config.MESH_DETECT_TIMEOUT,
      idleMs: config.MESH_DISCOVERY_IDLE,
    };
    processMetrics(registry, { clock, facts: { version, cluster, program: 'proxy' } });
    limitMetrics(registry, [
      limits,
      policyLimits,
      tlsLimits,
      codecs.http1Limits,
      codecs.http2Limits,
      ...Object.values(this.#adminLedgers),
    ]);
    windowMetrics(registry, codecs.windowBudget);
    this.#forgetting = registry.forgetIdle(clock);
    const control = { clock, random, log, http2Limits: codecs.http2Limits, suffix };
    this.#identityClient = new IdentityClient({
      ...control,
      registry,
      store: credentials,
      address: config.MESH_IDENTITY_ADDR,
      bundleAddress: config.MESH_TRUST_BUNDLE_ADDR,
      serverIdentity: controlPlaneIdentity('mesh-identity', cluster, suffix),
      identity: this.#environment.identity,
      tokenFile: config.MESH_TOKEN_FILE,
      anchors: config.MESH_TRUST_ANCHORS,
    });
    this.#channel = new ControlChannel({
      ...control,
      credentials,
      address: config.MESH_DESTINATION_ADDR,
      serverIdentity: controlPlaneIdentity('mesh-destination', cluster, suffix),
    });
    this.#policyChannel = new ControlChannel({
      ...control,
      credentials,
      address: config.MESH_POLICY_ADDR,
      serverIdentity: controlPlaneIdentity('mesh-destination', cluster, suffix),
    });
    this.#lastGood = new LastGoodMemory({
      clock,
      log,
      registry,
      limits,
      ...lastGoodFile(config, { identity: this.#environment.identity, pod: config.MESH_POD_NAME }),
    });
    const streams = this.#lastGood.over(this.#channel, { credentials, meanwhile: false });
    this.#policies = new PortPolicies({
      clock,
      log,
      // An earlier policy is better than the default, which may admit more.
      channel: this.#lastGood.over(this.#policyChannel, { credentials, meanwhile: true }),
      limits: policyLimits,
      workload:
        config.MESH_POD_NAME === ''
          ? ''
          : JSON.stringify({ ns: config.MESH_NAMESPACE, pod: config.MESH_POD_NAME }),
      ports: config.MESH_INBOUND_PORTS,
      fallback: (port) =>
        defaultPolicy(
          config.MESH_INBOUND_DEFAULT_POLICY,
          {
            opaque: inRanges(config.MESH_OPAQUE_PORTS, port),
            detectTimeoutMs: config.MESH_DETECT_TIMEOUT,
          },
          { cluster, suffix },
        ),
      idleMs: config.MESH_DISCOVERY_IDLE,
    });
    const contextToken = JSON.stringify({
      ns: config.MESH_NAMESPACE,
      nodeName: config.MESH_NODE_NAME,
      pod: config.MESH_POD_NAME,
    });
    this.#discovery = new Discovery({
      clock,
      log,
      channel: streams,
      registry,
      limits,
      contextToken,
      pool: outboundPool(this.#environment),
      idleMs: config.MESH_DISCOVERY_IDLE,
    });
    this.#profiles = new Profiles({
      clock,
      channel: streams,
      contextToken,
      timeoutMs: config.MESH_PROFILE_TIMEOUT,
      idleMs: config.MESH_DISCOVERY_IDLE,
      limits,
    });
    this.#outbound = new Outbound({
      environment: this.#environment,
      discovery: this.#discovery,
      profiles: this.#profiles,
    });
  }

  /** Ports listen once this resolves; clients are served as soon as there is a certificate. */
  async start(): Promise<ProxyPorts> {
    const { config } = this.#options;
    this.#lastGood.load();
    const inbound = new Inbound({
      environment: this.#environment,
      policies: this.#policies,
      inboundPort: config.MESH_INBOUND_PORT,
      ownPorts: [config.MESH_OUTBOUND_PORT, config.MESH_INBOUND_PORT, config.MESH_ADMIN_PORT],
    });
    this.#inbound = inbound;
    const ports = {
      outbound: await listenOn(this.#outbound.server, { host: '127.0.0.1', port: config.MESH_OUTBOUND_PORT }),
      inbound: await listenOn(inbound.server, { host: '0.0.0.0', port: config.MESH_INBOUND_PORT }),
    };
    this.#admin = await startAdmin({
      clock: this.#environment.clock,
      port: config.MESH_ADMIN_PORT,
      registry: this.#environment.registry,
      ready: () => this.ready(),
      limits: this.#adminLedgers,
      actions: config.MESH_SHUTDOWN_ENDPOINT === 'enabled' ? { '/shutdown': () => this.#shutdown() } : {},
    });
    this.#identityClient.start();
    this.#channel.connectWhenPossible();
    this.#policies.start();
    return { ...ports, admin: this.#admin.port };
  }

  #shutdown(): AdminResponse {
    this.#options.onShutdown();
    return { status: 200, type: 'text/plain; charset=utf-8', body: 'draining\n' };
  }

  ready(): Readiness {
    if (this.#environment.inboundDrain.draining) return { ready: false, reason: 'shutting down' };
    const { current } = this.#environment.credentials;
    if (current === undefined) return { ready: false, reason: this.#identityClient.fault };
    if (!this.#channel.connected && !this.#channel.wasConnected && !this.#lastGood.restored) {
      return { ready: false, reason: `destination: ${this.#channel.fault}` };
    }
    // Plaintext passes all the same, as the policy says.
    const expired = current.notAfter <= this.#options.clock.wall();
    return { ready: true, reason: '', note: expired ? this.#expiredNote() : this.#lastGood.note };
  }

  #expiredNote(): string {
    const { fault } = this.#identityClient;
    return fault === '' ? 'the certificate expired' : `the certificate expired: ${fault}`;
  }

  /**
   * Ends gracefully. Clients of the application are asked to leave, and its own calls pass as long as they have not or it
   * holds connections: what it still answers may need others. (Kubernetes stops a native sidecar after the application,
   * KEP-753; then there are none.) Whatever is left after the grace period is cut.
   */
  async stop(): Promise<void> {
    const { clock, config } = this.#options;
    const { inboundDrain, outboundDrain } = this.#environment;
    const deadline = clock.now() + config.MESH_SHUTDOWN_GRACE;
    await inboundDrain.drain(clock, config.MESH_SHUTDOWN_GRACE);
    await outboundDrain.outlast(clock, Math.max(0, deadline - clock.now()));
    this.#forgetting.cancel();
    await this.#lastGood.close();
    this.#identityClient.stop();
    this.#policies.close();
    this.#profiles.close();
    this.#discovery.close();
    this.#outbound.close();
    this.#inbound?.close();
    this.#environment.peers.close();
    this.#environment.expiry.close();
    this.#channel.close();
    this.#policyChannel.close();
    await this.#admin?.close();
  }
}
