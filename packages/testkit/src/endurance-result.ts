import { writeFileSync } from 'node:fs';

/** True in the long form of a test. */
export const isEndurance: boolean = process.env['ENDURANCE'] === '1';

/** Hands what a long form found, each figure with its unit, to `npm run endurance`, which keeps it. Short forms keep nothing. */
export function keepResult(figures: Readonly<Record<string, string>>): void {
  const file = process.env['ENDURANCE_RESULT'];
  if (file !== undefined) writeFileSync(file, JSON.stringify(figures));
}
