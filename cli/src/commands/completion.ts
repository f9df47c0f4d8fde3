import { MeshError } from '@mesh/errors/mesh-error';
import { type Command, command } from '../command.ts';

/** Words that may follow each prefix of a command, and the flags of whole commands. */
function choices(commands: readonly Command[]): Map<string, Set<string>> {
  const next = new Map<string, Set<string>>();
  const add = (prefix: string, word: string): void => {
    const words = next.get(prefix) ?? new Set();
    words.add(word);
    next.set(prefix, words);
  };
  for (const { name, flags } of commands) {
    const path = name.split(' ');
    path.forEach((word, index) => add(path.slice(0, index).join(' '), word));
    for (const flag of [...Object.keys(flags), 'help']) add(name, `--${flag}`);
  }
  return next;
}

function bash(commands: readonly Command[]): string {
  const cases = [...choices(commands)].map(
    ([prefix, words]) => `    "${prefix}") words="${[...words].join(' ')}" ;;`,
  );
  return `# bash completion for mesh; load with: source <(mesh completion bash)
_mesh() {
  local words="" path="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  while :; do
    case "$path" in
${cases.join('\n')}
      *) if [ -n "$path" ] && [ "$path" != "\${path% *}" ]; then path="\${path% *}"; continue; fi ;;
    esac
    break
  done
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _mesh mesh`;
}

function zsh(commands: readonly Command[]): string {
  return `# zsh completion for mesh; load with: source <(mesh completion zsh)
autoload -U +X bashcompinit && bashcompinit
${bash(commands)}`;
}

function fish(commands: readonly Command[]): string {
  const lines: string[] = ['# fish completion for mesh; load with: mesh completion fish | source'];
  for (const { name, summary, flags } of commands) {
    const path = name.split(' ');
    const last = path.at(-1) ?? '';
    const before = path.slice(0, -1);
    const at =
      before.length === 0 ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${before.join(' ')}`;
    lines.push(`complete -c mesh -f -n '${at}' -a ${last} -d '${summary.replace(/'/g, '')}'`);
    for (const [flag, { doc }] of Object.entries(flags)) {
      lines.push(
        `complete -c mesh -n '__fish_seen_subcommand_from ${last}' -l ${flag} -d '${doc.replace(/'/g, '')}'`,
      );
    }
  }
  return lines.join('\n');
}

const shells = { bash, zsh, fish };

export const completionCommand = (commands: () => readonly Command[]): Command =>
  command({
    name: 'completion',
    summary: 'Print completion for a shell',
    args: 'bash|zsh|fish',
    arity: [1, 1],
    flags: {},
    examples: ['source <(mesh completion bash)'],
    async run({ args: [shell = ''], output }) {
      const generate = Object.entries(shells).find(([name]) => name === shell)?.[1];
      if (generate === undefined) {
        throw new MeshError('cli-usage', `there is no completion for shell ${JSON.stringify(shell)}`, {
          remedy: 'Use one of: bash, zsh, fish',
        });
      }
      output.print(generate(commands()));
      return await Promise.resolve(undefined);
    },
  });
