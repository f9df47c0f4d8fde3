/** Where a command writes: results on stdout, everything about them on stderr, colours only for a terminal. */
import type { Writable } from 'node:stream';

export type Colour = 'red' | 'green' | 'yellow' | 'blue' | 'bold' | 'dim';

const codes: Readonly<Record<Colour, readonly [number, number]>> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  bold: [1, 22],
  dim: [2, 22],
};

export interface Output {
  /** A line of the result. */
  print(line: string): void;
  /** A line about the result: progress, hints, warnings. */
  note(line: string): void;
  /** Coloured where the stream of notes and results is a terminal, plain elsewhere. */
  paint(colour: Colour, text: string): string;
  readonly interactive: boolean;
}

interface Terminal extends Writable {
  isTTY?: boolean;
}

interface OutputOptions {
  stdout: Terminal;
  stderr: Terminal;
  environment: Readonly<Record<string, string | undefined>>;
}

/** Honours NO_COLOR (https://no-color.org). */
export function terminalOutput({ stdout, stderr, environment }: OutputOptions): Output {
  const interactive = stdout.isTTY === true;
  const colours = interactive && (environment['NO_COLOR'] ?? '') === '' && environment['TERM'] !== 'dumb';
  return {
    print: (line) => void stdout.write(`${line}\n`),
    note: (line) => void stderr.write(`${line}\n`),
    paint(colour, text) {
      const [on, off] = codes[colour];
      return colours ? `\u001b[${on}m${text}\u001b[${off}m` : text;
    },
    interactive,
  };
}

const ansi = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');

/** Columns padded by three spaces, the way kubectl prints; the first is left-aligned, numbers look best right-aligned. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): string[] {
  const lines = [header, ...rows];
  const width = (cell: string): number => cell.replace(ansi, '').length;
  const widths = header.map((_, column) => Math.max(...lines.map((line) => width(line[column] ?? ''))));
  return lines.map((line) =>
    line
      .map((cell, column) => {
        const space = ' '.repeat((widths[column] ?? 0) - width(cell));
        return right.includes(column) ? space + cell : cell + space;
      })
      .join('   ')
      .trimEnd(),
  );
}
