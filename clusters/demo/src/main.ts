/**
 * `npm start`: three clusters, the mesh, a shop, a steady load, faults, and what they cost. Exit code 0 only if every
 * phase was as stated. With `--keep` the clusters stay up.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { systemClock as clock } from '@mesh/clock/system';
import { describeError } from '@mesh/errors/mesh-error';
import { configMaps } from '@mesh/kube/resources';
import { clusterNames, Fleet } from './fleet.ts';
import { proportionalMemoryMiB } from './memory.ts';
import { phases, type PhaseResult } from './phases.ts';
import { painter, phaseLines, summaryTable } from './report.ts';
import { parseLoadLine, type Sample } from './samples.ts';

const root = resolve(import.meta.dirname, '../../..');
const readyMs = 60_000;

const print = (line = ''): void => void process.stdout.write(`${line}\n`);

async function main(keep: boolean): Promise<boolean> {
  const started = clock.now();
  const paint = painter({
    terminal: process.stdout.isTTY === true,
    noColor: (process.env['NO_COLOR'] ?? '') !== '',
  });
  const say = (line: string): void => print(`  ${paint('dim', line)}`);
  const title = (text: string): void => print(`\n${paint('bold', text)}`);
  const seconds = (): string => `${((clock.now() - started) / 1000).toFixed(1)} s`;

  const work = mkdtempSync(join(tmpdir(), 'mesh-demo-'));
  const stateDir = keep ? join(homedir(), '.mesh', 'local') : join(work, 'local');
  const trust = keep
    ? join(homedir(), '.mesh', `trust-${Math.floor(clock.wall() / 1000)}`)
    : join(work, 'trust');
  let fleet: Fleet | undefined;
  const following = new AbortController();
  const stop = async (): Promise<void> => {
    following.abort(new Error('the demo has ended'));
    if (keep) fleet?.close();
    else await fleet?.stop();
    rmSync(work, { recursive: true, force: true });
  };
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(signal, () => {
      print(`\n  stopped; ${keep ? 'the clusters stay up' : 'taking the clusters away'}`);
      void stop().finally(() => process.exit(code));
    });
  }
  try {
    title('Three Kubernetes clusters on this machine');
    fleet = await Fleet.start({ root, stateDir, work, clock, say, keep });
    const running = fleet;
    const [{ provider, version } = { provider: 'embedded', version: '' }] = running.local.clusters;
    const server = provider === 'embedded' ? 'the embedded API server' : `${provider} ${version}`;
    print(
      `  east, west and north are ready after ${seconds()}; each is a network of its own, served by ${server}`,
    );

    title('The mesh, in each of them, under one trust anchor');
    await running.mesh(['trust', 'init', trust]);
    await Promise.all(
      clusterNames.map(async (cluster) => {
        await running.mesh([
          'install',
          '--cluster',
          cluster,
          '--trust',
          trust,
          '--apply',
          '--context',
          cluster,
        ]);
        await running.mesh(['multicluster', 'install', '--apply', '--context', cluster]);
      }),
    );
    print(`  installed after ${seconds()}`);

    title('A shop in each of them, and a steady load of 100 requests a second in east');
    await Promise.all(
      clusterNames.map(async (cluster) => {
        await running.apply(cluster, 'shop.yaml');
        await running
          .client(cluster)
          .create(configMaps, { metadata: { namespace: 'shop', name: 'cluster' }, data: { name: cluster } });
        await running.ready(cluster, 'shop', readyMs);
      }),
    );
    await running.apply('east', 'load.yaml');
    await running.ready('east', 'shop', readyMs);
    const samples: Sample[] = [];
    running
      .followLoad('east', (line) => samples.push(...parseLoadLine(line)), following.signal)
      .catch((failure: unknown) => {
        if (!following.signal.aborted)
          print(`  ${paint('red', `the load's log ended: ${describeError(failure)}`)}`);
      });
    print(`  load → frontend → http://cart, all through sidecars, after ${seconds()}`);

    title('Linked: no credential changes hands');
    print(indent(await running.mesh(['multicluster', 'link', ...clusterNames])));

    title('Phases');
    const results: PhaseResult[] = [];
    for (const phase of phases) {
      const result = await phase({ fleet: running, clock, samples, say });
      results.push(result);
      for (const line of phaseLines(result, paint)) print(line);
    }

    title('Summary');
    for (const line of summaryTable(results)) print(`  ${line}`);
    title('Gateways, seen from east');
    print(indent(await running.mesh(['multicluster', 'gateways', '--context', 'east'])));
    // Of the peer whose gateway was not killed: the other one began to count anew.
    const survivor =
      clusterNames.find(
        (name) => name !== 'east' && results.every((result) => result.name !== `gateway of ${name} killed`),
      ) ?? 'west';
    title(`What the gateway of ${survivor} counted`);
    const counted = (await running.gatewayMetrics(survivor))
      .split('\n')
      .filter((line) => /^(request_total|gateway_(connections|requests_refused|federation))/.test(line));
    for (const line of counted) print(`  ${line}`);
    print(
      `\n  memory: ${proportionalMemoryMiB(join(root, 'dist'))} MiB proportional (PSS), all processes of three clusters together`,
    );

    // A gateway that carried the load and counted nothing is as wrong as a phase that failed.
    const good = counted.length > 0 && results.every(({ faults }) => faults.length === 0);
    print(
      good
        ? `\n${paint('green', '√')} every phase met its expectation; ${seconds()} in all`
        : `\n${paint('red', '×')} ${results.filter(({ faults }) => faults.length > 0).length} phases did not meet their expectation`,
    );
    title('Next');
    if (keep) {
      print(`  export KUBECONFIG=${running.local.kubeconfig}`);
      print('  kubectl --context east -n shop get pods,svc,endpointslices');
      print(`  node dist/mesh.js check --context east`);
      print('  node dist/mesh.js local down');
    } else {
      print('  npm start -- --keep      leaves the clusters up, with a kubeconfig of three contexts');
      print('  README.md                the same steps by hand');
    }
    return good;
  } finally {
    await stop();
  }
}

const indent = (text: string): string =>
  text
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');

const args = process.argv.slice(2);
const unknown = args.find((arg) => arg !== '--keep');
if (unknown !== undefined) {
  process.stderr.write(`npm start takes --keep and nothing else; got ${unknown}\n`);
  process.exitCode = 2;
} else {
  main(args.includes('--keep')).then(
    (good) => {
      process.exitCode = good ? 0 : 1;
    },
    (failure: unknown) => {
      process.stderr.write(`\nnpm start: ${describeError(failure)}\n`);
      process.exitCode = 1;
    },
  );
}
