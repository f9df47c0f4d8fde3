/**
 * The whole way of a request in one process, all of it on loopback: the sidecar of a caller in cluster east, the gateway
 * of cluster west, the sidecar of a server in west, each the real program; identity and discovery as the test says.
 */
import type { TestContext } from 'node:test';
import { cart, startHere, startWest, TestTrust, type TestWest } from '@mesh/gateway/testing/test-west';
import {
  newAnchor,
  startCluster,
  startProxy,
  type TestAnchor,
  type TestCluster,
  type TestProxy,
} from '@mesh/proxy/testing/mesh';

export interface TwoClustersOptions {
  /** Port of the server's application. */
  readonly app: number;
  /** Bytes that no proxy parses, as for a Service whose port is opaque. */
  readonly opaque?: boolean;
  /** Settings of both sidecars. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Settings of the server's sidecar alone. */
  readonly serverEnvironment?: Readonly<Record<string, string>>;
  /** Settings of the gateway. */
  readonly gatewayEnvironment?: Readonly<Record<string, string>>;
}

export interface TwoClusters {
  /** What the calling application dials; its sidecar believes it meant `cart` in west. */
  readonly port: number;
  readonly trust: TestAnchor;
  readonly east: TestCluster;
  readonly west: TestCluster;
  readonly caller: TestProxy;
  readonly gateway: TestWest;
  readonly server: TestProxy;
}

const clusterIp = '10.0.0.1:80';

export async function startTwoClusters(
  test: TestContext,
  {
    app,
    opaque = false,
    environment = {},
    serverEnvironment = {},
    gatewayEnvironment = {},
  }: TwoClustersOptions,
): Promise<TwoClusters> {
  const trust = newAnchor();
  const [east, west, gateway] = await Promise.all([
    startCluster(test, 'east', trust),
    startCluster(test, 'west', trust),
    startWest(test, new TestTrust(trust.anchor), (settings, own) =>
      startHere({ ...settings, ...gatewayEnvironment }, own),
    ),
  ]);
  const [caller, server] = await Promise.all([
    startProxy(test, east, { environment }),
    startProxy(test, west, {
      serviceAccount: 'cart',
      app,
      environment: { ...environment, ...serverEnvironment },
    }),
  ]);
  const { inbound } = server.ports;
  gateway.endpoints([
    opaque
      ? { port: app, identity: server.identity, opaque, transportPort: inbound }
      : { port: inbound, identity: server.identity },
  ]);
  east.destination.service(clusterIp, cart.slice(0, cart.lastIndexOf(':')), [
    { port: gateway.port, identity: gateway.identity, authority: cart, opaque },
  ]);
  return { port: caller.ports.outbound, trust, east, west, caller, gateway, server };
}
