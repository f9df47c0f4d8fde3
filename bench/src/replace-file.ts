import { renameSync, writeFileSync } from 'node:fs';

/** Who reads it meanwhile sees the old text or the new one, never a part. */
export function replaceFile(file: string, text: string): void {
  writeFileSync(`${file}.next`, text);
  renameSync(`${file}.next`, file);
}
