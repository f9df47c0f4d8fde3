/** Keeps the shared Secret and the webhook configuration's CA current; level-triggered, safe with several replicas. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Clock, Timer } from '@mesh/clock/clock';
import { isAlreadyExists, isConflict } from '@mesh/kube/api-error';
import type { KubeClient } from '@mesh/kube/client';
import { mutatingWebhookConfigurations, secrets } from '@mesh/kube/resources';
import type { Logger } from '@mesh/telemetry/log';
import { splitPem } from '@mesh/trust/pem';
import { makeServingCertificate, type ServingMaterial } from './serving-certificate.ts';

interface Options {
  client: KubeClient;
  clock: Clock;
  log: Logger;
  namespace: string;
  lifetimeMs: number;
  /** Serves it; asked only once API servers trust it. */
  onMaterial: (material: ServingMaterial) => Promise<void>;
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
    // In this order: API servers that do not trust what is served pass the injector by, and pods get no sidecar.
    await this.#trust(material.ca);
    if (material.certificate === this.#served) return;
    await this.#options.onMaterial(material);
    this.#served = material.certificate;
  }

  async #trust(ca: string): Promise<void> {
    const { client } = this.#options;
    const current = await client.get(mutatingWebhookConfigurations, { name: webhookName });
    const bundle = base64(ca);
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
    const host = `mesh-injector.${namespace}.svc`;
    for (;;) {
      const stored = await client.find(secrets, ref);
      const held = stored === undefined ? undefined : materialOf(stored.data ?? {}, host);
      if (held !== undefined && isFresh(held.certificate, clock)) return held;
      const made = await makeServingCertificate({
        dnsNames: [host],
        lifetimeMs,
        clock,
      });
      // Replicas serve the former certificate until they look again.
      const [formerCa = ''] = held === undefined ? [] : splitPem(held.ca);
      const renewed = { ...made, ca: `${made.ca.trim()}\n${formerCa}` };
      const object = {
        metadata: {
          ...ref,
          ...(stored === undefined ? {} : { resourceVersion: stored.metadata.resourceVersion }),
        },
        type: 'kubernetes.io/tls',
        data: {
          'ca.crt': base64(renewed.ca),
          'tls.crt': base64(renewed.certificate),
          'tls.key': base64(renewed.key),
        },
      };
      try {
        if (stored === undefined) await client.create(secrets, object);
        else await client.update(secrets, object);
        return renewed;
      } catch (thrown) {
        // Another replica was first: take what it wrote.
        if (!isConflict(thrown) && !isAlreadyExists(thrown)) throw thrown;
      }
    }
  }
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** What a Secret holds; undefined when it is nothing that API servers could be served with under `host`. */
function materialOf(data: Readonly<Record<string, string>>, host: string): ServingMaterial | undefined {
  const text = (name: string): string => Buffer.from(data[name] ?? '', 'base64').toString('utf8');
  const material = { ca: text('ca.crt'), certificate: text('tls.crt'), key: text('tls.key') };
  try {
    const certificate = new X509Certificate(material.certificate);
    const [issuer = ''] = splitPem(material.ca);
    const usable =
      certificate.checkHost(host) !== undefined &&
      certificate.checkPrivateKey(createPrivateKey(material.key)) &&
      certificate.verify(new X509Certificate(issuer).publicKey);
    return usable ? material : undefined;
  } catch {
    return undefined;
  }
}

function isFresh(certificate: string, clock: Clock): boolean {
  const { validFrom, validTo } = new X509Certificate(certificate);
  const from = Date.parse(validFrom);
  const to = Date.parse(validTo);
  return clock.wall() < from + ((to - from) * 2) / 3;
}
