import type { DescMessage } from '@bufbuild/protobuf';
import type { GrpcSink } from '@mesh/control-api/response-sink';
import type { ControlPlaneTable } from './control-plane-table.ts';

/** The table of a control plane, and the streams that hear of its changes. */
export class FollowedTable {
  readonly #followers: Set<() => void> = new Set();
  table: ControlPlaneTable;

  constructor(table: ControlPlaneTable) {
    this.table = table;
  }

  replace(table: ControlPlaneTable): void {
    this.table = table;
    for (const tell of this.#followers) tell();
  }

  /** Calls `tell` now and after each change, until the stream ends. */
  follow(sink: Pick<GrpcSink<DescMessage>, 'onCancel'>, tell: () => void): void {
    tell();
    this.#followers.add(tell);
    sink.onCancel(() => this.#followers.delete(tell));
  }
}
