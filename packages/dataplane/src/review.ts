/** What is open on a connection is held to what is allowed today. */
import type { ServerConnection } from '@mesh/http/message';
import type { SyntheticReason } from '@mesh/http/synthetic';
import { Exchange } from './exchange.ts';

/** What the client is told. */
interface Refusal {
  readonly answer: SyntheticReason;
  readonly text: string;
}

/**
 * Ends each request under way that its client may no longer make, a tunnel or a stream among them.
 * @param refusal undefined for what may go on
 */
export function review(
  connection: ServerConnection,
  refusal: (request: Pick<Exchange, 'head' | 'authority'>) => Refusal | undefined,
): void {
  for (const handler of connection.handlers()) {
    if (!(handler instanceof Exchange)) continue;
    const refused = refusal(handler);
    if (refused !== undefined) handler.revoke(refused.answer, refused.text);
  }
}
