/** Real clusters in real namespaces: run as root and as an ordinary user. Needs the bundles (`npm run build`). */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '@mesh/clock/system';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import { deployments, leases, nodes, pods, services } from '@mesh/kube/resources';
import type { Container, Pod, PodSpec, Stored } from '@mesh/kube/types';
import { dialCluster, killContainer } from '@mesh/node/control-client';
import { eventually } from '@mesh/testkit/eventually';
import { cut, down, heal, kubeconfig, logs, status, up, type LocalClusters } from './local-clusters.ts';
import { processStartTime } from './state-directory.ts';

const isRoot = process.getuid?.() === 0;
const patience = { timeoutMs: 30_000, intervalMs: 50 };

/** What must be the same before, during and after. Reading the rules of the host takes root. */
function hostState(): Record<string, string> {
  const state: Record<string, string> = {};
  const command = (words: string[]): void => {
    const [program = '', ...args] = words;
    const { stdout, status: code } = spawnSync(program, args, {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    });
    // Counters and comments with times change by themselves.
    if (code === 0) state[words.join(' ')] = stdout.toString('utf8').replace(/^#.*$|\[\d+:\d+\]/gm, '');
  };
  if (isRoot) for (const table of ['nat', 'filter', 'mangle']) command(['iptables-save', '-t', table]);
  command(['ip', 'route', 'show', 'table', 'all']);
  command(['ip', '-o', 'link']);
  for (const entry of readdirSync('/proc/sys/net/ipv4', { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    try {
      state[path] = readFileSync(path, 'utf8');
    } catch {
      // write-only, or not for us
    }
  }
  return state;
}

/** Every process below `root`, with its start time. */
function descendants(root: number): Map<number, string> {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
    } catch {
      // it ended while we looked
    }
  }
  const found = new Map<number, string>();
  const visit = (pid: number): void => {
    const start = processStartTime(pid);
    if (start !== undefined) found.set(pid, start);
    for (const child of children.get(pid) ?? []) visit(child);
  };
  visit(root);
  return found;
}

function client(clusters: LocalClusters, name: string): KubeClient {
  return new KubeClient({ ...fromKubeconfig(clusters.kubeconfig, name), clock: systemClock });
}

const serverCode = `const name = process.env.POD_NAME;
require('node:http').createServer((request, response) => response.end(name + ' ' + request.socket.remoteAddress)).listen(8080);
process.on('SIGTERM', () => { console.log('terminated politely'); process.exit(0); });
console.log('serving as', process.getuid());`;

const server: Container = {
  name: 'server',
  image: 'none',
  command: ['node', '-e', serverCode],
  env: [{ name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
  ports: [{ name: 'http', containerPort: 8080 }],
  readinessProbe: { httpGet: { path: '/', port: 'http' } },
  securityContext: { runAsUser: 2102, runAsGroup: 2102 },
};

async function deploy(kube: KubeClient, name: string): Promise<void> {
  const labels = { app: name };
  await kube.create(deployments, {
    metadata: { name, namespace: 'default' },
    spec: {
      replicas: 2,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [server] } },
    },
  });
  await kube.create(services, {
    metadata: { name, namespace: 'default' },
    spec: { type: 'LoadBalancer', selector: labels, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
  });
}

async function readyPods(kube: KubeClient, app: string, count: number): Promise<Stored<Pod>[]> {
  return await eventually(
    `${count} pods of ${app} are ready`,
    async () => {
      const { items } = await kube.list(pods, { namespace: 'default', labelSelector: `app=${app}` });
      const ready = items.filter(({ status: pod }) =>
        pod?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True'),
      );
      return ready.length === count && items.length === count ? ready : undefined;
    },
    patience,
  );
}

async function log(kube: KubeClient, pod: string, container = 'main'): Promise<string> {
  return (await kube.raw('GET', `/api/v1/namespaces/default/pods/${pod}/log?container=${container}`)).body;
}

/** Runs a pod to its end and gives what it said. */
async function runPod(
  kube: KubeClient,
  name: string,
  script: string,
  spec: Partial<PodSpec> = {},
): Promise<string> {
  await kube.create(pods, {
    metadata: { name, namespace: 'default' },
    spec: {
      restartPolicy: 'Never',
      containers: [{ name: 'main', image: 'none', command: ['sh', '-c', `exec 2>&1; ${script}`] }],
      ...spec,
    },
  });
  await eventually(
    `pod ${name} ends`,
    async () => {
      const { status: pod } = await kube.get(pods, { namespace: 'default', name });
      return pod?.phase === 'Succeeded' || pod?.phase === 'Failed';
    },
    patience,
  );
  return await log(kube, name);
}

void describe('two local clusters', { timeout: 120_000 }, () => {
  let clusters: LocalClusters;
  let east: KubeClient;
  let west: KubeClient;
  let untouched: Record<string, string>;
  const stateDir = mkdtempSync(join(tmpdir(), 'mesh-local-'));
  const eastLog = (...path: string[]): string =>
    readFileSync(join(clusters.clusters[0]?.logDirectory ?? '', ...path), 'utf8');
  /** `namespace/name` in each line of east's node with this message, in order. */
  const podsOfLines = (message: string): string[] =>
    Array.from(
      eastLog('node.log').matchAll(new RegExp(`"msg":"${message}".*"pod":"([^"]+)"`, 'g')),
      ([, pod = '']) => pod,
    );

  before(async () => {
    untouched = hostState();
    clusters = await up({ topology: 'two', stateDir, attached: true });
    east = client(clusters, 'east');
    west = client(clusters, 'west');
    await Promise.all([deploy(east, 'web'), deploy(west, 'web')]);
    await Promise.all([readyPods(east, 'web', 2), readyPods(west, 'web', 2)]);
  });

  after(async () => {
    east.close();
    west.close();
    await clusters.down();
    assert.deepEqual(hostState(), untouched, 'the host is as it was');
    rmSync(stateDir, { recursive: true });
  });

  void test('the record says what serves the API', async () => {
    const expected = (process.env['KUBEBUILDER_ASSETS'] ?? '') === '' ? 'embedded' : 'kube-apiserver';
    const { gitVersion } = JSON.parse((await east.raw('GET', '/version')).body) as { gitVersion: string };
    for (const { provider, version } of status({ stateDir })?.clusters ?? [])
      assert.deepEqual({ provider, version }, { provider: expected, version: gitVersion });
  });

  void test('the node is registered and beats', async () => {
    const [node] = (await east.list(nodes)).items;
    assert.equal(node?.metadata.name, 'east-node');
    assert.ok(
      node?.status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True'),
    );
    const lease = await east.get(leases, { namespace: 'kube-node-lease', name: 'east-node' });
    assert.equal(lease.spec?.holderIdentity, 'east-node');
  });

  void test('names, ClusterIPs and LoadBalancer addresses work; pods of another cluster are out of reach', async () => {
    const address = async (kube: KubeClient): Promise<{ own: string; gateway: string }> => {
      const service = await kube.get(services, { namespace: 'default', name: 'web' });
      return {
        own: service.spec?.clusterIP ?? '',
        gateway: service.status?.loadBalancer?.ingress?.[0]?.ip ?? '',
      };
    };
    const [local, remote] = await Promise.all([address(east), address(west)]);
    const [remotePod] = await readyPods(west, 'web', 2);
    const [localPod] = await readyPods(east, 'web', 2);
    const fetch = (label: string, url: string): string =>
      `echo "${label}: $(curl -sS -m 3 -o /tmp/body -w '%{http_code} ' ${url}) $(cat /tmp/body)"; rm -f /tmp/body`;
    const said = await runPod(
      east,
      'client',
      [
        fetch('pod', `http://${localPod?.status?.podIP}:8080/`),
        fetch('name', 'http://web/'),
        fetch('full name', 'http://web.default.svc.cluster.local/'),
        fetch('cluster ip', `http://${local.own}/`),
        fetch('own gateway', `http://${local.gateway}/`),
        fetch('remote gateway', `http://${remote.gateway}/`),
        fetch('remote pod', `http://${remotePod?.status?.podIP}:8080/`),
        fetch('remote node', 'http://100.64.255.2:6443/'),
        fetch('unused gateway', 'http://172.30.2.77/'),
        fetch('unused service', 'http://10.101.77.77/'),
        'getent hosts nothing.default || echo no such name',
      ].join('\n'),
    );
    for (const label of ['pod', 'name', 'full name', 'cluster ip', 'own gateway', 'remote gateway']) {
      assert.match(said, new RegExp(`^${label}: 200  web-`, 'm'), said);
    }
    for (const label of ['remote pod', 'remote node', 'unused gateway', 'unused service']) {
      assert.match(said, new RegExp(`^${label}: 000 `, 'm'), said);
    }
    assert.match(
      said,
      /^remote gateway: 200 {2}web-\S+ ::ffff:100\.64\.255\.1$/m,
      'the node masks the address of the pod',
    );
    assert.match(said, /^no such name$/m);
  });

  void test('a cluster that is cut off keeps itself and reaches nobody, until it is healed', async () => {
    const remote = await west.get(services, { namespace: 'default', name: 'web' });
    const gateway = remote.status?.loadBalancer?.ingress?.[0]?.ip ?? '';
    const reach = async (name: string): Promise<string> =>
      await runPod(
        east,
        name,
        [
          `curl -sS -m 2 -o /dev/null -w 'own %{http_code} ' http://web/`,
          `curl -sS -m 2 -o /dev/null -w 'remote %{http_code} ' http://${gateway}/ 2>/dev/null`,
          'true',
        ].join('\n'),
      );
    await cut({ stateDir, cluster: 'west' });
    assert.match(await reach('while-cut'), /own 200 remote 000/);
    assert.match((await readyPods(west, 'web', 2)).map(({ metadata }) => metadata.name).join(' '), /web-/);
    await heal({ stateDir, cluster: 'west' });
    assert.match(await reach('healed'), /own 200 remote 200/);
    await assert.rejects(cut({ stateDir, cluster: 'mars' }), /no local cluster is named mars/);
  });

  void test('a pod that answers its own service reaches itself', async () => {
    await east.create(services, {
      metadata: { name: 'reflection', namespace: 'default' },
      spec: { selector: { app: 'self' }, ports: [{ port: 80, targetPort: 8080 }] },
    });
    const script = `node -e "require('node:http').createServer((q, s) => s.end('myself')).listen(8080)" & 
      for try in 1 2 3 4 5 6 7 8 9 10; do curl -sS -m 1 http://reflection/ && break; sleep 0.3; done; kill $!`;
    await east.create(pods, {
      metadata: { name: 'self', namespace: 'default', labels: { app: 'self' } },
      spec: {
        restartPolicy: 'Never',
        containers: [{ name: 'main', image: 'none', command: ['sh', '-c', script] }],
      },
    });
    await eventually(
      'the pod ends',
      async () =>
        (await east.get(pods, { namespace: 'default', name: 'self' })).status?.phase === 'Succeeded',
      patience,
    );
    assert.match(await log(east, 'self'), /myself/);
  });

  void test('a pod sees nothing of the host but its programs, and has no power', async () => {
    const said = await runPod(
      east,
      'curious',
      `for path in /home/* /work /root/* ${stateDir} ${process.cwd()} /.host; do [ -e "$path" ] && echo "sees $path"; done
      touch /usr/x && echo wrote /usr
      (echo 1 > /proc/sys/kernel/panic) && echo wrote sysctl
      ip link add dummy0 type dummy && echo made a link
      iptables -L && echo reads iptables
      mount -t tmpfs tmpfs /mnt && echo mounted
      grep -E 'Cap(Eff|Prm|Bnd)|NoNewPrivs' /proc/self/status
      ls /proc | grep -cE '^[0-9]+$'
      echo in /tmp > /tmp/file && cat /tmp/file; hostname; id -u`,
    );
    assert.doesNotMatch(said, /sees|wrote|made|reads|mounted/);
    assert.match(said, /CapEff:\s0+\n/);
    assert.match(said, /CapBnd:\s0+\n/);
    assert.match(said, /NoNewPrivs:\s1/);
    assert.match(said, /in \/tmp\ncurious\n0\n$/);
  });

  void test('init containers redirect, sidecars start before and end after the app', async () => {
    const name = 'ordered';
    const said = (container: string): Promise<string> => log(east, name, container);
    await east.create(pods, {
      metadata: { name, namespace: 'default' },
      spec: {
        terminationGracePeriodSeconds: 5,
        initContainers: [
          {
            name: 'redirect',
            image: 'none',
            command: [
              'sh',
              '-ec',
              'iptables -t nat -A OUTPUT -p tcp --dport 9 -m owner ! --uid-owner 2102 -j REDIRECT --to-ports 4140',
            ],
            securityContext: { runAsUser: 0, capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } },
          },
          {
            name: 'proxy',
            image: 'none',
            restartPolicy: 'Always',
            command: [
              'node',
              '-e',
              // A probe that hangs up on unread bytes resets the connection: that must not end the program.
              `require('node:net').createServer((s) => s.on('error', () => {}).end('redirected')).listen(4140, () => console.log(Date.now(), 'proxy up'));
               process.on('SIGTERM', () => { console.log(Date.now(), 'proxy down'); process.exit(0); })`,
            ],
            startupProbe: { tcpSocket: { port: 4140 }, periodSeconds: 1 },
            lifecycle: { postStart: { exec: { command: ['sh', '-ec', 'id -u > /shared/hook'] } } },
            volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
            securityContext: { runAsUser: 2102 },
          },
        ],
        containers: [
          {
            name: 'app',
            image: 'none',
            command: [
              'node',
              '-e',
              `console.log(Date.now(), 'app up');
               console.log('hook ran as', String(require('node:fs').readFileSync('/shared/hook')));
               require('node:net').connect(9, '192.0.2.1').on('data', (data) => console.log(String(data)));
               process.on('SIGTERM', () => setTimeout(() => { console.log(Date.now(), 'app down'); process.exit(0); }, 200));
               setInterval(() => {}, 1000)`,
            ],
            volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
          },
        ],
        volumes: [{ name: 'shared', emptyDir: {} }],
      },
    });
    await eventually(
      'the redirected connection is answered',
      async () => (await said('app')).includes('redirected'),
      patience,
    );
    assert.match(await said('app'), /hook ran as 2102/, 'the postStart hook of the sidecar came first');
    // Deletion takes the pod away and leaves its logs.
    const logFile = (container: string): string => eastLog('pods', 'default', name, `${container}.log`);
    await east.delete(pods, { namespace: 'default', name });
    await eventually(
      'the pod is gone',
      async () => (await east.find(pods, { namespace: 'default', name })) === undefined,
      patience,
    );
    await eventually(
      'the node says that the pod is gone',
      () => podsOfLines('pod is gone').includes(`default/${name}`),
      patience,
    );
    const time = (container: string, what: string): number =>
      Number(new RegExp(`(\\d+) ${container} ${what}`).exec(logFile(container))?.[1] ?? Number.NaN);
    assert.ok(time('proxy', 'up') <= time('app', 'up'), 'the sidecar is up before the app');
    const everything = [...['app', 'proxy'].map(logFile), eastLog('node.log')].join('\n');
    assert.ok(time('app', 'down') <= time('proxy', 'down'), `the sidecar outlives the app:\n${everything}`);
  });

  void test('the node agents have not died so far, and said of each pod once that it came and once that it went', () => {
    const log = eastLog('node.log');
    assert.equal(log.match(/node is ready/g)?.length, 1, log);
    for (const message of ['pod starts', 'pod is gone']) {
      const said = podsOfLines(message);
      assert.ok(said.length > 0, message);
      assert.deepEqual(said, [...new Set(said)], message);
    }
  });

  void test('a killed container is counted and comes back', async () => {
    const [victim] = await readyPods(east, 'web', 2);
    const name = victim?.metadata.name ?? '';
    const socket = clusters.clusters[0]?.controlSocket ?? '';
    await killContainer(socket, { namespace: 'default', pod: name, container: 'server' });
    const restarted = await eventually(
      'the container runs again',
      async () => {
        const { status: pod } = await east.get(pods, { namespace: 'default', name });
        const [container] = pod?.containerStatuses ?? [];
        return container?.restartCount === 1 && container.ready ? container : undefined;
      },
      patience,
    );
    assert.equal(restarted.lastState?.terminated?.exitCode, 137);
    assert.equal(restarted.lastState?.terminated?.signal, 9);
    await readyPods(east, 'web', 2);
  });

  void test('the host reaches into a cluster through the control socket, and only into that one', async () => {
    const [pod] = await readyPods(west, 'web', 2);
    const address = pod?.status?.podIP ?? '';
    const [eastSocket, westSocket] = clusters.clusters.map(({ controlSocket }) => controlSocket);
    const socket = await dialCluster(westSocket ?? '', { address, port: 8080 });
    socket.end('GET / HTTP/1.0\r\n\r\n');
    assert.match(Buffer.concat(await socket.toArray()).toString(), /web-/);
    await assert.rejects(
      dialCluster(eastSocket ?? '', { address, port: 8080 }),
      /EHOSTUNREACH|ENETUNREACH|ECONNREFUSED/,
    );
  });

  void test('pods reach their API server with their own token', async () => {
    const mount = '/var/run/secrets/kubernetes.io/serviceaccount';
    const said = await runPod(
      east,
      'api',
      `curl -sS -m 5 --cacert ${mount}/ca.crt -H "authorization: Bearer $(cat ${mount}/token)" https://kubernetes.default.svc/api/v1/namespaces/default/secrets; cat ${mount}/namespace`,
    );
    assert.match(said, /system:serviceaccount:default:default.*cannot list/s);
    assert.match(said, /default\n$/);
  });

  void test('an API server that dies comes back at the same address; nothing else notices', async () => {
    const pid = status({ stateDir })?.clusters[0]?.apiserver;
    assert.ok(pid !== undefined);
    process.kill(pid, 'SIGKILL');
    await eventually(
      'another API server',
      () => {
        const now = status({ stateDir })?.clusters[0]?.apiserver;
        return now !== undefined && now !== pid;
      },
      patience,
    );
    await eventually(
      'it answers',
      async () => (await east.raw('GET', '/readyz', { timeoutMs: 1000 })).status === 200,
      patience,
    );
    const said = await eventually(
      'a new pod runs',
      () => runPod(east, 'later', 'echo after the restart'),
      patience,
    );
    assert.match(said, /after the restart/);
    const restarts = (await readyPods(east, 'web', 2)).map(
      ({ status: pod }) => pod?.containerStatuses?.[0]?.restartCount,
    );
    assert.deepEqual(restarts.toSorted(), [0, 1], 'only the one killed before');
  });

  void test('a node agent that dies takes its pods along, and its successor runs them again', async () => {
    const lived = new Set((await readyPods(west, 'web', 2)).map(({ metadata }) => metadata.uid));
    const agent = [...descendants(clusters.supervisor).keys()].find((pid) => {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (!command[0]?.endsWith('/node') || command[1]?.endsWith('/node.js') !== true) return false;
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes('MESH_NODE_NAME=west-node\0');
    });
    assert.ok(agent !== undefined);
    const below = descendants(agent);
    assert.ok(below.size > 4, 'its pods are below it');
    process.kill(agent, 'SIGKILL');
    await eventually('all of it is gone', () =>
      [...below].every(([pid, start]) => processStartTime(pid) !== start),
    );
    const socket = clusters.clusters[1]?.controlSocket ?? '';
    const answer = await eventually(
      'a pod of the new agent answers',
      async () => {
        const [pod] = await readyPods(west, 'web', 2);
        assert.ok(
          pod !== undefined && lived.has(pod.metadata.uid),
          'the same pods, not others in their place',
        );
        const connection = await dialCluster(socket, { address: pod.status?.podIP ?? '', port: 8080 });
        connection.end('GET / HTTP/1.0\r\n\r\n');
        return Buffer.concat(await connection.toArray()).toString();
      },
      patience,
    );
    assert.match(answer, /web-/);
  });

  void test('while clusters run, the host is untouched', () => {
    assert.deepEqual(hostState(), untouched);
  });

  void test('logs are found', () => {
    const files = logs({ stateDir, cluster: 'west' });
    assert.ok(files.some((file) => file.endsWith('apiserver.log')));
    assert.ok(files.some((file) => /pods\/default\/web-[^/]+\/server\.log$/.test(file)));
    assert.throws(() => logs({ stateDir, cluster: 'south' }), /no local cluster is named south/);
  });

  void test('a second set in the same directory is refused', async () => {
    await assert.rejects(up({ topology: 'two', stateDir }), /already run in/);
  });
});

/** Starts clusters that belong to a process of their own, as a command or the demo is, and gives that process. */
async function parentOf(stateDir: string): Promise<ChildProcess> {
  const program = `
    import { up } from ${JSON.stringify(join(import.meta.dirname, 'local-clusters.ts'))};
    const stateDir = ${JSON.stringify(stateDir)};
    await up({ topology: 'overlapping', stateDir, attached: true, removeAlso: stateDir });
    console.log('up');
    setInterval(() => {}, 1000);
  `;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(parent.stdout, 'data');
  return parent;
}

for (const [what, signal, whose] of [
  ['the supervisor is killed', 'SIGKILL', 'supervisor'],
  ['the process that started them is killed', 'SIGKILL', 'parent'],
  ['the process that started them is interrupted', 'SIGINT', 'parent'],
] as const) {
  void test(`when ${what}, nothing is left`, { timeout: 60_000 }, async (t) => {
    const stateDir = mkdtempSync(join(tmpdir(), 'mesh-local-'));
    t.after(() => rmSync(stateDir, { recursive: true, force: true }));
    const untouched = hostState();
    const parent = await parentOf(stateDir);
    t.after(() => parent.kill('SIGKILL'));
    t.after(async () => await down({ stateDir }));
    const running = status({ stateDir });
    assert.ok(running !== undefined);
    const east = new KubeClient({ ...fromKubeconfig(kubeconfig({ stateDir }), 'east'), clock: systemClock });
    await deploy(east, 'web');
    await readyPods(east, 'web', 2);
    east.close();
    const processes = descendants(running.supervisor.pid);
    assert.ok(processes.size > 10, `${processes.size} processes`);
    process.kill(whose === 'parent' ? (parent.pid ?? 0) : running.supervisor.pid, signal);
    await eventually(
      'every process is gone',
      () => [...processes].every(([pid, start]) => processStartTime(pid) !== start),
      { timeoutMs: 10_000 },
    );
    assert.deepEqual(hostState(), untouched);
    assert.equal(status({ stateDir }), undefined);
    // A supervisor that is killed itself has nobody to remove its files.
    assert.equal(existsSync(stateDir), whose === 'supervisor');
  });
}
