import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { FuzzTarget } from './target.ts';

const root = resolve(import.meta.dirname, '..');

/** The seeds of a target and what is in its folder, in an order that is the same everywhere. */
export function readCorpus(target: FuzzTarget): Buffer[] {
  const folder = join(root, 'corpus', target.name);
  const files = existsSync(folder) ? readdirSync(folder).sort() : [];
  return [...target.seeds(), ...files.map((file) => readFileSync(join(folder, file)))];
}

/** Adds an input to the corpus of the repository; returns its path. */
export function saveInput(target: FuzzTarget, input: Buffer): string {
  return write(join(root, 'corpus', target.name), nameOf(input), input);
}

/** Keeps an input that failed; returns its path. */
export function saveCrash(target: string, input: Buffer): string {
  return write(join(root, 'crashes'), `${target}-${nameOf(input)}`, input);
}

function write(folder: string, name: string, input: Buffer): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(path, input);
  return path;
}

function nameOf(input: Buffer): string {
  return createHash('sha256').update(input).digest('hex').slice(0, 12);
}
