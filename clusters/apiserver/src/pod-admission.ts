/**
 * What admission plugins do to a new pod: Priority and DefaultTolerationSeconds fill in what it leaves open;
 * ServiceAccount checks that its account exists and mounts its token.
 */
import type { Random } from '@mesh/clock/clock';
import { at, listAt, textAt, type Json, type JsonObject } from './json.ts';
import { objectsIn, section, setDefault } from './kinds/rules.ts';
import { randomSuffix } from './name-suffix.ts';
import type { KubeObject } from './object.ts';
import { forbidden } from './status.ts';
import type { Store } from './store.ts';

const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Odd, so that a token asked for by this plugin can be told from one that an author asked for. */
const tokenSeconds = 3607;

/** Changes the pod in place. @throws ApiError 403 when the account does not exist. */
export function admitPod(pod: KubeObject, namespace: string, store: Store, random: Random): void {
  const spec = section(pod, 'spec');
  // There are no priority classes here.
  setDefault(spec, 'priority', 0);
  setDefault(spec, 'preemptionPolicy', 'PreemptLowerPriority');
  tolerateBriefly(spec);
  setDefault(spec, 'serviceAccountName', 'default');
  if (spec['serviceAccountName'] === '') spec['serviceAccountName'] = 'default';
  const name = textAt(spec, 'serviceAccountName') ?? '';
  spec['serviceAccount'] = name;
  const account = store.get('/serviceaccounts', namespace, name);
  if (account === undefined) {
    throw forbidden(
      { kind: 'pods', name: pod.metadata.name },
      `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`,
    );
  }
  if (spec['imagePullSecrets'] === undefined && listAt(account, 'imagePullSecrets').length > 0) {
    spec['imagePullSecrets'] = structuredClone(listAt(account, 'imagePullSecrets'));
  }
  const wanted = at(spec, 'automountServiceAccountToken') ?? account['automountServiceAccountToken'] ?? true;
  if (wanted === false) return;
  const containers = [...objectsIn(spec, 'initContainers'), ...objectsIn(spec, 'containers')];
  const bare = containers.filter(
    (container) => !objectsIn(container, 'volumeMounts').some((mount) => mount['mountPath'] === mountPath),
  );
  if (bare.length === 0) return;
  const existing = objectsIn(spec, 'volumes').find((volume) =>
    (textAt(volume, 'name') ?? '').startsWith('kube-api-access-'),
  );
  const volume = textAt(existing, 'name') ?? `kube-api-access-${randomSuffix(random)}`;
  if (existing === undefined) spec['volumes'] = [...listAt(spec, 'volumes'), tokenVolume(volume)];
  for (const container of bare) {
    container['volumeMounts'] = [
      ...listAt(container, 'volumeMounts'),
      { name: volume, readOnly: true, mountPath },
    ];
  }
}

/** A pod stays for five minutes on a node that is lost, unless it says otherwise. */
function tolerateBriefly(spec: JsonObject): void {
  for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
    const tolerations = listAt(spec, 'tolerations');
    const effects = ['', 'NoExecute'];
    const known = tolerations.some((toleration) => {
      const keyed = textAt(toleration, 'key') ?? '';
      return (keyed === key || keyed === '') && effects.includes(textAt(toleration, 'effect') ?? '');
    });
    if (known) continue;
    spec['tolerations'] = [
      ...tolerations,
      { key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
    ];
  }
}

function tokenVolume(name: string): Json {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenSeconds, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  };
}
