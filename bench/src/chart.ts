/** A chart of bars as SVG: CPU time per request and hop, for the cells that people ask for first. */
import { median } from './median.ts';
import { cpuOf } from './report.ts';
import { grouped, type Series } from './run.ts';

const shown: readonly { readonly cell: string; readonly connections: number; readonly title: string }[] = [
  { cell: 'plain', connections: 32, title: 'HTTP/1, one proxy' },
  { cell: 'mtls', connections: 32, title: 'mTLS pair, HTTP/1 – HTTP/2 – HTTP/1' },
  { cell: 'grpc', connections: 32, title: 'mTLS pair, gRPC unary' },
];
const colors: Readonly<Record<string, string>> = {
  ours: '#2563eb',
  haproxy: '#64748b',
  nginx: '#94a3b8',
  node: '#cbd5e1',
};
const otherColor = '#e2a94b';

const width = 760;
const labels = 130;
const values = 150;
const barHeight = 22;
const barGap = 6;
const groupGap = 30;
const titleHeight = 24;
const margin = 20;
const header = 68;

interface Bar {
  readonly name: string;
  readonly title: string;
  readonly micros: number;
}

interface Group {
  readonly title: string;
  readonly bars: readonly Bar[];
}

export function chart(series: readonly Series[]): string {
  const groups = groupsOf(series);
  const most = Math.max(1, ...groups.flatMap(({ bars }) => bars.map(({ micros }) => micros)));
  const parts: string[] = [];
  let y = header;
  for (const { title, bars } of groups) {
    parts.push(text(margin, y + 14, title, 'font-weight="600"'));
    y += titleHeight;
    const own = bars.find(({ name }) => name === 'ours')?.micros;
    for (const bar of bars) {
      parts.push(...drawBar(bar, y, { most, own }));
      y += barHeight + barGap;
    }
    y += groupGap;
  }
  const height = y - groupGap + margin;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="13" fill="#0f172a">
<rect width="${width}" height="${height}" fill="#ffffff"/>
${text(margin, margin + 10, 'CPU time per request and hop', 'font-size="17" font-weight="600"')}
${text(margin, margin + 28, 'µs from /proc, median; shorter is better. 32 connections, one thread each.', 'fill="#475569"')}
${parts.join('\n')}
</svg>
`;
}

function groupsOf(series: readonly Series[]): Group[] {
  const groups: Group[] = [];
  for (const { cell, connections, title } of shown) {
    const group = grouped(series).find(
      ([first]) => first?.cell.name === cell && first.connections === connections,
    );
    const bars = (group ?? [])
      .map((one): Bar => ({ name: one.contestant, title: one.title, micros: median(cpuOf(one)) }))
      .filter(({ micros }) => !Number.isNaN(micros));
    if (bars.length > 0) groups.push({ title, bars });
  }
  return groups;
}

function drawBar(
  { name, title, micros }: Bar,
  y: number,
  { most, own }: { most: number; own: number | undefined },
): string[] {
  const length = Math.max(2, ((width - labels - values - 2 * margin) * micros) / most);
  const start = margin + labels;
  const ratio = own === undefined || name === 'ours' ? '' : `, ours is ${(own / micros).toFixed(2)} ×`;
  return [
    text(start - 8, y + 15, title, `text-anchor="end"${name === 'ours' ? ' font-weight="600"' : ''}`),
    `<rect x="${start}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" rx="3" fill="${colors[name] ?? otherColor}"/>`,
    text(start + length + 8, y + 15, `${micros.toFixed(1)} µs${ratio}`, ''),
  ];
}

function text(x: number, y: number, content: string, attributes: string): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${escaped}</text>`;
}
