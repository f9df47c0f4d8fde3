/**
 * Requests that any Kubernetes API server answers alike, in the order in which they are sent. What a later one needs of an
 * earlier answer it names as `{{step:path.to.value}}`.
 */
import type { Json, JsonObject } from '../json.ts';

export interface Step {
  /** Unique; names the answer in the golden file. */
  readonly name: string;
  readonly path: string;
  readonly method?: string;
  readonly body?: Json | string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: an administrator. */
  readonly as?: 'anonymous';
  readonly token?: string;
  /** Reads so many events of a watch. */
  readonly events?: number;
  /** Asked again until the answer holds this text. */
  readonly until?: string;
  /** Compares who owns which fields, too. */
  readonly owners?: true;
  /** Compares only these members of the body; of a list of objects, those with these names. */
  readonly members?: readonly string[];
  readonly listed?: { readonly list: string; readonly names: readonly string[] };
}

type Options = Omit<Step, 'name' | 'path' | 'method' | 'body'>;

const get = (name: string, path: string, options: Options = {}): Step => ({ name, path, ...options });
const post = (name: string, path: string, body: Json | string, options: Options = {}): Step => ({
  ...{ name, path, method: 'POST', body },
  ...options,
});
const put = (name: string, path: string, body: Json, options: Options = {}): Step => ({
  ...{ name, path, method: 'PUT', body },
  ...options,
});
const remove = (name: string, path: string, body?: Json, options: Options = {}): Step => ({
  ...{ name, path, method: 'DELETE' },
  ...(body === undefined ? {} : { body }),
  ...options,
});
const patch = (
  name: string,
  path: string,
  kind: 'json' | 'merge' | 'strategic-merge' | 'apply',
  body: Json | string,
  options: Options = {},
): Step => ({
  ...{ name, path, method: 'PATCH', body },
  headers: { 'content-type': `application/${kind}-patch+${kind === 'apply' ? 'yaml' : 'json'}` },
  ...options,
});

const table = { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' } };

const core = '/api/v1/namespaces/default';
const maps = `${core}/configmaps`;
const pods = `${core}/pods`;
const services = `${core}/services`;
const accounts = `${core}/serviceaccounts`;
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const statefulSets = '/apis/apps/v1/namespaces/default/statefulsets';
const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const widgets = '/apis/example.com/v1/namespaces/default/widgets';
const rbac = '/apis/rbac.authorization.k8s.io/v1';

const configMap = (name: string, data: JsonObject = {}, metadata: JsonObject = {}): JsonObject => ({
  ...{ apiVersion: 'v1', kind: 'ConfigMap' },
  ...{ metadata: { name, ...metadata }, data },
});
const service = (name: string, spec: JsonObject): JsonObject => ({
  ...{ apiVersion: 'v1', kind: 'Service', metadata: { name } },
  spec,
});
const pod = (name: string, spec: JsonObject = {}): JsonObject => ({
  ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name } } },
  spec: { containers: [{ name: 'app', image: 'app:1' }], ...spec },
});
const deployment = (name: string, spec: JsonObject = {}, container: JsonObject = {}): JsonObject => ({
  ...{ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name } },
  spec: {
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { containers: [{ name: 'c', image: 'i:1', ...container }] },
    },
    ...spec,
  },
});
const widget = (name: string, spec: JsonObject): JsonObject => ({
  ...{ apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name } },
  spec,
});
const definition = (schema: JsonObject): JsonObject => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    names: { kind: 'Widget', plural: 'widgets', singular: 'widget', shortNames: ['wd'] },
    scope: 'Namespaced',
    versions: [
      {
        ...{ name: 'v1', served: true, storage: true },
        schema: { openAPIV3Schema: schema },
        subresources: { status: {} },
        additionalPrinterColumns: [
          { name: 'Size', type: 'integer', jsonPath: '.spec.size' },
          { name: 'State', type: 'string', jsonPath: '.status.state' },
          { name: 'Hint', type: 'string', jsonPath: '.spec.hint', priority: 1 },
        ],
      },
    ],
  },
});
const widgetSchema: JsonObject = {
  type: 'object',
  required: ['spec'],
  properties: {
    spec: {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 1, maximum: 9 },
        mode: { type: 'string', enum: ['slow', 'fast'], default: 'slow' },
        hint: { type: 'string', pattern: '^[a-z]+$', maxLength: 5 },
        parts: {
          type: 'array',
          maxItems: 2,
          items: { type: 'object', required: ['id'], properties: { id: { type: 'string' } } },
        },
        free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      },
    },
    status: { type: 'object', properties: { state: { type: 'string' } } },
  },
};

