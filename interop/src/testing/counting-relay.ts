import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { listen } from '@mesh/testkit/servers';

/** Stands between two and keeps what both said, for counting messages apart from any codec of ours. */
export interface CountingRelay {
  readonly port: number;
  /** All that the server said since `clear`, latin1; connections one after the other in the order of arrival. */
  readonly said: () => string;
  /** What the server said on connections that we had closed: it may belong to what was sent long before. */
  readonly saidLate: () => string;
  readonly asked: () => string;
  /** Connections that not both sides have closed. */
  readonly open: () => number;
  clear(): void;
}

export async function startCountingRelay(test: TestContext, target: number): Promise<CountingRelay> {
  let asked = '';
  let said = '';
  let saidLate = '';
  let open = 0;
  const { port } = await listen(test, (near) => {
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true });
    let ends = 0;
    const closed = (): void => {
      if (++ends === 2) open--;
    };
    open++;
    near.on('data', (chunk: Buffer) => {
      asked += chunk.toString('latin1');
      far.write(chunk);
    });
    far.on('data', (chunk: Buffer) => {
      if (near.destroyed) {
        saidLate += chunk.toString('latin1');
        return;
      }
      said += chunk.toString('latin1');
      near.write(chunk);
    });
    near.on('close', () => {
      closed();
      // What the server still says is kept.
      far.end();
    });
    far.on('close', () => {
      closed();
      near.destroy();
    });
    far.on('error', () => {});
    test.after(() => far.destroy());
  });
  return {
    port,
    said: () => said,
    saidLate: () => saidLate,
    asked: () => asked,
    open: () => open,
    clear: () => {
      asked = '';
      said = '';
      saidLate = '';
    },
  };
}

const finalStatus = /HTTP\/1\.[01] ([2-5]\d\d)/g;

/** Statuses of the final responses in `text`. The servers asked have no body that looks like one. */
export function statusesOf(text: string): string[] {
  return Array.from(text.matchAll(finalStatus), ([, status]) => status ?? '');
}
