import { readFile } from 'node:fs/promises';
import { issuerFor, readTrust } from '@mesh/ca/files';
import { issuerRemedy, verifyIssuer } from '@mesh/ca/issuer-check';
import { controlPlane } from '@mesh/charts/control-plane';
import {
  inboundPolicies,
  type IssuerMaterial,
  parseStoredValues,
  resolveValues,
  type Values,
  version,
} from '@mesh/charts/values';
import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import type { KubeClient } from '@mesh/kube/client';
import { configMaps } from '@mesh/kube/resources';
import { fingerprint, fingerprintOf, splitPem } from '@mesh/trust/pem';
import { applyAll, waitForDeployments } from '../apply.ts';
import { connectCluster } from '../cluster-access.ts';
import { clusterFlags, command, logLevelFlag, outputFlag } from '../command.ts';
import { printManifests } from '../manifests.ts';
import { controlPlaneDeployments } from '../parts.ts';

export const installCommand = command({
  name: 'install',
  summary: 'Print, or apply, the control plane of a cluster',
  details:
    'Prints YAML for kubectl; nothing is sent to a cluster without --apply. The cluster gets an issuer of its own,\n' +
    "signed by the shared anchor and constrained to the cluster's trust domain. Where the mesh is installed already,\n" +
    '--apply keeps the settings that no flag names.',
  flags: {
    ...clusterFlags,
    cluster: {
      kind: 'text',
      doc: 'Name of this cluster: a DNS label of at most 20 characters.',
      value: 'NAME',
    },
    trust: { kind: 'text', doc: 'Directory made by `mesh trust init`.', value: 'DIR' },
    'issuer-cert': {
      kind: 'text',
      doc: 'PEM of an issuer from a CA of your own, with its chain.',
      value: 'FILE',
    },
    'issuer-key': { kind: 'text', doc: 'PEM of its private key.', value: 'FILE' },
    'trust-anchors': {
      kind: 'text',
      doc: 'PEM of the anchors that such an issuer chains to.',
      value: 'FILE',
    },
    'default-inbound-policy': {
      kind: 'text',
      doc: 'Whom sidecars admit where no annotation says it. Default: all-unauthenticated.',
      value: 'POLICY',
      choices: inboundPolicies,
    },
    image: { kind: 'text', doc: 'Container image of every part.', value: 'IMAGE' },
    'log-level': {
      kind: 'text',
      doc: `${logLevelFlag.doc} Default: ${logLevelFlag.default}.`,
      value: 'LEVEL',
      choices: logLevelFlag.choices,
    },
    apply: { kind: 'boolean', doc: 'Apply to the cluster and wait until it is ready.' },
    output: outputFlag('yaml', 'json'),
  },
  examples: [
    'mesh install --cluster east --trust ~/mesh-trust | kubectl apply -f -',
    'mesh install --cluster east --trust ~/mesh-trust --apply --context east',
  ],
  async run({ flags, output, clock, environment }) {
    const { values: asked, issuer } = await gather(flags, clock);
    output.note(issuerSummary(asked, issuer, clock));
    if (!flags.apply) {
      output.print(printManifests(controlPlane(asked, issuer), flags.output));
      return;
    }
    const client = connectCluster({ flags, environment, clock });
    try {
      const values = { ...asked, ...(await keptSettings(client, asked)), ...settingsOf(flags) };
      const objects = controlPlane(values, issuer);
      await applyAll(client, objects, { clock });
      output.note(`applied ${objects.length} objects to ${client.server}; waiting until they are ready`);
      await waitForDeployments(client, controlPlaneDeployments, { clock, timeoutMs: 120_000 });
      output.print(
        `${output.paint('green', '√')} mesh ${values.version} is installed as cluster ${values.cluster}`,
      );
    } finally {
      client.close();
    }
  },
});

type Settings = Partial<Pick<Values, 'inboundPolicy' | 'logLevel' | 'image'>>;
type Kept = Settings & Partial<Pick<Values, 'anchors'>>;

/**
 * What the cluster was installed with before, so that an install that only renews the issuer opens nothing that was closed.
 * @throws MeshError install-cluster-name when it is another cluster, issuer-refused when its pods would not believe the issuer
 */
async function keptSettings(client: KubeClient, { cluster, anchors }: Values): Promise<Kept> {
  const stored = await client.find(configMaps, { namespace: 'mesh', name: 'mesh-config' });
  if (stored === undefined) return {};
  const before = parseStoredValues(stored.data?.['values'] ?? '');
  if (before.cluster !== cluster) {
    throw new MeshError(
      'install-cluster-name',
      `${client.server} is cluster ${before.cluster}, not ${cluster}`,
      {
        remedy:
          `Name the context of ${cluster} with --context. To give this cluster another name, with which all its identities ` +
          'change and its links end: mesh install --cluster NAME --trust DIR | kubectl apply -f -',
      },
    );
  }
  const { inboundPolicy, logLevel, image } = before;
  // An image is that of its version.
  const settings = { inboundPolicy, logLevel, ...(before.version === version && { image }) };
  return { ...settings, anchors: keptAnchors(before.anchors, { anchors, cluster }) };
}

