import { readFileSync, rmSync } from 'node:fs';
import { systemClock } from '@mesh/clock/system';
import { flag, oneOf, readConfig, text } from '@mesh/config/environment';
import { describeError } from '@mesh/errors/mesh-error';
import { logLevels } from '@mesh/telemetry/log';
import { bundleDirectory } from './bundle-directory.ts';
import { StateDirectory } from './state-directory.ts';
import { Supervisor } from './supervisor.ts';
import { parseTopology } from './topology.ts';

const supervisorConfig = {
  MESH_LOCAL_DIR: text({ doc: 'State directory of the local clusters.' }),
  MESH_LOCAL_BINARIES: text({
    doc: 'Directory of kube-apiserver and etcd; empty runs the embedded API server.',
    default: '',
  }),
  MESH_LOCAL_TOPOLOGY: text({ doc: 'Topology file.' }),
  MESH_LOCAL_ATTACHED: flag({
    doc: 'Stop when standard input closes, that is, when the parent dies.',
    default: false,
  }),
  MESH_LOCAL_REMOVE: flag({ doc: 'Remove the data of the clusters at the end.', default: true }),
  MESH_LOCAL_REMOVE_ALSO: text({
    doc: 'Directory of the one who started the clusters, which goes with their data; empty for none.',
    default: '',
  }),
  MESH_LOG_LEVEL: oneOf(logLevels, { doc: 'Least level the programs of the clusters log.', default: 'info' }),
};

const config = readConfig(supervisorConfig, process.env);
const state = new StateDirectory(config.MESH_LOCAL_DIR);
// Once the one who started us is gone nobody reads; that must not end the clusters.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
const tell = (words: object): void => {
  process.stdout.write(`${JSON.stringify(words)}\n`);
};

const topology = parseTopology(readFileSync(config.MESH_LOCAL_TOPOLOGY, 'utf8'), config.MESH_LOCAL_TOPOLOGY);
const supervisor = new Supervisor({
  topology,
  state,
  bundleDirectory: bundleDirectory(),
  logLevel: config.MESH_LOG_LEVEL,
  uid: process.getuid?.() ?? 0,
  binaries: config.MESH_LOCAL_BINARIES === '' ? undefined : config.MESH_LOCAL_BINARIES,
  clock: systemClock,
  say: (line) => tell({ say: line }),
});

let ending = false;
async function end(code: number): Promise<void> {
  if (ending) return;
  ending = true;
  await supervisor.stop();
  if (config.MESH_LOCAL_REMOVE && code === 0) {
    state.remove(topology.clusters.map(({ name }) => name));
    const also = config.MESH_LOCAL_REMOVE_ALSO;
    if (also !== '') rmSync(also, { recursive: true, force: true });
  }
  process.exit(code);
}

process.on('SIGTERM', () => void end(0));
process.on('SIGINT', () => void end(0));
// A terminal that closes takes only attached clusters with it.
process.on('SIGHUP', () => {
  if (config.MESH_LOCAL_ATTACHED) void end(0);
});
if (config.MESH_LOCAL_ATTACHED) {
  process.stdin.on('close', () => void end(0));
  process.stdin.on('end', () => void end(0));
  process.stdin.resume();
}
void supervisor.whenBroken().then(() => end(1));
try {
  await supervisor.start();
  tell({ ready: true });
} catch (thrown) {
  tell({ failed: describeError(thrown) });
  await end(1);
}
