import type { Command, Flag } from './command.ts';

const intro = `mesh: a multi-cluster service mesh for Kubernetes

Usage:
  mesh COMMAND [FLAGS]
`;

/** The page of `mesh --help`, or of a group such as `mesh multicluster`. */
export function groupHelp(commands: readonly Command[], group: string): string {
  const within = commands.filter(({ name }) => group === '' || name.startsWith(`${group} `));
  const width = Math.max(...within.map(({ name }) => name.length));
  const lines = within.map(({ name, summary }) => `  ${name.padEnd(width)}   ${summary}`);
  const head = group === '' ? intro : `Usage:\n  mesh ${group} COMMAND [FLAGS]\n`;
  return `${head}\nCommands:\n${lines.join('\n')}\n\nmesh COMMAND --help shows the flags of a command.`;
}

export function commandHelp({ name, summary, args, details, flags, examples }: Command): string {
  const shown = Object.entries(flags).map(([flag, spec]) => [flagUsage(flag, spec), flagDoc(spec)] as const);
  shown.push(['-h, --help', 'Show this page.']);
  const width = Math.max(...shown.map(([usage]) => usage.length));
  const parts = [
    `${summary}\n`,
    `Usage:\n  mesh ${name}${args === undefined ? '' : ` ${args}`} [FLAGS]`,
    ...(details === undefined ? [] : [`\n${details}`]),
    `\nFlags:\n${shown.map(([usage, doc]) => `  ${usage.padEnd(width)}   ${doc}`).join('\n')}`,
    ...(examples === undefined
      ? []
      : [`\nExamples:\n${examples.map((example) => `  ${example}`).join('\n')}`]),
  ];
  return parts.join('\n');
}

function flagUsage(name: string, spec: Flag): string {
  return spec.kind === 'boolean' ? `    --${name}` : `    --${name} ${spec.value}`;
}

function flagDoc(spec: Flag): string {
  if (spec.kind === 'list') return `${spec.doc} May be repeated.`;
  if (spec.kind === 'boolean') return spec.doc;
  const { choices, default: fallback, doc } = spec;
  const among = choices === undefined ? '' : ` One of: ${choices.join(', ')}.`;
  return `${doc}${among}${fallback === undefined ? '' : ` Default: ${fallback}.`}`;
}
