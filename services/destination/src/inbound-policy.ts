/** Policy of a port that a pod serves. Until policy objects exist it is the default named by annotation or setting. */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, ipFromText } from '@mesh/control-api/convert';
import type { AuthzSchema, ServerSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import { annotationOf } from '@mesh/kube/objects';
import type { Namespace, Pod } from '@mesh/kube/types';
import { isOpaquePodPort } from './ports.ts';
import type { Settings } from './settings.ts';

export const inboundPolicyAnnotation = 'mesh.io/default-inbound-policy';

/**
 * Who may call when nothing more specific applies: anybody, anybody with a mesh identity, only identities of this
 * cluster, or nobody.
 */
export const inboundPolicyNames = [
  'all-unauthenticated',
  'all-authenticated',
  'cluster-authenticated',
  'deny',
] as const;
export type InboundPolicyName = (typeof inboundPolicyNames)[number];

export type ServerMessage = MessageInitShape<typeof ServerSchema>;

const detectTimeoutMs = 10_000;
const anyNetwork = ['0.0.0.0', '::'].map((text) => ({ net: { ip: ipFromText(text), prefixLen: 0 } }));

interface PortQuestion {
  pod: Pod;
  namespace: Namespace | undefined;
  port: number;
}

export function inboundServer({ pod, namespace, port }: PortQuestion, settings: Settings): ServerMessage {
  const name = defaultPolicy(pod, namespace) ?? settings.inboundPolicy;
  const opaque = isOpaquePodPort({ pod, namespace, port, fallback: settings.opaquePorts });
  return {
    protocol: {
      kind: opaque
        ? { case: 'opaque', value: {} }
        : { case: 'detect', value: { timeout: durationFromMs(detectTimeoutMs) } },
    },
    authorizations: authorizations(name, settings),
    labels: { group: '', kind: 'default', name },
  };
}

/** The pod's annotation, else the namespace's; a name that is none is as if absent. */
function defaultPolicy(pod: Pod, namespace: Namespace | undefined): InboundPolicyName | undefined {
  for (const object of [pod, namespace]) {
    const text = object === undefined ? undefined : annotationOf(object, inboundPolicyAnnotation);
    const known = inboundPolicyNames.find((name) => name === text);
    if (known !== undefined) return known;
  }
  return undefined;
}

function authorizations(
  name: InboundPolicyName,
  { cluster, trustSuffix }: Settings,
): MessageInitShape<typeof AuthzSchema>[] {
  if (name === 'deny') return [];
  const common = {
    networks: anyNetwork,
    labels: { group: '', kind: 'default', name },
    metadata: { kind: { case: 'default' as const, value: name } },
  };
  if (name === 'all-unauthenticated') {
    return [{ ...common, authentication: { permit: { case: 'unauthenticated', value: {} } } }];
  }
  // The labels that an identity must end with; none for any identity.
  const parts = name === 'all-authenticated' ? [] : [cluster, ...trustSuffix.split('.')];
  return [
    {
      ...common,
      authentication: {
        permit: {
          case: 'meshTls',
          value: { clients: { case: 'identities', value: { suffixes: [{ parts }] } } },
        },
      },
    },
  ];
}
