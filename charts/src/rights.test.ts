import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controlPlane } from './control-plane.ts';
import { multicluster } from './multicluster.ts';
import type { Rule } from './objects.ts';
import { resolveValues } from './values.ts';

/** `Role name: verbs of resources [names]`, for every rule. */
function rights(): string[] {
  const values = resolveValues({ cluster: 'east', anchors: 'PEM' });
  const objects = [...controlPlane(values, { certificate: '', key: '' }), ...multicluster(values)];
  return objects
    .filter(({ kind }) => kind.endsWith('Role'))
    .flatMap(({ kind, metadata, rules }) =>
      (rules as Rule[]).map(({ resources, verbs, resourceNames = [] }) =>
        [`${kind} ${metadata.name}:`, verbs.join(','), resources.join(','), ...resourceNames].join(' '),
      ),
    );
}

// A right beyond these is one that its program does not use, or a change of what a stolen token can do.
test('each program has the rights that it uses', () => {
  assert.deepEqual(rights(), [
    'ClusterRole mesh-identity: create tokenreviews',
    'ClusterRole mesh-destination: get,list,watch services,pods,namespaces,nodes',
    'ClusterRole mesh-destination: get,list,watch endpointslices',
    'ClusterRole mesh-destination: get,list,watch links',
    'ClusterRole mesh-injector: get namespaces',
    'ClusterRole mesh-injector: get,patch mutatingwebhookconfigurations mesh-injector',
    'Role mesh-injector: create secrets',
    'Role mesh-injector: get,update secrets mesh-injector-tls',
    'ClusterRole mesh-mirror: get,list,watch,create,patch,delete services',
    'ClusterRole mesh-mirror: get,list,watch,create,patch,delete endpointslices',
    'ClusterRole mesh-mirror: get,list,watch namespaces,pods',
    'ClusterRole mesh-mirror: create,patch events',
    'Role mesh-mirror: get,list,watch,patch links',
    'Role mesh-mirror: patch links/status',
  ]);
});
