/**
 * Who may import whom. Arrows point down: a workspace may use workspaces of lower layers, and of its own layer only
 * where `within` says so with a reason. A repository test holds every import to this table.
 */
export interface Layer {
  name: string;
  why: string;
  /** Directory of each workspace, from the root. */
  members: readonly string[];
  /** Arrows inside the layer: from, to, reason. */
  within?: readonly (readonly [from: string, to: string, why: string])[];
}

/** Lowest first. */
export const layers: readonly Layer[] = [
  {
    name: 'bottom',
    why: 'values that everything may use and that know nothing of the mesh',
    members: [
      'packages/clock',
      'packages/errors',
      'packages/limits',
      'packages/sockets',
      'packages/config',
      'packages/telemetry',
      'packages/testkit',
    ],
    within: [
      ['packages/config', 'packages/errors', 'refuses bad settings with a MeshError'],
      ['packages/telemetry', 'packages/clock', 'log lines carry the time'],
      [
        'packages/telemetry',
        'packages/limits',
        'shows how often limits were reached, and has some of its own',
      ],
      ['packages/testkit', 'packages/clock', 'brings the clock that tests steer'],
    ],
  },
  {
    name: 'shapes',
    why: 'the message shape, names and rules that codecs and services agree on; no sockets',
    members: ['packages/http', 'packages/trust', 'packages/kube', 'packages/balance'],
  },
  {
    name: 'codecs and contracts',
    why: 'bytes to shapes and back; usable and tested on their own',
    members: [
      'packages/http1',
      'packages/http2',
      'packages/transport',
      'packages/control-api',
      'packages/ca',
      'packages/multicluster',
    ],
    within: [['packages/control-api', 'packages/http2', 'gRPC is HTTP/2']],
  },
  { name: 'data plane', why: 'what sidecar and gateway share', members: ['packages/dataplane'] },
  {
    name: 'charts',
    why: 'what an install renders; the injector and the CLI share the sidecar',
    members: ['charts'],
  },
  {
    name: 'programs',
    why: 'services only compose; they share contracts, never code of each other',
    members: [
      'services/identity',
      'services/destination',
      'services/proxy',
      'services/gateway',
      'services/mirror',
      'services/injector',
      'clusters/apiserver',
      'clusters/controllers',
      'clusters/node',
      'clusters/apps',
    ],
  },
  {
    name: 'local clusters',
    why: 'starts the programs of a local cluster as processes',
    members: ['clusters/local'],
  },
  { name: 'command', why: 'the command a person types; drives everything below', members: ['cli'] },
  {
    name: 'top',
    why: 'run whole clusters, or whole paths through several programs; nothing imports these',
    members: ['clusters/demo', 'e2e-multicluster', 'bench', 'interop', 'fuzz'],
    within: [['interop', 'bench', "attacks are measured in the bench's network, with its victim"]],
  },
];
