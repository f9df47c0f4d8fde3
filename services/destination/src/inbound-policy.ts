/**
 * Policy of a port that a pod serves. Until policy objects exist it is the default named by annotation or setting, and what a
 * kubelet probes is open to all, because kubelets have no identity.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, ipFromText } from '@mesh/control-api/convert';
import { HttpMethod_Registered } from '@mesh/control-api/gen/linkerd/http_types_pb';
import type { AuthzSchema, HttpRouteSchema, ServerSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import { annotationOf, servingContainers } from '@mesh/kube/objects';
import type { Namespace, Pod } from '@mesh/kube/types';
import { inboundPolicyAnnotation } from '@mesh/multicluster/workload-names';
import { isOpaquePodPort } from './ports.ts';
import type { Settings } from './settings.ts';

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
        : {
            case: 'detect',
            value: { timeout: durationFromMs(detectTimeoutMs), httpRoutes: httpRoutes(pod, port) },
          },
    },
    authorizations: authorizations(name, settings),
    labels: { group: '', kind: 'default', name },
  };
}

/** A route for each path that the pod's probes ask for on `port`, and one for all the rest; none without probes. */
function httpRoutes(pod: Pod, port: number): MessageInitShape<typeof HttpRouteSchema>[] {
  const probed = probesOf(pod, port);
  if (probed.length === 0) return [];
  const anybody = { permit: { case: 'unauthenticated' as const, value: {} } };
  const name = (value: string) => ({ kind: { case: 'default' as const, value } });
  const probes = probed.map(({ method, path }) => ({
    metadata: name('probe'),
    authorizations: [{ networks: anyNetwork, authentication: anybody, metadata: name('probe') }],
    rules: [
      {
        matches: [
          {
            path: { kind: { case: 'exact' as const, value: path } },
            method: { type: { case: 'registered' as const, value: HttpMethod_Registered[method] } },
          },
        ],
      },
    ],
  }));
  const rest = { path: { kind: { case: 'prefix' as const, value: '/' } } };
  return [...probes, { metadata: name('default'), rules: [{ matches: [rest] }] }];
}

interface Probed {
  readonly method: 'GET' | 'POST';
  readonly path: string;
}

/** https://github.com/grpc/grpc/blob/master/doc/health-checking.md */
const grpcHealth: Probed = { method: 'POST', path: '/grpc.health.v1.Health/Check' };

/** What HTTP and gRPC probes ask for on `port`, without queries. Probes over TLS cannot be seen into. */
function probesOf({ spec }: Pod, port: number): Probed[] {
  const paths = new Set<string>();
  let grpc = false;
  for (const { ports, ...container } of servingContainers(spec)) {
    for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe]) {
      if (probe?.grpc?.port === port) grpc = true;
      const get = probe?.httpGet;
      if (get === undefined || get.scheme === 'HTTPS') continue;
      const number = Number(ports?.find(({ name }) => name === get.port)?.containerPort ?? get.port);
      if (number === port) paths.add((get.path ?? '/').replace(/\?.*$/, '').replace(/^(?!\/)/, '/'));
    }
  }
  const gets = [...paths].sort().map((path): Probed => ({ method: 'GET', path }));
  return grpc ? [...gets, grpcHealth] : gets;
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
