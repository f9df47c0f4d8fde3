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
