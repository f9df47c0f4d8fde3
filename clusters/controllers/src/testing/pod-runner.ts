/** Plays the node's part for pods in tests: gives them an address, makes them ready, ends them. */
import { systemClock, systemRandom } from '@mesh/clock/system';
import { isNotFound } from '@mesh/kube/api-error';
import type { KubeClient } from '@mesh/kube/client';
import { Reconciler } from '@mesh/kube/controller';
import { Informer } from '@mesh/kube/informer';
import { isDeleting, parseKey } from '@mesh/kube/objects';
import { nodes, pods } from '@mesh/kube/resources';
import type { Pod, Stored } from '@mesh/kube/types';

export class PodRunner {
  /** Whether a pod may become ready; true when absent. Call `look` after a change of mind. */
  mayBeReady: (pod: Stored<Pod>) => boolean = () => true;
  /** Whether a deleted pod may end; true when absent. */
  mayEnd: (pod: Stored<Pod>) => boolean = () => true;
  readonly #client: KubeClient;
  readonly #informer: Informer<Pod>;
  readonly #queue: Reconciler;
  #address = 1;

  constructor(client: KubeClient) {
    this.#client = client;
    this.#informer = new Informer<Pod>({ client, type: pods, clock: systemClock, random: systemRandom });
    this.#queue = new Reconciler({
      name: 'pod-runner',
      clock: systemClock,
      random: systemRandom,
      retryBaseMs: 10,
      concurrency: 8,
      reconcile: (key) => this.#run(key),
    });
    this.#informer.onChange((key) => this.#queue.add(key));
  }

  async start(names: readonly string[] = ['node-1']): Promise<void> {
    for (const name of names) await addNode(this.#client, name);
    this.#informer.start();
    this.#queue.start();
  }

  /** Looks at every pod again. */
  look(): void {
    for (const { metadata } of this.#informer.list())
      this.#queue.add(`${metadata.namespace}/${metadata.name}`);
  }

  async stop(): Promise<void> {
    await this.#queue.stop();
    await this.#informer.stop();
  }

  async #run(key: string): Promise<void> {
    const pod = await this.#client.find(pods, parseKey(key));
    if (pod?.spec?.nodeName === undefined || pod.status?.phase === 'Failed') return;
    if (isDeleting(pod)) {
      if (this.mayEnd(pod)) {
        await this.#client.delete(pods, pod.metadata, { gracePeriodSeconds: 0 }).catch(ignoreGone);
      }
      return;
    }
    const ready = this.mayBeReady(pod) ? 'True' : 'False';
    const known = pod.status?.conditions?.find(({ type }) => type === 'Ready');
    if (known?.status === ready && pod.status?.podIP !== undefined) return;
    const others = (pod.status?.conditions ?? []).filter(({ type }) => type !== 'Ready');
    const podIP = pod.status?.podIP ?? `10.1.${this.#address >> 8}.${this.#address++ & 255}`;
    const condition = { type: 'Ready', status: ready, lastTransitionTime: new Date().toISOString() };
    await this.#client.updateStatus(pods, {
      ...pod,
      status: {
        ...pod.status,
        phase: 'Running',
        podIP,
        podIPs: [{ ip: podIP }],
        conditions: [...others, condition],
      },
    });
  }
}

export async function addNode(client: KubeClient, name: string, ready = 'True'): Promise<void> {
  const node = await client.create(nodes, { metadata: { name, labels: { 'kubernetes.io/hostname': name } } });
  await client.updateStatus(nodes, { ...node, status: { conditions: [{ type: 'Ready', status: ready }] } });
}

function ignoreGone(thrown: unknown): void {
  if (!isNotFound(thrown)) throw thrown;
}
