/** Connections of one protocol that carry requests; a request that finds them all busy waits its turn. */
export interface LoadClients {
  connect(): Promise<void>;
  /** @param dueMs handed back with the answer */
  send(dueMs: number): void;
  /** @param status of HTTP; 0 for a call that failed or got none */
  onAnswer: (dueMs: number, status: number, bodyBytes: number) => void;
}
