/** What foreign servers answered to the vectors, as Markdown. */
import { http1Faults } from '@mesh/http1/faults';
import type { Vector } from '@mesh/http1/vectors/vector';

/** By server and version: what it answered to each vector. */
export type Verdicts = Map<string, ReadonlyMap<Vector, string>>;

/** Statuses that say the message itself was not taken. */
const refusals = new Set(['400', '408', '411', '413', '414', '417', '426', '431', '501', '502', '505']);

/** How many requests were taken for such: answered with anything but a refusal. */
function taken(answer: string): number {
  return answer.split(' ').filter((status) => /^(\d{3}|0\.9)$/.test(status) && !refusals.has(status)).length;
}

function row(cells: readonly (string | number)[]): string {
  return `| ${cells.join(' | ')} |\n`;
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('`', "'");
}

export function differentialReport(vectors: readonly Vector[], verdicts: Verdicts): string {
  const servers = [...verdicts.keys()];
  const subjects = [...new Set(vectors.map(({ subject }) => subject))];
  /** Servers that take more requests than we do out of a vector that we refuse. */
  const takers = (vector: Vector): boolean[] =>
    servers.map((server) => {
      const count = taken(verdicts.get(server)?.get(vector) ?? '');
      return vector.ends in http1Faults && count > vector.sees.length;
    });
  let summary = row(['Subject', 'Vectors', ...servers]) + row(['---', '---:', ...servers.map(() => '---:')]);
  for (const subject of subjects) {
    const members = vectors.filter((vector) => vector.subject === subject);
    const found = members.map(takers);
    const totals = servers.map((_, index) => found.filter((each) => each[index]).length);
    summary += row([subject, members.length, ...totals]);
  }
  let detail =
    row(['Vector', 'RFC', 'We', ...servers]) + row(['---', '---', '---', ...servers.map(() => '---')]);
  for (const vector of vectors) {
    if (vector.subject.endsWith(' byte') || !takers(vector).includes(true)) continue;
    const answers = servers.map((server) => verdicts.get(server)?.get(vector) ?? '');
    detail += row([
      escaped(`${vector.subject}: ${vector.name}`),
      vector.rfc,
      `${vector.sees.length}, ${vector.ends}`,
      ...answers,
    ]);
  }
  return `# HTTP/1 beside other servers

Written by \`npm run differential\`, which sends the ${vectors.length} request vectors of \`packages/http1/src/vectors\` through our
forwarding path to each of these servers, and fails when one of them sees another number of requests than we do. None did:
through the forwarder alone, and through two sidecars and a gateway.

The tables are about the same bytes **sent to the servers directly**, without us: where they take more requests than we do. Each is
a message that our codec refuses with an error instead of passing it on. (What protocol detection does not take for HTTP/1 in the first
place goes on as opaque bytes, on a connection of its own, like all TCP.) nginx, Apache, lighttpd and h2o answer themselves; the
others forward to \`node:http\`, so their columns say what passes both. A server that answers before it has read the body, as lighttpd and
Varnish do, counts as taking what is wrong in it.

## How many vectors of a subject a server takes that we refuse

${summary}
## Which

"We" says how many requests we take, and how the connection ends. A server's column has the statuses it answered with; \`x\`: it closed
the connection; \`0.9\`: an answer without a head of HTTP/1; –: no answer.

${detail}`;
}
