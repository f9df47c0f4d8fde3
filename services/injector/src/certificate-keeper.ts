/** Keeps the shared Secret and the webhook configuration's CA current; level-triggered, safe with several replicas. */
import { X509Certificate } from 'node:crypto';
import type { Clock, Timer } from '@mesh/clock/clock';
import { isAlreadyExists, isConflict } from '@mesh/kube/api-error';
import type { KubeClient } from '@mesh/kube/client';
import { mutatingWebhookConfigurations, secrets } from '@mesh/kube/resources';
import type { Logger } from '@mesh/telemetry/log';
import { makeServingCertificate, type ServingMaterial } from './serving-certificate.ts';

interface Options {
  client: KubeClient;
  clock: Clock;
  log: Logger;
  namespace: string;
  lifetimeMs: number;
  onMaterial: (material: ServingMaterial) => void;
}

const secretName = 'mesh-injector-tls';
const webhookName = 'mesh-injector';
const checkEveryMs = 60_000;

export class CertificateKeeper {
  readonly #options: Options;
  #timer: Timer | undefined;
  #served = '';

  constructor(options: Options) {
    this.#options = options;
  }

  /** Resolves when a certificate is served and trusted for the first time; then checks once a minute. */
  async start(): Promise<void> {
    const { clock, log } = this.#options;
    await this.check();
    this.#timer = clock.every(checkEveryMs, () => {
      this.check().catch((failure: unknown) =>
        log.warn('certificate check failed', { error: String(failure) }),
      );
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  async check(): Promise<void> {
    const material = await this.#material();
    if (material.certificate !== this.#served) {
      this.#options.onMaterial(material);
      this.#served = material.certificate;
    }
    const { client } = this.#options;
    const current = await client.get(mutatingWebhookConfigurations, { name: webhookName });
    const bundle = Buffer.from(material.ca).toString('base64');
    if (current.webhooks?.every(({ clientConfig }) => clientConfig.caBundle === bundle) === true) return;
    const body = (current.webhooks ?? []).map((_, index) => ({
      op: 'add',
      path: `/webhooks/${index}/clientConfig/caBundle`,
      value: bundle,
    }));
    await client.patch(
      mutatingWebhookConfigurations,
      { name: webhookName },
      { patch: { type: 'json', body } },
    );
  }

  /** What the Secret holds, made anew when it is absent or past two thirds of its life. */
  async #material(): Promise<ServingMaterial> {
    const { client, clock, namespace, lifetimeMs } = this.#options;
    const ref = { namespace, name: secretName };
    for (;;) {
      const stored = await client.find(secrets, ref);
      const held = stored === undefined ? undefined : materialOf(stored.data ?? {});
      if (held !== undefined && isFresh(held.certificate, clock)) return held;
      const made = await makeServingCertificate({
        dnsNames: [`mesh-injector.${namespace}.svc`],
        lifetimeMs,
        clock,
      });
      const object = {
        metadata: {
          ...ref,
          ...(stored === undefined ? {} : { resourceVersion: stored.metadata.resourceVersion }),
        },
        type: 'kubernetes.io/tls',
        data: { 'ca.crt': base64(made.ca), 'tls.crt': base64(made.certificate), 'tls.key': base64(made.key) },
      };
      try {
        if (stored === undefined) await client.create(secrets, object);
        else await client.update(secrets, object);
        return made;
      } catch (thrown) {
        // Another replica was first: take what it wrote.
        if (!isConflict(thrown) && !isAlreadyExists(thrown)) throw thrown;
      }
    }
  }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

function materialOf(data: Readonly<Record<string, string>>): ServingMaterial | undefined {
  const [ca, certificate, key] = ['ca.crt', 'tls.crt', 'tls.key'].map((name) => data[name]);
  if (ca === undefined || certificate === undefined || key === undefined) return undefined;
  const text = (value: string): string => Buffer.from(value, 'base64').toString('utf8');
  return { ca: text(ca), certificate: text(certificate), key: text(key) };
}

function isFresh(certificate: string, clock: Clock): boolean {
  const { validFrom, validTo } = new X509Certificate(certificate);
  const from = Date.parse(validFrom);
  const to = Date.parse(validTo);
  return clock.wall() < from + ((to - from) * 2) / 3;
}
