import type { Random } from '@mesh/clock/clock';

/** No vowels and no characters that look alike, as Kubernetes generates names. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';

/** Five characters for generateName and the like. */
export function randomSuffix(random: Random): string {
  return Array.from({ length: 5 }, () => alphabet[Math.floor(random.next() * alphabet.length)]).join('');
}