const discovery: readonly Step[] = [
  get('healthz', '/healthz', { as: 'anonymous' }),
  get('readyz', '/readyz', { as: 'anonymous' }),
  get('api versions', '/api', { members: ['kind', 'versions'] }),
  get('core resources', '/api/v1', {
    listed: {
      list: 'resources',
      names: [
        ...['configmaps', 'endpoints', 'events', 'namespaces', 'namespaces/finalize', 'namespaces/status'],
        ...['nodes', 'nodes/status', 'pods', 'pods/binding', 'pods/eviction', 'pods/log', 'pods/status'],
        ...['secrets', 'serviceaccounts', 'serviceaccounts/token', 'services', 'services/status'],
      ],
    },
  }),
  get('apps resources', '/apis/apps/v1', {
    listed: {
      list: 'resources',
      names: [
        ...['deployments', 'deployments/scale', 'deployments/status', 'replicasets', 'replicasets/scale'],
        ...['replicasets/status', 'statefulsets', 'statefulsets/scale', 'statefulsets/status'],
      ],
    },
  }),
  get('apps group', '/apis/apps'),
  get('no such path', '/apis/nothing.example.com/v1'),
  get('no such resource', `${core}/nothings`),
  get('no such subresource', `${maps}/a/nothing`),
];

const objects: readonly Step[] = [
  post('create', maps, configMap('a', { x: '1' })),
  post('create again', maps, configMap('a')),
  get('read', `${maps}/a`),
  get('read what is not there', `${maps}/zzz`),
  get('read in a namespace that is not there', '/api/v1/namespaces/none/configmaps/a'),
  post('create in a namespace that is not there', '/api/v1/namespaces/none/configmaps', configMap('a')),
  get('list in a namespace that is not there', '/api/v1/namespaces/none/configmaps', {
    members: ['kind', 'items'],
  }),
  post('another kind than the path', maps, pod('a')),
  post('another version than the path', maps, { ...configMap('b'), apiVersion: 'v2' }),
  post('no kind', maps, { metadata: { name: 'b' } }),
  post('half an object', maps, '{"apiVersion":"v1"'),
  post('no body', maps, ''),
  post('another namespace than the path', maps, configMap('b', {}, { namespace: 'kube-system' })),
  post('no name', maps, { apiVersion: 'v1', kind: 'ConfigMap', metadata: {} }),
  post('a bad name', maps, configMap('Not_A_Name')),
  post('a bad label', maps, configMap('b', {}, { labels: { 'a b': 'c', ok: 'not ok' } })),
  post('a bad annotation', maps, configMap('b', {}, { annotations: { '/': 'x' } })),
  post('a bad key', maps, configMap('b', { 'a/b': 'x' })),
  post('with a resource version', maps, configMap('b', {}, { resourceVersion: '1' })),
  post('dry run', `${maps}?dryRun=All`, configMap('dry', { x: '1' })),
  get('a dry run stores nothing', `${maps}/dry`),
  post('a bad dry run', `${maps}?dryRun=Some`, configMap('dry')),
  post('a media type nobody speaks', maps, configMap('b'), { headers: { 'content-type': 'text/csv' } }),
  get('an answer nobody can give', maps, { headers: { accept: 'text/html' } }),
  put('update', `${maps}/a`, configMap('a', { x: '2' })),
  put('update without a change', `${maps}/a`, configMap('a', { x: '2' })),
  put(
    'update of an old version',
    `${maps}/a`,
    configMap('a', {}, { resourceVersion: '{{create:metadata.resourceVersion}}' }),
  ),
  put('update with another uid', `${maps}/a`, configMap('a', {}, { uid: 'other' })),
  put('update under another name', `${maps}/b`, configMap('a')),
  put('update what is not there', `${maps}/zzz`, configMap('zzz')),
  put('update the collection', maps, configMap('a')),
  post('create at a name', `${maps}/a`, configMap('a')),
  post('a subresource that is none', `${maps}/a/status`, configMap('a')),
  post('immutable', maps, { ...configMap('fixed', { x: '1' }), immutable: true }),
  patch('a change of what is immutable', `${maps}/fixed`, 'merge', { data: { x: '2' } }),
  post('with a finalizer', maps, configMap('held', {}, { finalizers: ['example.com/hold'] })),
  remove('delete with another uid', `${maps}/held`, { preconditions: { uid: 'other' } }),
  remove('delete with a finalizer', `${maps}/held`),
  patch('add a finalizer while terminating', `${maps}/held`, 'merge', {
    metadata: { finalizers: ['example.com/hold', 'example.com/more'] },
  }),
  patch('remove the last finalizer', `${maps}/held`, 'merge', { metadata: { finalizers: null } }),
  get('gone with its last finalizer', `${maps}/held`),
  post('bad finalizer', maps, configMap('b', {}, { finalizers: ['nodomain'] })),
  remove('delete', `${maps}/fixed`),
  remove('delete what is not there', `${maps}/fixed`),
  remove('delete with a bad policy', `${maps}/a?propagationPolicy=Sometimes`),
  post('for the collection', maps, configMap('c1', {}, { labels: { set: 'c' } })),
  remove('delete a collection', `${maps}?labelSelector=set%3Dc`, undefined, {
    members: ['kind', 'apiVersion', 'status'],
  }),
  get('the collection is gone', `${maps}/c1`),
  post(
    'an owner without a uid',
    maps,
    configMap(
      'owned',
      {},
      {
        ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'a' }],
      },
    ),
  ),
];

