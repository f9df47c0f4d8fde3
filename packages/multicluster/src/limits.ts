import type { LimitSpec } from '@mesh/limits/limits';

/** Limits of what is taken from a peer, beside `MESH_MIRROR_MAX_EXPORTS`. */
export const importLimits = {
  import_ports: {
    default: 100,
    unit: 'count',
    why: 'TCP ports of one exported Service; one with more is refused, because an EndpointSlice holds no more.',
    uncounted: 'The status of the Link names the export, with the reason `InvalidPorts`.',
  },
  import_ready_endpoints: {
    default: 1_000_000,
    unit: 'count',
    why: 'Ready endpoints that a peer may claim for one export; they are its weight, which is cut to this.',
    uncounted: 'No cluster has so many.',
  },
  import_flat_endpoints: {
    default: 10_000,
    unit: 'count',
    why: 'Pods that one export of a flat network may list; each is written here, a thousand to an EndpointSlice.',
    uncounted: 'The status of the Link names the export, with the reason `TooManyEndpoints`.',
  },
  import_flat_groups: {
    default: 100,
    unit: 'count',
    why: 'Sets of identity and ports among the pods of one export of a flat network; each needs an EndpointSlice of its own.',
    uncounted: 'The status of the Link names the export, with the reason `TooManyEndpoints`.',
  },
  import_bytes: {
    default: 64 * 1024 * 1024,
    unit: 'bytes',
    why: 'What all exports of one peer take together, as they are sent; it is kept to know what changed.',
    uncounted: 'The status of the Link has the reason `TooManyExports`.',
  },
  import_writes: {
    default: 20_000,
    unit: 'count',
    why: 'Objects that are written or deleted for one peer in a row; what it changes beyond them waits for `import_writes_per_s`.',
    uncounted: 'The log of the mirror controller says for which peer changes wait.',
  },
  import_writes_per_s: {
    default: 100,
    unit: 'count',
    why: 'By how many a second the peer may have written again. Exports that change all the time would keep our API server busy.',
    uncounted: 'As `import_writes`.',
  },
  import_annotation_bytes: {
    default: 1024,
    unit: 'bytes',
    why: 'Value of one annotation that is copied from a peer; a longer one is left out.',
    uncounted: 'Only `mesh.io/opaque-ports` is copied, in which the ports of a Service fit.',
  },
  import_listed: {
    default: 200,
    unit: 'count',
    why: 'Imports that the status of a Link lists by name; how many are mirrored is always exact.',
    uncounted: 'The count in the status is larger than the list.',
  },
} as const satisfies Record<string, LimitSpec>;
