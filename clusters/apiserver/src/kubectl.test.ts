/** kubectl as an independent client, where it is installed. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { accessSync, constants, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { startFixture, type ApiFixture } from './api-fixture.ts';
import type { ClusterKeys } from './pki.ts';
import { startRealServer, withoutRealServer } from './testing/real-server.ts';

const run = promisify(execFile);

function findKubectl(): string | undefined {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    try {
      accessSync(join(directory, 'kubectl'), constants.X_OK);
      return join(directory, 'kubectl');
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

const kubectl = findKubectl();
const skip = kubectl === undefined ? 'kubectl is not on PATH: the independent client was NOT tried' : false;

/** Debian 12 ships 1.20, which lacks some commands and cannot compare with a server that has no older OpenAPI document. */
const recent = ((): boolean => {
  if (kubectl === undefined) return false;
  const { stdout } = spawnSync(kubectl, ['version', '--client', '--output=json'], { encoding: 'utf8' });
  return Number(/"minor": *"(\d+)/.exec(stdout)?.[1] ?? 0) >= 28;
})();

/** Runs kubectl as the administrator; the text of both outputs, whatever the exit code. */
async function callKubectl(api: Server, ...parts: string[]): Promise<string> {
  const environment = {
    ...process.env,
    KUBECONFIG: join(api.directory, 'admin.kubeconfig'),
    HOME: api.directory,
  };
  try {
    const { stdout, stderr } = await run(kubectl ?? '', parts, { env: environment });
    return stdout + stderr;
  } catch (thrown) {
    const { stdout = '', stderr = '' } = thrown as { stdout?: string; stderr?: string };
    return stdout + stderr;
  }
}

const manifest = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      containers:
      - {name: cart, image: cart:1, env: [{name: A, value: b}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {type: LoadBalancer, selector: {app: cart}, ports: [{port: 80, targetPort: 8080}]}
`;

type Server = ApiFixture<{ port: number; keys: ClusterKeys }>;

/** The servers that the same commands are sent to. */
const servers = [
  { name: 'the embedded server', skip, start: (t: TestContext): Promise<Server> => startFixture(t) },
  {
    name: 'kube-apiserver',
    skip: skip === false ? withoutRealServer : skip,
    start: (t: TestContext): Promise<Server> => startRealServer(t, '10.96.0.0/24'),
  },
];

async function fixture(
  t: TestContext,
  start: (t: TestContext) => Promise<Server>,
): Promise<{ api: Server; file: string }> {
  const api = await start(t);
  const file = join(api.directory, 'shop.yaml');
  writeFileSync(file, manifest);
  return { api, file };
}

for (const { name, skip: lacking, start } of servers) {
  test(`kubectl apply, get, patch, scale and delete: ${name}`, { skip: lacking }, async (t) => {
    const { api, file } = await fixture(t, start);
    assert.match(await callKubectl(api, 'apply', '-f', file), /deployment.apps\/cart created/);
    assert.match(await callKubectl(api, 'apply', '-f', file), /deployment.apps\/cart unchanged/);
    writeFileSync(file, manifest.replace('value: b', 'value: c'));
    if (recent) assert.match(await callKubectl(api, 'diff', '-f', file), /\+ +value: c/);
    assert.match(await callKubectl(api, 'apply', '-f', file), /deployment.apps\/cart configured/);
    assert.match(await callKubectl(api, 'scale', 'deploy/cart', '-n', 'shop', '--replicas=3'), /scaled/);
    const label = await callKubectl(api, 'label', 'svc/cart', '-n', 'shop', 'mirror.mesh.io/exported=true');
    assert.match(label, /service\/cart labeled/);
    assert.match(
      await callKubectl(api, 'get', 'deploy,svc', '-n', 'shop'),
      /deployment.apps\/cart +0\/3 +0 +0 +\d+s[\s\S]*service\/cart +LoadBalancer +10\.96\.0\.\d+ +<pending> +80:3\d{4}\/TCP/,
    );
    assert.match(await callKubectl(api, 'describe', 'svc/cart', '-n', 'shop'), /Type: +LoadBalancer/);
    const gone = await callKubectl(api, 'delete', 'svc/cart', 'deploy/cart', '-n', 'shop');
    assert.match(gone, /deployment.apps "cart" deleted/);
    assert.match(await callKubectl(api, 'get', 'svc/cart', '-n', 'shop'), /Error from server \(NotFound\)/);
  });

  test(`kubectl apply --server-side, and its conflict: ${name}`, { skip: lacking }, async (t) => {
    const { api, file } = await fixture(t, start);
    const applied = await callKubectl(api, 'apply', '--server-side', '-f', file);
    assert.match(applied, /deployment.apps\/cart serverside-applied/);
    await callKubectl(api, 'scale', 'deploy/cart', '-n', 'shop', '--replicas=3');
    assert.match(
      await callKubectl(api, 'apply', '--server-side', '-f', file),
      /conflict with "kubectl" with subresource "scale" using apps\/v1: .spec.replicas/,
    );
    const forced = await callKubectl(api, 'apply', '--server-side', '--force-conflicts', '-f', file);
    assert.match(forced, /deployment.apps\/cart serverside-applied/);
  });

  test(`kubectl create, auth and discovery: ${name}`, { skip: lacking }, async (t) => {
    const { api } = await fixture(t, start);
    for (const [words, expected] of [
      ['create namespace a', /namespace\/a created/],
      ['create serviceaccount app', /serviceaccount\/app created/],
      ['create configmap c --from-literal=k=v', /configmap\/c created/],
      ['create secret generic s --from-literal=k=v', /secret\/s created/],
      ['get secret s -o jsonpath={.data.k}', /^dg==$/],
      ['create deployment d --image=i --port=80', /deployment.apps\/d created/],
      ['create pdb b --selector=app=i --min-available=50%', /poddisruptionbudget.policy\/b created/],
      ['create clusterrole gathers --aggregation-rule=team=a', /clusterrole.*gathers created/],
      ['create role r --verb=get,list --resource=pods', /role.rbac.authorization.k8s.io\/r created/],
      [
        'create rolebinding r --role=r --serviceaccount=default:app',
        /rolebinding.rbac.authorization.k8s.io\/r created/,
      ],
      ['auth can-i list pods --as=system:serviceaccount:default:app', /^yes/],
      ['auth can-i delete pods --as=system:serviceaccount:default:app', /^no/],
      ...(recent
        ? ([
            ['auth whoami', /kubernetes-admin/],
            ['create token app', /^eyJ[\w-]+\.[\w-]+\.[\w-]+\n?$/],
          ] as const)
        : []),
      [
        'get pods --as=bob',
        /User "bob" cannot list resource "pods" in API group "" in the namespace "default"/,
      ],
      ['api-resources --api-group=apps', /deployments +deploy +apps\/v1 +true +Deployment/],
      ['version', /Server Version: .*v1\.\d+\.\d+/],
      ['create configmap c --from-literal=k=v', /configmaps "c" already exists/],
    ] as const) {
      assert.match(await callKubectl(api, ...words.split(' ')), expected, words);
    }
  });
}
