import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock, systemRandom } from '@mesh/clock/system';
import { readConfig } from '@mesh/config/environment';
import { describeError } from '@mesh/errors/mesh-error';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import { createLogger } from '@mesh/telemetry/log';
import { Catalog } from './catalog.ts';
import { parseCidr } from '@mesh/kube/cidr';
import { CoalescedTask } from './coalesced-task.ts';
import { nodeConfig } from './config.ts';
import { ControlSocket } from './control-socket.ts';
import { DnsServer } from './dns-server.ts';
import { DnsZone } from './dns-zone.ts';
import { KubeletServer, kubeletPort } from './kubelet-server.ts';
import { NamespaceRuntime } from './namespace-runtime.ts';
import { NodeAgent } from './node-agent.ts';
import { mountPrivate, NodeSide } from './node-network.ts';
import { NodeRegistration } from './node-registration.ts';
import { PodAddresses } from './pod-addresses.ts';
import { PodLogs } from './pod-logs.ts';
import { ApiRelay } from './relay.ts';
import { RootBuilder } from './rootfs.ts';
import { createSandbox } from './sandbox.ts';
import { waitForLine } from './world-line.ts';

const clusterDomain = 'cluster.local';

/** Services of the API whose addresses the node answers itself. */
const answeredHere: ReadonlySet<string> = new Set(['default/kubernetes', 'kube-system/kube-dns']);

async function main(): Promise<void> {
  const config = readConfig(nodeConfig, process.env);
  const clock = systemClock;
  const random = systemRandom;
  const log = createLogger({
    clock,
    level: config.MESH_LOG_LEVEL,
    write: (line) => process.stderr.write(line),
    fields: { node: config.MESH_NODE_NAME },
  });
  const warn =
    (message: string) =>
    (error: unknown): void =>
      log.warn(message, { error: String(error) });

  // The world moves the uplink into our network namespace once it knows that we have one.
  process.stdout.write('namespaces\n');
  await waitForLine(process.stdin, 'linked');
  const runDirectory = config.MESH_NODE_RUN_DIR;
  mountPrivate(runDirectory);
  const network = new NodeSide({
    address: config.MESH_NODE_ADDRESS,
    gateway: config.MESH_NODE_GATEWAY,
    podCidr: config.MESH_NODE_POD_CIDR,
    serviceCidr: config.MESH_NODE_SERVICE_CIDR,
    gatewayCidr: config.MESH_NODE_GATEWAY_CIDR,
  });
  await network.configure();

  const relay = new ApiRelay(config.MESH_NODE_API_SOCKET);
  await relay.listen(network.apiAddress, 443);
  await relay.listen(config.MESH_NODE_ADDRESS, config.MESH_NODE_API_PORT);

  const kube = fromKubeconfig(config.MESH_NODE_KUBECONFIG);
  const client = new KubeClient({
    ...kube,
    socketPath: config.MESH_NODE_API_SOCKET,
    clock,
  });
  const catalog = new Catalog({ client, clock, random, onError: warn('the API cannot be watched') });
  const dns = new DnsServer(new DnsZone(clusterDomain, catalog), clock);
  await dns.listen(network.dnsAddress);

  const podCidr = parseCidr(config.MESH_NODE_POD_CIDR);
  if (podCidr === undefined) throw new Error('unreachable: the table has checked the prefix');
  const agent = new NodeAgent({
    client,
    clock,
    random,
    log,
    nodeName: config.MESH_NODE_NAME,
    catalog,
    pod: {
      addresses: new PodAddresses(podCidr),
      runtime: new NamespaceRuntime({
        roots: new RootBuilder(),
        bundles: config.MESH_NODE_BUNDLE_DIR,
        node: process.execPath,
        logBytes: config.MESH_NODE_LOG_BYTES,
        clock,
      }),
      createSandbox,
      runDirectory: join(runDirectory),
      logDirectory: config.MESH_NODE_LOG_DIR,
      nodeAddress: config.MESH_NODE_ADDRESS,
      apiAddress: network.apiAddress,
      dnsAddress: network.dnsAddress,
      clusterDomain,
      backoff: { baseMs: config.MESH_NODE_RESTART_BASE, capMs: config.MESH_NODE_RESTART_CAP },
    },
  });
  const control = new ControlSocket({ clock, kill: (target) => agent.kill(target) });
  await control.listen(config.MESH_NODE_CONTROL_SOCKET);
  const logs = new PodLogs({
    directory: config.MESH_NODE_LOG_DIR,
    pod: (namespace, name) => agent.pod(namespace, name),
    clock,
  });
  const kubelet = new KubeletServer({
    serving: readFileSync(config.MESH_NODE_SERVING_FILE, 'utf8'),
    ca: kube.ca ?? '',
    serveLog: (request, response) => logs.serve(request, response),
    onError: warn('a log cannot be read'),
  });
  await kubelet.listen(config.MESH_NODE_ADDRESS, kubeletPort);
  process.stdout.write('network\n');

  const rules = new CoalescedTask({
    run: async () => await network.apply(catalog.ports(answeredHere)),
    clock,
    delayMs: 20,
    retryMs: 1000,
    onError: warn('service rules cannot be written'),
  });
  await catalog.start();
  catalog.onServicesChange(() => rules.request());
  const registration = new NodeRegistration({
    client,
    clock,
    name: config.MESH_NODE_NAME,
    address: config.MESH_NODE_ADDRESS,
    podCidr: config.MESH_NODE_POD_CIDR,
    onError: warn('the node cannot be registered'),
  });
  await registration.start();
  await agent.start();
  process.stdout.write('ready\n');
  log.info('node is ready');
}

// Whatever ends the agent ends its PID namespace, and with it every pod.
process.on('SIGTERM', () => process.exit(0));
main().catch((thrown: unknown) => {
  process.stderr.write(`${describeError(thrown)}\n`);
  process.exit(1);
});
