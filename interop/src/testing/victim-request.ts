import { Agent, get } from 'node:http';
import type { TestContext } from 'node:test';

/** Of its requests, of which witnesses take no notice. */
export const victimPath = '/victim';

/**
 * Requests from the application in east to the one in west, through everything that is under attack, on one connection
 * of its own.
 */
export function victimOf(t: TestContext, { port }: { readonly port: number }): () => Promise<void> {
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  return () =>
    new Promise((resolve, reject) => {
      const asked = get({ port, host: '127.0.0.1', path: victimPath, agent }, (response) => {
        response.resume();
        response.on('end', () => {
          if (response.statusCode === 200) resolve();
          else reject(new Error(`answered ${response.statusCode}`));
        });
      });
      asked.on('error', reject);
    });
}
