import { createReadStream } from 'node:fs';
import { once } from 'node:events';
import { deployments } from '@mesh/kube/resources';
import { KubeClient } from '@mesh/kube/client';
import { fromKubeconfig } from '@mesh/kube/config';
import { cut, down, heal, kubeconfig, logs, status, up } from '@mesh/local/local-clusters';
import { MeshError } from '@mesh/errors/mesh-error';
import { command, type Command, logLevelFlag, outputFlag } from '../command.ts';
import { table } from '../output.ts';

const directory = {
  directory: {
    kind: 'text',
    doc: 'State directory. Default: $MESH_LOCAL_DIR, else ~/.mesh/local.',
    value: 'DIR',
  },
} as const;

export const localCommands: readonly Command[] = [
  command({
    name: 'local up',
    summary: 'Start local Kubernetes clusters, without Docker',
    details:
      'Pods are processes in namespaces of their own; nothing of the host is changed. They run until `mesh local down`. With KUBEBUILDER_ASSETS naming a directory of kube-apiserver and etcd, those serve the API.',
    flags: {
      ...directory,
      topology: {
        kind: 'text',
        doc: 'A topology file, or one of clusters/topologies by name.',
        value: 'NAME',
        default: 'three',
      },
      'log-level': logLevelFlag,
    },
    examples: [
      'mesh local up',
      'export KUBECONFIG=$(mesh local kubeconfig)',
      'kubectl --context east get nodes',
    ],
    async run({ flags, output }) {
      const running = await up({
        topology: flags.topology,
        stateDir: flags.directory,
        keepData: true,
        logLevel: flags['log-level'],
        onProgress: (line) => output.note(line),
      });
      for (const { name, server } of running.clusters)
        output.print(`${output.paint('green', '√')} ${name}   ${server}`);
      output.note(`Use them: export KUBECONFIG=${running.kubeconfig}`);
    },
  }),
  command({
    name: 'local down',
    summary: 'End the local clusters and remove what they left',
    flags: {
      ...directory,
      keep: { kind: 'boolean', doc: 'Keep journals and logs; `local up` continues from them.' },
    },
    async run({ flags, output }) {
      await down({ stateDir: flags.directory, keepData: flags.keep });
      output.print(`${output.paint('green', '√')} no local clusters run`);
    },
  }),
  command({
    name: 'local status',
    summary: 'Show the local clusters',
    flags: {
      ...directory,
      output: outputFlag('table', 'json'),
    },
    async run({ flags, output, clock }) {
      const running = status({ stateDir: flags.directory });
      if (flags.output === 'json') {
        output.print(JSON.stringify(running ?? null, undefined, 2));
        return running === undefined ? 1 : 0;
      }
      if (running === undefined) {
        output.note('No local clusters run; start them: mesh local up');
        return 1;
      }
      const rows = await Promise.all(
        running.clusters.map(
          async ({ name, ready, server, provider, version, kubeconfig: file, ...networks }) => {
            const client = new KubeClient({ ...fromKubeconfig(file), clock });
            const listed = await client.listAll(deployments, { timeoutMs: 2000 }).catch(() => undefined);
            client.close();
            const whole = listed?.items.filter(
              ({ status: now, spec }) => (now?.readyReplicas ?? 0) >= (spec?.replicas ?? 1),
            ).length;
            const work = listed === undefined ? 'no answer' : `${whole}/${listed.items.length}`;
            return [
              name,
              ready ? output.paint('green', 'ready') : output.paint('yellow', 'starting'),
              server,
              `${provider} ${version}`.trim(),
              work,
              networks.podCidr,
              networks.gatewayCidr,
            ];
          },
        ),
      );
      for (const line of table(
        ['CLUSTER', 'STATE', 'API', 'SERVED BY', 'DEPLOYMENTS', 'PODS', 'GATEWAYS'],
        rows,
      ))
        output.print(line);
      return 0;
    },
  }),
  command({
    name: 'local kubeconfig',
    summary: 'Print the path of the kubeconfig with a context per local cluster',
    flags: directory,
    async run({ flags, output }) {
      output.print(kubeconfig({ stateDir: flags.directory }));
      return await Promise.resolve(0);
    },
  }),
  command({
    name: 'local cut',
    summary: 'Cut a local cluster off from the others, as if its cable was pulled',
    args: 'CLUSTER',
    arity: [1, 1],
    details:
      'Packets between it and the others are dropped until `mesh local heal`; inside, everything goes on.',
    flags: directory,
    examples: ['mesh local cut west'],
    async run({ args: [cluster = ''], flags, output }) {
      await cut({ stateDir: flags.directory, cluster });
      output.print(
        `${output.paint('green', '√')} ${cluster} is cut off; undo it: mesh local heal ${cluster}`,
      );
    },
  }),
  command({
    name: 'local heal',
    summary: 'Connect a local cluster again that was cut off',
    args: 'CLUSTER',
    arity: [1, 1],
    flags: directory,
    async run({ args: [cluster = ''], flags, output }) {
      await heal({ stateDir: flags.directory, cluster });
      output.print(`${output.paint('green', '√')} ${cluster} is connected`);
    },
  }),
  command({
    name: 'local logs',
    summary: "Print the logs of a local cluster's own programs and pods",
    args: '[CLUSTER [TEXT]]',
    arity: [0, 2],
    details:
      'TEXT selects files whose path contains it, such as a pod or `apiserver`. Without arguments the files are listed.',
    flags: directory,
    examples: ['mesh local logs', 'mesh local logs east mesh-proxy'],
    async run({ args: [cluster, text = ''], flags, output }) {
      const files = logs({ stateDir: flags.directory, ...(cluster === undefined ? {} : { cluster }) });
      if (cluster === undefined) {
        for (const file of files) output.print(file);
        return;
      }
      const chosen = files.filter((file) => file.includes(text));
      if (chosen.length === 0) {
        throw new MeshError(
          'cli-input',
          `no log of cluster ${cluster} has ${JSON.stringify(text)} in its path`,
          {
            remedy: 'mesh local logs lists the files',
          },
        );
      }
      for (const file of chosen) {
        output.note(`==> ${file}`);
        const stream = createReadStream(file);
        stream.pipe(process.stdout, { end: false });
        await once(stream, 'end');
      }
    },
  }),
];
