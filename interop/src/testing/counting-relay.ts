import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { listen } from '@mesh/testkit/servers';

/** Stands between two and keeps what both said, for counting messages apart from any codec of ours. */
export interface CountingRelay {
  readonly port: number;
  /** All that the server said since `clear`, latin1; connections one after the other in the order of arrival. */
  readonly said: () => string;
  readonly asked: () => string;
  /** Connections that the client left and the server did not. */
  readonly lingering: () => number;
  clear(): void;
}

export async function startCountingRelay(test: TestContext, target: number): Promise<CountingRelay> {
  let asked = '';
  let said = '';
  let lingering = 0;
  const { port } = await listen(test, (near) => {
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true });
    let left = false;
    let gone = false;
    near.on('data', (chunk: Buffer) => {
      asked += chunk.toString('latin1');
      far.write(chunk);
    });
    far.on('data', (chunk: Buffer) => {
      said += chunk.toString('latin1');
      near.write(chunk);
    });
    near.on('close', () => {
      left = true;
      if (!gone) lingering++;
      // What the server still says is kept.
      far.end();
    });
    far.on('close', () => {
      gone = true;
      if (left) lingering--;
      near.destroy();
    });
    far.on('error', () => {});
    test.after(() => far.destroy());
  });
  return {
    port,
    said: () => said,
    asked: () => asked,
    lingering: () => lingering,
    clear: () => {
      asked = '';
      said = '';
    },
  };
}

const finalStatus = /HTTP\/1\.[01] ([2-5]\d\d)/g;

/** Statuses of the final responses in `text`. The servers asked have no body that looks like one. */
export function statusesOf(text: string): string[] {
  return Array.from(text.matchAll(finalStatus), ([, status]) => status ?? '');
}
