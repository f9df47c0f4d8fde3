/** Completion scripts of the shells, from the same list of commands that help and dispatch read. */
import type { Command, Flag } from './command.ts';

/** Words that may follow each path of commands: further words, and the flags and fixed arguments of whole commands. */
function nextWords(commands: readonly Command[]): Map<string, Set<string>> {
  const next = new Map<string, Set<string>>();
  const add = (path: string, word: string): void => {
    const words = next.get(path) ?? new Set();
    words.add(word);
    next.set(path, words);
  };
  for (const command of commands) {
    const words = command.name.split(' ');
    words.forEach((word, index) => add(words.slice(0, index).join(' '), word));
    for (const argument of fixedArguments(command)) add(command.name, argument);
    for (const flag of [...Object.keys(command.flags), 'help']) add(command.name, `--${flag}`);
  }
  return next;
}

/** Of `bash|zsh|fish` the three words. */
function fixedArguments({ args = '' }: Command): string[] {
  return args.includes('|') ? args.split('|') : [];
}

function choicesOf(flag: Flag): readonly string[] {
  return flag.kind === 'text' ? (flag.choices ?? []) : [];
}

export function bashCompletion(commands: readonly Command[]): string {
  const words = [...nextWords(commands)].map(
    ([path, next]) => `      "${path}") words="${[...next].join(' ')}" ;;`,
  );
  const fixed: string[] = [];
  // What follows these is a file, or a name that only the user knows.
  const free = new Set<string>();
  for (const { name, flags } of commands) {
    for (const [flag, spec] of Object.entries(flags)) {
      if (spec.kind === 'boolean') continue;
      const choices = choicesOf(spec);
      if (choices.length === 0) free.add(`*" --${flag}"`);
      else fixed.push(`    "${name} --${flag}") words="${choices.join(' ')}" ;;`);
    }
  }
  return `# bash completion for mesh; load with: source <(mesh completion bash)
_mesh() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" words="" path="" word
  for word in "\${COMP_WORDS[@]:1:$((COMP_CWORD-1))}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  while :; do
    case "$path" in
${words.join('\n')}
      *) if [ "$path" != "\${path% *}" ]; then path="\${path% *}"; continue; fi ;;
    esac
    break
  done
  case "$path $previous" in
${fixed.join('\n')}
    ${[...free].join('|')}) COMPREPLY=(); return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _mesh mesh`;
}

export function zshCompletion(commands: readonly Command[]): string {
  return `# zsh completion for mesh; load with: source <(mesh completion zsh)
autoload -Uz compinit bashcompinit
(( $+functions[compdef] )) || compinit
bashcompinit
${bashCompletion(commands)}`;
}

export function fishCompletion(commands: readonly Command[]): string {
  const lines = [
    '# fish completion for mesh; load with: mesh completion fish | source',
    'function __mesh_path',
    '  set -l path',
    '  for word in (commandline -opc)[2..-1]',
    "    string match -q -- '-*' $word; or set -a path $word",
    '  end',
    "  string join ' ' -- $path",
    'end',
    'complete -c mesh -f',
  ];
  const described = new Map(commands.map(({ name, summary }) => [name, summary]));
  const offered = new Set<string>();
  const offer = (path: string, word: string, what = ''): void => {
    if (offered.has(`${path} ${word}`)) return;
    offered.add(`${path} ${word}`);
    const doc = what === '' ? '' : ` -d ${quote(what)}`;
    lines.push(`complete -c mesh -n ${quote(`test "$(__mesh_path)" = "${path}"`)} -a ${word}${doc}`);
  };
  for (const command of commands) {
    const { name, flags } = command;
    const words = name.split(' ');
    words.forEach((word, index) => {
      const path = words.slice(0, index).join(' ');
      offer(path, word, described.get(path === '' ? word : `${path} ${word}`));
    });
    for (const argument of fixedArguments(command)) offer(name, argument);
    const within = quote(`string match -qr '^${name}( |$)' -- "$(__mesh_path)"`);
    for (const [flag, spec] of Object.entries(flags)) {
      lines.push(`complete -c mesh -n ${within} -l ${flag}${fishValue(spec)} -d ${quote(spec.doc)}`);
    }
  }
  return lines.join('\n');
}

/** What fish offers after a flag. */
function fishValue(flag: Flag): string {
  if (flag.kind === 'boolean') return '';
  const choices = choicesOf(flag);
  if (choices.length > 0) return ` -xa ${quote(choices.join(' '))}`;
  return flag.value === 'FILE' || flag.value === 'DIR' ? ' -rF' : ' -x';
}

/** A single-quoted word of fish. */
function quote(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
