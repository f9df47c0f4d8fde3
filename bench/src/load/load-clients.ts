/** Connections of one protocol that carry requests; a request that finds them all busy waits its turn. */
export interface LoadClients {
  connect(): Promise<void>;
  /** @param dueMs handed back with the answer */
  send(dueMs: number): void;
  onAnswer: (dueMs: number, ok: boolean, bodyBytes: number) => void;
}
