/** Lists of ports in annotations: numbers, ranges and names, separated by commas. */

/** Whether `port`, which may also have a name, is in `list`. Entries that make no sense match nothing. */
export function portListed(list: string, port: number, name?: string): boolean {
  return list.split(',').some((raw) => {
    const entry = raw.trim();
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(entry);
    if (range === null) return name !== undefined && entry !== '' && entry === name;
    const first = Number(range[1]);
    return port >= first && port <= Number(range[2] ?? first);
  });
}

/** `list` without names: each is the number that it has, and what makes no sense is left out. For readers that know numbers alone. */
export function portNumbers(list: string, numberOf: (name: string) => number | undefined): string {
  const numbers: string[] = [];
  for (const raw of list.split(',')) {
    const entry = raw.trim();
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(entry);
    if (range === null) {
      const number = numberOf(entry);
      if (number !== undefined) numbers.push(String(number));
      continue;
    }
    const first = Number(range[1]);
    const last = Number(range[2] ?? first);
    if (first >= 1 && first <= last && last <= 65_535) numbers.push(entry);
  }
  return numbers.join(',');
}