const lists: readonly Step[] = [
  ...['l1', 'l2', 'l3'].map((name) =>
    post(`for lists ${name}`, maps, configMap(name, {}, { labels: { list: 'yes', name } }), {
      members: ['kind'],
    }),
  ),
  get('a page', `${maps}?labelSelector=list%3Dyes&limit=2`),
  get('all of a label', `${maps}?labelSelector=list%3Dyes`),
  get('a set of values', `${maps}?labelSelector=name+in+(l1,l3),list`),
  get('not a value', `${maps}?labelSelector=name+notin+(l1),list`),
  get('a bad label selector', `${maps}?labelSelector=name+in+l1`),
  get('a field', `${maps}?fieldSelector=metadata.name%3Dl2`),
  get('an unknown field', `${maps}?fieldSelector=data.x%3Dl2`),
  get('a bad page token', `${maps}?limit=1&continue=nonsense`),
  get('a bad limit', `${maps}?limit=many`),
  get('a version of the future', `${maps}?resourceVersion=99999999&resourceVersionMatch=NotOlderThan`),
  get('a version that is none', `${maps}?resourceVersion=new`),
  get('a match without a version', `${maps}?resourceVersionMatch=Exact`),
  get('as a table', `${maps}?labelSelector=list%3Dyes`, table),
  get('one as a table', `${maps}/l1`, table),
  get('a namespace as a table', '/api/v1/namespaces/default', table),
  get('accounts as a table', accounts, table),
  get('metadata of one', `${maps}/l1`, {
    headers: { accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' },
  }),
  get('metadata of all', `${maps}?labelSelector=list%3Dyes`, {
    headers: { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' },
  }),
  get('watch from the start', `${maps}?watch=true&labelSelector=list%3Dyes`, { events: 3 }),
  get(
    'watch with the initial events',
    `${maps}?watch=true&labelSelector=list%3Dyes&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
    { events: 4 },
  ),
  get('initial events without a match', `${maps}?watch=true&sendInitialEvents=true`),
  get('watch a version that is gone', `${maps}?watch=true&resourceVersion=1`, { events: 1 }),
  get('watch a version that is none', `${maps}?watch=true&resourceVersion=new`),
  get('watch one object', `${maps}?watch=true&fieldSelector=metadata.name%3Dl1`, { events: 1 }),
];

const patches: readonly Step[] = [
  patch('merge', `${maps}/a`, 'merge', { data: { y: '1', x: null }, metadata: { labels: { l: 'v' } } }),
  patch('merge to the same', `${maps}/a`, 'merge', { data: { y: '1' } }),
  patch('merge of an old version', `${maps}/a`, 'merge', {
    metadata: { resourceVersion: '{{create:metadata.resourceVersion}}' },
    data: { y: '2' },
  }),
  patch('merge with a wrong type', `${maps}/a`, 'merge', { data: { y: 1 } }),
  patch('merge of half an object', `${maps}/a`, 'merge', '{"data":'),
  patch('merge what is not there', `${maps}/zzz`, 'merge', { data: {} }),
  patch('merge of another name', `${maps}/a`, 'merge', { metadata: { name: 'b' } }),
  patch('json', `${maps}/a`, 'json', [
    { op: 'test', path: '/data/y', value: '1' },
    { op: 'add', path: '/data/z', value: '3' },
    { op: 'remove', path: '/metadata/labels/l' },
  ]),
  patch('json with a failing test', `${maps}/a`, 'json', [{ op: 'test', path: '/data/y', value: '9' }]),
  patch('json to nowhere', `${maps}/a`, 'json', [{ op: 'remove', path: '/data/none' }]),
  patch('json of an unknown operation', `${maps}/a`, 'json', [{ op: 'invent', path: '/data/none' }]),
  patch('json that is an object', `${maps}/a`, 'json', { op: 'add' }),
  {
    ...patch('a patch nobody knows', `${maps}/a`, 'merge', {}),
    headers: { 'content-type': 'application/json' },
  },
];

const workloads: readonly Step[] = [
  post('deployment', deployments, deployment('d')),
  post('deployment with everything wrong', deployments, {
    ...deployment('Bad'),
    spec: { replicas: -1, template: { spec: { containers: [{ name: 'C' }] } } },
  }),
  post(
    'deployment with other labels',
    deployments,
    deployment('e', { selector: { matchLabels: { app: 'x' } } }),
  ),
  post('deployment with an empty selector', deployments, deployment('e', { selector: {} })),
  patch('a change of the selector', `${deployments}/d`, 'merge', {
    spec: { selector: { matchLabels: { app: 'x' } } },
  }),
  patch('strategic: containers by name', `${deployments}/d`, 'strategic-merge', {
    spec: { template: { spec: { containers: [{ name: 'side', image: 's:1' }] } } },
  }),
  patch('strategic: delete one', `${deployments}/d`, 'strategic-merge', {
    spec: { template: { spec: { containers: [{ name: 'side', $patch: 'delete' }] } } },
  }),
  patch('strategic: a list without its key', `${deployments}/d`, 'strategic-merge', {
    spec: { template: { spec: { containers: [{ image: 's:1' }] } } },
  }),
  put('status alone', `${deployments}/d/status`, {
    ...deployment('d', { replicas: 7 }),
    status: {
      observedGeneration: 1,
      replicas: 2,
      readyReplicas: 1,
      updatedReplicas: 2,
      availableReplicas: 1,
    },
  }),
  get('scale', `${deployments}/d/scale`),
  put('scale up', `${deployments}/d/scale`, {
    ...{ apiVersion: 'autoscaling/v1', kind: 'Scale' },
    ...{ metadata: { name: 'd', namespace: 'default' }, spec: { replicas: 3 } },
  }),
  patch('scale by patch', `${deployments}/d/scale`, 'merge', { spec: { replicas: 2 } }),
  get('deployments as a table', deployments, table),
  remove('delete and wait for dependents', `${deployments}/d?propagationPolicy=Foreground`),
  post('stateful set', statefulSets, {
    ...{ apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 's' } },
    spec: {
      serviceName: 's',
      selector: { matchLabels: { app: 's' } },
      template: {
        metadata: { labels: { app: 's' } },
        spec: { containers: [{ name: 'c', image: 'i:latest', ports: [{ containerPort: 80 }] }] },
      },
    },
  }),
  patch('a change a stateful set cannot make', `${statefulSets}/s`, 'merge', {
    spec: { serviceName: 'other' },
  }),
];

const podSteps: readonly Step[] = [
  post('pod without an account', pods, pod('p')),
  post('account', accounts, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } }),
  post(
    'pod',
    pods,
    pod('p', {
      initContainers: [{ name: 'init', image: 'i', restartPolicy: 'Always' }],
      containers: [
        {
          ...{ name: 'app', image: 'app:1', ports: [{ containerPort: 8080 }] },
          env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
          readinessProbe: { httpGet: { path: '/', port: 8080 } },
          livenessProbe: { exec: { command: ['true'] } },
          volumeMounts: [{ name: 'v', mountPath: '/v' }],
        },
      ],
      volumes: [
        { name: 'v', configMap: { name: 'a' } },
        { name: 'e', emptyDir: {} },
        { name: 's', secret: { secretName: 's' } },
      ],
    }),
  ),
  post('pod without containers', pods, pod('q', { containers: [] })),
  post(
    'pod with faults',
    pods,
    pod('q', {
      restartPolicy: 'Sometimes',
      containers: [
        { name: 'a', image: 'i', ports: [{ containerPort: 99999 }] },
        { name: 'a', image: ' ', volumeMounts: [{ name: 'none', mountPath: '' }] },
      ],
    }),
  ),
  post('pod of an unknown account', pods, pod('q', { serviceAccountName: 'none' })),
  post('strict about an unknown field', `${pods}?fieldValidation=Strict`, pod('q', { nope: 1 })),
  post('warned about an unknown field', `${pods}?fieldValidation=Warn&dryRun=All`, pod('q', { nope: 1 }), {
    members: ['kind'],
  }),
  post('silent about an unknown field', `${pods}?fieldValidation=Ignore&dryRun=All`, pod('q', { nope: 1 }), {
    members: ['kind'],
  }),
  post('a bad field validation', `${pods}?fieldValidation=Maybe`, pod('q')),
  post('a wrong type', pods, pod('q', { terminationGracePeriodSeconds: 'long' })),
  post('a list that is none', pods, pod('q', { containers: {} })),
  post(
    'strict about a duplicate',
    `${maps}?fieldValidation=Strict`,
    '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"dup","name":"dup"}}',
  ),
  post('node', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' } }),
  post('bind', `${pods}/p/binding`, {
    ...{ apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p' } },
    target: { apiVersion: 'v1', kind: 'Node', name: 'n' },
  }),
  post('bind again', `${pods}/p/binding`, {
    ...{ apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p' } },
    target: { apiVersion: 'v1', kind: 'Node', name: 'n' },
  }),
  patch('pod status', `${pods}/p/status`, 'merge', {
    status: {
      phase: 'Running',
      podIP: '10.1.0.2',
      podIPs: [{ ip: '10.1.0.2' }],
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [
        {
          ...{ name: 'app', image: 'app:1', imageID: '', ready: true, restartCount: 2 },
          state: { running: {} },
        },
      ],
    },
  }),
  get('pods as a table', pods, table),
  patch('a change a pod cannot make', `${pods}/p`, 'merge', { spec: { hostNetwork: true } }),
  patch(
    'another image',
    `${pods}/p`,
    'strategic-merge',
    { spec: { containers: [{ name: 'app', image: 'app:2' }] } },
    { members: ['kind', 'metadata'] },
  ),
  get('log of a container that is none', `${pods}/p/log?container=none`),
  get('pods of a node', '/api/v1/pods?fieldSelector=spec.nodeName%3Dn', table),
  get('pods by a field that is none', '/api/v1/pods?fieldSelector=spec.image%3Dn'),
  remove('delete a pod with its grace', `${pods}/p`, undefined, { members: ['kind', 'metadata'] }),
  remove('delete it sooner', `${pods}/p?gracePeriodSeconds=5`, undefined, { members: ['kind', 'metadata'] }),
  remove('delete it at once', `${pods}/p?gracePeriodSeconds=0`, undefined, { members: ['kind', 'metadata'] }),
  get('the pod is gone', `${pods}/p`),
];

const networks: readonly Step[] = [
  post('service', services, service('one', { ports: [{ port: 80 }], selector: { app: 'x' } })),
  post(
    'service with two ports',
    services,
    service('two', {
      clusterIP: '10.96.0.77',
      ports: [
        { name: 'http', port: 80, targetPort: 'web' },
        { name: 'dns', port: 53, protocol: 'UDP' },
      ],
    }),
  ),
  post(
    'service with an address in use',
    services,
    service('three', { clusterIP: '10.96.0.77', ports: [{ port: 80 }] }),
  ),
  post(
    'service with a foreign address',
    services,
    service('three', { clusterIP: '10.99.0.7', ports: [{ port: 80 }] }),
  ),
  post('headless service', services, service('four', { clusterIP: 'None', ports: [{ port: 80 }] })),
  post(
    'external service',
    services,
    service('five', { type: 'ExternalName', externalName: 'x.example.com' }),
  ),
  post('load balancer', services, service('six', { type: 'LoadBalancer', ports: [{ port: 80 }] })),
  post(
    'service with faults',
    services,
    service('seven', { type: 'Balancer', ports: [{ port: 0 }, { port: 70000, name: 'X' }] }),
  ),
  post('service without ports', services, service('seven', {})),
  post('service with a bad name', services, service('7seven', { ports: [{ port: 80 }] })),
  patch('service with another address', `${services}/two`, 'merge', {
    spec: { clusterIP: '10.96.0.78', clusterIPs: ['10.96.0.78'] },
  }),
  patch('service with another single address', `${services}/two`, 'merge', {
    spec: { clusterIP: '10.96.0.78' },
  }),
  put('service without its address', `${services}/two`, service('two', { ports: [{ port: 81 }] })),
  patch('service status', `${services}/six/status`, 'merge', {
    status: { loadBalancer: { ingress: [{ ip: '172.30.0.1' }] } },
  }),
  get('services as a table', `${services}?fieldSelector=metadata.name%3Dfive`, table),
  patch('no load balancer any more', `${services}/six`, 'merge', { spec: { type: 'ClusterIP' } }),
  post('endpoint slice', slices, {
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'one-1' } },
    ...{ addressType: 'IPv4', endpoints: [{ addresses: ['10.1.0.2'] }], ports: [{ port: 80 }] },
  }),
  post('endpoint slice with faults', slices, {
    ...{ apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata: { name: 'one-2' } },
    ...{ addressType: 'IPv5', endpoints: [{ addresses: ['nowhere'] }], ports: [{ name: 'X_', port: 80 }] },
  }),
  get('endpoint slices as a table', `${slices}/one-1`, table),
  post('lease', leases, {
    ...{ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'l' } },
    spec: { holderIdentity: 'me', leaseDurationSeconds: 40, renewTime: '2031-01-01T00:00:00.000000Z' },
  }),
  put('lease without a version', `${leases}/l`, {
    ...{ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'l' } },
    spec: { holderIdentity: 'you' },
  }),
  get('lease as a table', `${leases}/l`, table),
  post('secret', `${core}/secrets`, {
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' } },
    stringData: { k: 'v' },
  }),
  get('secrets as a table', `${core}/secrets`, table),
  post('secret that is not base64', `${core}/secrets`, {
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 't' } },
    data: { k: '*' },
  }),
  patch('a change of the type of a secret', `${core}/secrets/s`, 'merge', { type: 'example.com/other' }),
];

const applies: readonly Step[] = [
  patch('apply', `${deployments}/ap?fieldManager=one`, 'apply', deployment('ap', { replicas: 2 })),
  patch('apply the same', `${deployments}/ap?fieldManager=one`, 'apply', deployment('ap', { replicas: 2 })),
  patch('apply a conflict', `${deployments}/ap?fieldManager=two`, 'apply', deployment('ap', { replicas: 5 })),
  patch(
    'apply by force',
    `${deployments}/ap?fieldManager=two&force=true`,
    'apply',
    deployment('ap', { replicas: 5 }),
  ),
  patch('apply less', `${deployments}/ap?fieldManager=two`, 'apply', deployment('ap')),
  patch('apply without a manager', `${deployments}/ap`, 'apply', deployment('ap')),
  patch('apply with managed fields', `${deployments}/ap?fieldManager=one`, 'apply', {
    ...deployment('ap'),
    metadata: { name: 'ap', managedFields: [{ manager: 'x' }] },
  }),
  patch('apply another kind', `${deployments}/ap?fieldManager=one`, 'apply', configMap('ap')),
  patch('apply what is no YAML', `${deployments}/ap?fieldManager=one`, 'apply', 'a: [1'),
  patch(
    'apply an unknown field',
    `${deployments}/ap?fieldManager=one`,
    'apply',
    deployment('ap', { nope: 1 }),
  ),
  patch('force without apply', `${maps}/a?force=true`, 'merge', {}),
  patch('update by a manager', `${maps}/a?fieldManager=editor`, 'merge', { data: { m: '1' } }),
  patch('apply over an update', `${maps}/a?fieldManager=one`, 'apply', configMap('a', { m: '2' })),
];

const customs: readonly Step[] = [
  post('a definition that is not structural', crds, definition({ properties: { spec: {} } })),
  post('a definition', crds, definition(widgetSchema)),
  get('a definition that is served', `${crds}/widgets.example.com`, {
    members: ['status'],
    until: 'InitialNamesAccepted',
  }),
  get('resources of a definition', '/apis/example.com/v1', { until: 'widgets/status' }),
  post(
    'custom',
    `${widgets}?fieldManager=tester`,
    widget('w', { size: 3, unknown: true, free: { any: [1] } }),
  ),
  post('custom, strict', `${widgets}?fieldValidation=Strict`, widget('x', { size: 3, unknown: true })),
  post('custom, warned', `${widgets}?fieldValidation=Warn`, widget('x', { size: 3, unknown: true })),
  post(
    'custom with faults',
    widgets,
    widget('y', { size: 10, mode: 'none', hint: 'TOOLONG', parts: [{}, { id: 1 }, {}] }),
  ),
  post('custom without what it needs', widgets, {
    apiVersion: 'example.com/v1',
    kind: 'Widget',
    metadata: { name: 'y' },
  }),
  post('custom with a wrong type', widgets, widget('y', { size: 'three' })),
  patch('custom, merge', `${widgets}/w`, 'merge', { spec: { size: 4 } }),
  patch('custom, strategic', `${widgets}/w`, 'strategic-merge', { spec: { size: 4 } }),
  patch('custom, apply', `${widgets}/w?fieldManager=one&force=true`, 'apply', widget('w', { size: 5 })),
  patch('custom, invalid by patch', `${widgets}/w`, 'merge', { spec: { size: 0 } }),
  patch('custom status', `${widgets}/w/status`, 'merge', { spec: { size: 9 }, status: { state: 'fine' } }),
  get('customs as a table', widgets, table),
  get('one custom', `${widgets}/w`),
  put('custom without a version', `${widgets}/w`, widget('w', { size: 2 })),
  remove('delete a custom', `${widgets}/w`),
  remove('delete the definition', `${crds}/widgets.example.com`, undefined, {
    members: ['kind', 'apiVersion', 'status'],
  }),
];

const access: readonly Step[] = [
  get('anonymous', pods, { as: 'anonymous' }),
  get('anonymous at another path', '/metrics', { as: 'anonymous' }),
  get('a bad token', pods, { as: 'anonymous', token: 'nonsense' }),
  get('as somebody', pods, { headers: { 'impersonate-user': 'bob' } }),
  post('create as somebody', maps, configMap('z'), { headers: { 'impersonate-user': 'bob' } }),
  get('one as somebody', `${maps}/a`, { headers: { 'impersonate-user': 'bob', 'impersonate-group': 'g' } }),
  get('a node as somebody', '/api/v1/nodes/n', { headers: { 'impersonate-user': 'bob' } }),
  get('a group without a user', pods, { headers: { 'impersonate-group': 'g' } }),
  post('role', `${rbac}/namespaces/default/roles`, {
    ...{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name: 'r' } },
    rules: [{ apiGroups: [''], resources: ['configmaps'], resourceNames: ['a'], verbs: ['get'] }],
  }),
  post('role with faults', `${rbac}/namespaces/default/roles`, {
    ...{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name: 'r2' } },
    rules: [{ apiGroups: [''], resources: ['configmaps'] }],
  }),
  post('binding', `${rbac}/namespaces/default/rolebindings`, {
    ...{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: { name: 'r' } },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' },
    subjects: [{ kind: 'User', name: 'bob' }],
  }),
  patch('another role for a binding', `${rbac}/namespaces/default/rolebindings/r`, 'merge', {
    roleRef: { name: 'other' },
  }),
  post(
    'a role beyond one’s own',
    `${rbac}/namespaces/default/roles`,
    {
      ...{ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name: 'more' } },
      rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }],
    },
    { headers: { 'impersonate-user': 'bob' } },
  ),
  post(
    'may bob',
    '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    {
      ...{ apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' },
      spec: {
        user: 'bob',
        resourceAttributes: { namespace: 'default', verb: 'get', resource: 'configmaps', name: 'a' },
      },
    },
    { members: ['kind', 'metadata', 'spec', 'status'] },
  ),
  post(
    'may bob do more',
    '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    {
      ...{ apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' },
      spec: {
        user: 'bob',
        resourceAttributes: { namespace: 'default', verb: 'list', resource: 'configmaps' },
      },
    },
    { members: ['kind', 'metadata', 'spec', 'status'] },
  ),
  post(
    'may nobody',
    '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    {
      ...{ apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' },
      spec: { resourceAttributes: { verb: 'list', resource: 'configmaps' } },
    },
    { members: ['kind', 'status', 'message', 'code'] },
  ),
  post(
    'may I',
    '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    {
      ...{ apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview' },
      spec: { nonResourceAttributes: { path: '/metrics', verb: 'get' } },
    },
    { members: ['kind', 'spec'] },
  ),
  post(
    'who am I',
    '/apis/authentication.k8s.io/v1/selfsubjectreviews',
    {
      ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
    },
    { headers: { 'impersonate-user': 'bob', 'impersonate-group': 'g' }, members: ['kind', 'status'] },
  ),
  post(
    'token',
    `${accounts}/default/token`,
    {
      ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' },
      spec: { audiences: ['identity.mesh.io'], expirationSeconds: 600 },
    },
    { members: ['kind', 'apiVersion', 'spec'] },
  ),
  post('token for too short', `${accounts}/default/token`, {
    ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' },
    spec: { audiences: ['identity.mesh.io'], expirationSeconds: 60 },
  }),
  post('token of an account that is not there', `${accounts}/none/token`, {
    ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' },
    spec: { audiences: ['identity.mesh.io'] },
  }),
  post('token bound to a pod that is not there', `${accounts}/default/token`, {
    ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' },
    spec: { audiences: ['x'], boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'none' } },
  }),
  post(
    'review',
    '/apis/authentication.k8s.io/v1/tokenreviews',
    {
      ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview' },
      spec: { token: '{{token:status.token}}', audiences: ['identity.mesh.io'] },
    },
    { members: ['kind', 'status'] },
  ),
  post(
    'review for another audience',
    '/apis/authentication.k8s.io/v1/tokenreviews',
    {
      ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview' },
      spec: { token: '{{token:status.token}}', audiences: ['other'] },
    },
    { members: ['kind', 'status'] },
  ),
  get('a token for another audience', pods, { as: 'anonymous', token: '{{token:status.token}}' }),
  post(
    'token for the server',
    `${accounts}/default/token`,
    {
      ...{ apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest' },
      spec: {},
    },
    { members: ['kind', 'apiVersion'] },
  ),
  get('an account', pods, { as: 'anonymous', token: '{{token for the server:status.token}}' }),
];

const namespaceSteps: readonly Step[] = [
  post('namespace', '/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'going' },
  }),
  post('namespace with a bad name', '/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'a.b' },
  }),
  post('in the namespace', '/api/v1/namespaces/going/configmaps', configMap('a'), { members: ['kind'] }),
  remove('delete the namespace', '/api/v1/namespaces/going'),
  post('in a namespace that is going', '/api/v1/namespaces/going/configmaps', configMap('b')),
  remove('delete what must stay', '/api/v1/namespaces/default'),
  get('namespaces as a table', '/api/v1/namespaces/going', table),
];

const withOwners = (steps: readonly Step[]): Step[] => steps.map((step) => ({ ...step, owners: true }));

export const requests: readonly Step[] = [
  ...discovery,
  ...objects,
  ...lists,
  ...patches,
  ...workloads,
  ...podSteps,
  ...networks,
  ...withOwners(applies),
  ...customs,
  ...access,
  ...namespaceSteps,
];
