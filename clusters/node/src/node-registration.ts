import { arch, cpus, release, totalmem } from 'node:os';
import type { Clock, Timer } from '@mesh/clock/clock';
import { isAlreadyExists } from '@mesh/kube/api-error';
import type { KubeClient } from '@mesh/kube/client';
import { leases, nodes } from '@mesh/kube/resources';
import type { Node } from '@mesh/kube/types';
import { kubeletPort } from './kubelet-server.ts';
import { apiTime } from './pod-status.ts';

interface NodeRegistrationOptions {
  client: KubeClient;
  clock: Clock;
  name: string;
  address: string;
  podCidr: string;
  onError: (error: unknown) => void;
}

const leaseNamespace = 'kube-node-lease';
const leaseSeconds = 40;
const heartbeatMs = 10_000;

/** Keeps the Node object and its Lease (KEP-589) alive. */
export class NodeRegistration {
  readonly #options: NodeRegistrationOptions;
  #timer: Timer | undefined;
  #registered = false;

  constructor(options: NodeRegistrationOptions) {
    this.#options = options;
  }

  /** Registers once, then beats; failures are reported and tried again at the next beat. */
  async start(): Promise<void> {
    await this.#beat();
    this.#timer = this.#options.clock.every(heartbeatMs, () => void this.#beat(), true);
  }

  stop(): void {
    this.#timer?.cancel();
  }

  async #beat(): Promise<void> {
    try {
      if (!this.#registered) {
        await this.#register();
        this.#registered = true;
      } else await this.#contradict();
      await this.#renew();
    } catch (thrown) {
      this.#options.onError(thrown);
    }
  }

  async #register(): Promise<void> {
    const { client, name, podCidr } = this.#options;
    const node: Node = {
      metadata: {
        name,
        labels: {
          'kubernetes.io/hostname': name,
          'kubernetes.io/os': 'linux',
          'kubernetes.io/arch': arch() === 'x64' ? 'amd64' : arch(),
        },
      },
      spec: { podCIDR: podCidr, podCIDRs: [podCidr] },
    };
    try {
      await client.create(nodes, node);
    } catch (thrown) {
      if (!isAlreadyExists(thrown)) throw thrown;
    }
    await this.#writeStatus();
  }

  /** Whoever missed our beats for a while has written that nobody knows about this node; it would stay so. */
  async #contradict(): Promise<void> {
    const { client, name } = this.#options;
    const node = await client.find(nodes, { name });
    const ready = node?.status?.conditions?.find(({ type }) => type === 'Ready')?.status;
    if (node !== undefined && ready !== 'True') await this.#writeStatus();
  }

  async #writeStatus(): Promise<void> {
    const { client, name } = this.#options;
    const body = { status: this.#status() };
    await client.patch(nodes, { name }, { patch: { type: 'merge', body }, subresource: 'status' });
  }

  #status(): NonNullable<Node['status']> {
    const { name, address, clock } = this.#options;
    const now = apiTime(clock.wall());
    const capacity = {
      cpu: String(cpus().length),
      memory: `${Math.floor(totalmem() / 1024)}Ki`,
      pods: '250',
    };
    return {
      addresses: [
        { type: 'InternalIP', address },
        { type: 'Hostname', address: name },
      ],
      daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
      capacity,
      allocatable: capacity,
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'KubeletReady',
          message: 'the node runs pods',
          lastHeartbeatTime: now,
          lastTransitionTime: now,
        },
      ],
      nodeInfo: {
        architecture: arch() === 'x64' ? 'amd64' : arch(),
        bootID: '',
        containerRuntimeVersion: 'mesh://0.1.0',
        kernelVersion: release(),
        kubeProxyVersion: '',
        kubeletVersion: 'v1.35.0-mesh',
        machineID: '',
        operatingSystem: 'linux',
        osImage: 'processes in namespaces',
        systemUUID: '',
      },
    };
  }

  async #renew(): Promise<void> {
    const { client, name, clock } = this.#options;
    const spec = {
      holderIdentity: name,
      leaseDurationSeconds: leaseSeconds,
      renewTime: new Date(clock.wall()).toISOString().replace('Z', '000Z'),
    };
    const ref = { namespace: leaseNamespace, name };
    const known = await client.find(leases, ref);
    if (known !== undefined) {
      await client.patch(leases, ref, { patch: { type: 'merge', body: { spec } } });
      return;
    }
    await client.create(leases, { metadata: ref, spec });
  }
}
