import { errorCode } from '@mesh/http2/error-codes';
import { framesIn, GOAWAY, RST_STREAM } from '@mesh/http2/testing/raw-peer';

const codeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(errorCode).map(([name, code]) => [code, name.replaceAll(/[A-Z]/g, '_$&').toUpperCase()]),
);

const named = (code: number): string => codeNames.get(code) ?? String(code);

/** Who ended a connection; `unknown` where TLS has taken its bytes over. */
export type Ender = 'attacker' | 'proxy' | 'unknown';

const words: Readonly<Record<Ender, string>> = { attacker: 'left open', proxy: 'closed', unknown: 'ended' };

/** How a connection ended, by what it received. */
export function describeEnd(received: Buffer, ender: Ender): string {
  const by = words[ender];
  const statuses = received
    .toString('latin1')
    .match(/HTTP\/1\.1 (\d{3}) /g)
    ?.map((line) => line.slice(9, 12));
  if (statuses !== undefined) return `${statuses.at(-1)}, ${by}`;
  const frames = framesIn(received);
  const goaway = frames.findLast(({ type }) => type === GOAWAY)?.payload.readUInt32BE(4);
  if (goaway !== undefined) return `GOAWAY ${named(goaway)}`;
  const resets = new Set(
    frames.filter(({ type }) => type === RST_STREAM).map(({ payload }) => named(payload.readUInt32BE(0))),
  );
  if (resets.size > 0) return `RST_STREAM ${[...resets].join(', ')}, ${by}`;
  return by;
}
