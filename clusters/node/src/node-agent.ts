import type { Clock, Random } from '@mesh/clock/clock';
import { isNotFound } from '@mesh/kube/api-error';
import type { KubeClient } from '@mesh/kube/client';
import { Reconciler } from '@mesh/kube/controller';
import { EventRecorder } from '@mesh/kube/event-recorder';
import { Informer } from '@mesh/kube/informer';
import { isDeleting } from '@mesh/kube/objects';
import { pods } from '@mesh/kube/resources';
import type { Pod, Stored } from '@mesh/kube/types';
import type { Logger } from '@mesh/telemetry/log';
import type { Catalog } from './catalog.ts';
import { PodWorker, type PodWorkerDeps } from './pod-worker.ts';
import { writeStatus } from './status-writer.ts';
import type { TokenSource } from './volume-files.ts';

type OwnDeps = 'onChange' | 'onEvent' | 'onError' | 'issue' | 'data' | 'clock';

interface NodeAgentOptions {
  client: KubeClient;
  clock: Clock;
  random: Random;
  log: Logger;
  nodeName: string;
  catalog: Catalog;
  pod: Omit<PodWorkerDeps, OwnDeps>;
}

/** Runs the pods that are bound to this node and writes their status. */
export class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #informer: Informer<Pod>;
  readonly #reconciler: Reconciler;
  readonly #recorder: EventRecorder;
  readonly #workers: Map<string, PodWorker> = new Map();

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    const { client, clock, random, log, nodeName } = options;
    const onError = (error: unknown): void => log.warn('pods cannot be watched', { error: String(error) });
    this.#informer = new Informer({
      ...{ client, clock, random, onError },
      type: pods,
      fieldSelector: `spec.nodeName=${nodeName}`,
    });
    this.#reconciler = new Reconciler({
      name: 'pods',
      reconcile: async (key) => await this.#reconcile(key),
      clock,
      random,
      concurrency: 8,
      retryCapMs: 5000,
      onError: ({ key, error }) =>
        log.warn('pod status cannot be written', { pod: key, error: String(error) }),
    });
    const report = (error: unknown): void => log.warn('event cannot be written', { error: String(error) });
    this.#recorder = new EventRecorder({ client, clock, random, component: 'kubelet', onError: report });
  }

  async start(): Promise<void> {
    this.#informer.onChange((key) => this.#reconciler.add(key));
    this.#options.catalog.onVolumeSourceChange((namespace) => {
      for (const worker of this.#workers.values()) {
        if (worker.pod.metadata?.namespace === namespace) worker.refreshVolumes();
      }
    });
    this.#informer.start();
    await this.#informer.synced;
    this.#reconciler.start();
  }

  /** A pod of this node with its present status, which the API may learn a little later. */
  pod(namespace: string, name: string): Pod | undefined {
    const key = `${namespace}/${name}`;
    const worker = this.#workers.get(key);
    return worker === undefined ? this.#informer.getByKey(key) : { ...worker.pod, status: worker.status() };
  }

  /** Signals a container; false when none of that name runs. */
  kill(target: { namespace: string; pod: string; container: string; signal: NodeJS.Signals }): boolean {
    const worker = this.#workers.get(`${target.namespace}/${target.pod}`);
    return worker?.signal(target.container, target.signal) ?? false;
  }

  async #reconcile(key: string): Promise<void> {
    const pod = this.#informer.getByKey(key);
    let worker = this.#workers.get(key);
    if (worker !== undefined && worker.pod.metadata?.uid !== pod?.metadata.uid) {
      // Deleted without grace, perhaps replaced by one of the same name: that one waits for the address and the logs.
      await worker.terminate(0);
      this.#workers.delete(key);
      this.#options.log.info('pod is gone', { pod: key });
      worker = undefined;
    }
    if (pod === undefined) return;
    if (worker === undefined) {
      if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed') {
        if (isDeleting(pod)) await this.#delete(pod);
        return;
      }
      if (isDeleting(pod)) {
        await this.#delete(pod);
        return;
      }
      worker = this.#begin(key, pod);
    }
    worker.pod = pod;
    if (isDeleting(pod)) {
      const ended = worker;
      const grace = pod.metadata.deletionGracePeriodSeconds;
      void ended.terminate(grace === 0 ? 0 : undefined).then(() => this.#reconciler.add(key));
    }
    if (!(await writeStatus(this.#options.client, worker, pod))) this.#reconciler.add(key);
    if (isDeleting(pod) && worker.view().finished) await this.#delete(pod);
  }

  #begin(key: string, pod: Stored<Pod>): PodWorker {
    const { clock, log, catalog } = this.#options;
    const worker = new PodWorker(pod, {
      ...this.#options.pod,
      clock,
      data: catalog,
      issue: async (owner, source) => await this.#issueToken(owner, source),
      onChange: () => this.#reconciler.add(key),
      onEvent: (subject, reason, message) => this.#event(subject, reason, message),
      onError: (subject, error) =>
        log.warn('pod has trouble', {
          pod: `${subject.metadata?.namespace}/${subject.metadata?.name}`,
          error: String(error),
        }),
    });
    this.#workers.set(key, worker);
    log.info('pod starts', { pod: key });
    return worker;
  }

  async #delete(pod: Stored<Pod>): Promise<void> {
    const { namespace, name, uid } = pod.metadata;
    try {
      await this.#options.client.delete(
        pods,
        { namespace, name },
        { gracePeriodSeconds: 0, preconditions: { uid } },
      );
    } catch (thrown) {
      if (!isNotFound(thrown)) throw thrown;
    }
  }

  #event(pod: Pod, reason: string, message: string): void {
    const { metadata } = pod;
    if (metadata?.name === undefined || metadata.uid === undefined) return;
    const { name, uid, resourceVersion = '', creationTimestamp = '' } = metadata;
    const stored = { ...pod, metadata: { ...metadata, name, uid, resourceVersion, creationTimestamp } };
    this.#recorder.record(pods, stored, { type: 'Warning', reason, message });
  }

  async #issueToken(pod: Pod, source: TokenSource): Promise<{ token: string; expiresAt: number }> {
    const { namespace, name = '', uid = '' } = pod.metadata ?? {};
    const account = { namespace, name: pod.spec?.serviceAccountName ?? 'default' };
    const { token, expirationTimestamp } = await this.#options.client.tokenRequest(account, {
      audiences: source.audience === '' ? [] : [source.audience],
      expirationSeconds: source.expirationSeconds,
      boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name, uid },
    });
    return { token, expiresAt: Date.parse(expirationTimestamp) };
  }
}