/** Both sets of anchors: what pods trust is taken from them step by step, never by an install. */
function keptAnchors(before: string, { anchors, cluster }: Pick<Values, 'anchors' | 'cluster'>): string {
  const [held, given] = [splitPem(before), splitPem(anchors)];
  const missing = held.filter((pem) => !given.includes(pem));
  // One that holds none could not be believed by anybody.
  if (held.length > 0 && missing.length === held.length) {
    throw new MeshError(
      'issuer-refused',
      `cluster ${cluster} trusts none of the anchors given: it has ${held.map(fingerprint).join(', ')}, not ${given.map(fingerprint).join(', ')}`,
      {
        remedy:
          'Anchors of a running mesh are replaced as docs/trust-rotation.md says. Where all its pods may be restarted instead: ' +
          `mesh install --cluster ${cluster} --trust DIR | kubectl apply -f -`,
      },
    );
  }
  return missing.length === 0 ? anchors : `${anchors.trim()}\n${missing.join('')}`;
}

interface TrustFlags {
  readonly cluster: string | undefined;
  readonly trust: string | undefined;
  readonly 'issuer-cert': string | undefined;
  readonly 'issuer-key': string | undefined;
  readonly 'trust-anchors': string | undefined;
  readonly 'default-inbound-policy': Values['inboundPolicy'] | undefined;
  readonly 'log-level': Values['logLevel'] | undefined;
  readonly image: string | undefined;
}

/** What the flags say. */
function settingsOf(flags: TrustFlags): Settings {
  const { image, 'default-inbound-policy': inboundPolicy, 'log-level': logLevel } = flags;
  return {
    ...(inboundPolicy !== undefined && { inboundPolicy }),
    ...(logLevel !== undefined && { logLevel }),
    ...(image !== undefined && { image }),
  };
}

async function gather(flags: TrustFlags, clock: Clock): Promise<{ values: Values; issuer: IssuerMaterial }> {
  const { cluster } = flags;
  if (cluster === undefined) {
    throw new MeshError('cli-usage', 'the cluster needs a name', {
      remedy: 'mesh install --cluster east --trust DIR',
    });
  }
  const settings = settingsOf(flags);
  const own = [flags['issuer-cert'], flags['issuer-key'], flags['trust-anchors']];
  const [certificate, key, anchors] = own;
  if (flags.trust !== undefined && own.every((file) => file === undefined)) {
    const trust = await readTrust(flags.trust);
    const values = resolveValues({ cluster, anchors: trust.anchorsPem, ...settings });
    const issuer = issuerFor(trust, { cluster, clock });
    return { values, issuer: { certificate: issuer.certificatePem, key: issuer.keyPem } };
  }
  if (flags.trust === undefined && certificate !== undefined && key !== undefined && anchors !== undefined) {
    const values = resolveValues({ cluster, anchors: await pem(anchors), ...settings });
    return { values, issuer: { certificate: await pem(certificate), key: await pem(key) } };
  }
  throw new MeshError(
    'cli-usage',
    'the cluster needs an issuer: either --trust, or all of --issuer-cert, --issuer-key and --trust-anchors',
    {
      remedy: 'Make a trust anchor first: mesh trust init DIR; then: mesh install --cluster NAME --trust DIR',
    },
  );
}

/**
 * What the cluster's identities will be signed with, in a line. Asked before anything is printed or applied, because an
 * issuer that the identity service refuses leaves every pod without a certificate.
 * @throws MeshError issuer-refused saying what is wrong with it
 */
function issuerSummary({ anchors, cluster }: Values, issuer: IssuerMaterial, clock: Clock): string {
  const pems = { certificatePem: issuer.certificate, keyPem: issuer.key, anchorsPem: anchors };
  const loaded = verifyIssuer(pems, { cluster, now: clock.wall() });
  if ('fault' in loaded) {
    throw new MeshError('issuer-refused', `the issuer cannot serve cluster ${cluster}: ${loaded.detail}`, {
      remedy: issuerRemedy(loaded.fault, cluster),
    });
  }
  const { notAfter } = loaded.certificate;
  const days = Math.floor((notAfter - clock.wall()) / 86_400_000);
  return `issuer of cluster ${cluster}: ${fingerprintOf(loaded.certificate.der)}, ends ${new Date(notAfter).toISOString()} (in ${days} days)`;
}

async function pem(file: string): Promise<string> {
  const content = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new MeshError('cli-input', `${file} cannot be read`, { cause });
  });
  if (!content.includes('-----BEGIN ')) throw new MeshError('cli-input', `${file} holds no PEM block`);
  return content;
}
