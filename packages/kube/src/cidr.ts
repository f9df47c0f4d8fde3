/** IPv4 addresses and prefixes as unsigned 32-bit numbers. */
export interface Cidr {
  /** First address of the prefix. */
  readonly base: number;
  /** Prefix length, 0 to 32. */
  readonly prefix: number;
}

/** A dotted quad as a number, or undefined when it is none. Leading zeros are refused, because tools disagree on octal. */
export function parseIp(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part)) return undefined;
    const octet = Number(part);
    if (octet > 255) return undefined;
    value = value * 256 + octet;
  }
  return value;
}

export function formatIp(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** `10.1.0.0/16`, or undefined when it is malformed or has bits set behind the prefix. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([\d.]+)\/(\d{1,2})$/.exec(text);
  const base = parseIp(match?.[1] ?? '');
  const prefix = Number(match?.[2] ?? 33);
  if (base === undefined || prefix > 32 || base % cidrSize({ base, prefix }) !== 0) return undefined;
  return { base, prefix };
}

/** Number of addresses in the prefix. */
export function cidrSize({ prefix }: Cidr): number {
  return 2 ** (32 - prefix);
}

export function cidrContains(cidr: Cidr, address: number): boolean {
  return address >= cidr.base && address < cidr.base + cidrSize(cidr);
}

/** Address number `index` of the prefix, as text. */
export function addressAt(cidr: Cidr, index: number): string {
  if (index < 0 || index >= cidrSize(cidr)) {
    throw new RangeError(`${formatIp(cidr.base)}/${cidr.prefix} has no address ${index}`);
  }
  return formatIp(cidr.base + index);
}

/** True when the two prefixes share an address. */
export function cidrsOverlap(one: Cidr, other: Cidr): boolean {
  return cidrContains(one, other.base) || cidrContains(other, one.base);
}

/** The fewest prefixes that have exactly the addresses of `cidrs`, in order. */
export function mergeCidrs(cidrs: readonly Cidr[]): Cidr[] {
  const merged: Cidr[] = [];
  for (const cidr of cidrs.toSorted((one, other) => one.base - other.base || one.prefix - other.prefix)) {
    const before = merged.at(-1);
    if (before !== undefined && cidrContains(before, cidr.base)) continue;
    merged.push(cidr);
    for (let joined = joinLast(merged); joined !== undefined; joined = joinLast(merged)) {
      merged.splice(-2, 2, joined);
    }
  }
  return merged;
}

/** What the last two are together, when they are the halves of one prefix. */
function joinLast(cidrs: readonly Cidr[]): Cidr | undefined {
  const [one, other] = cidrs.slice(-2);
  if (one === undefined || other?.prefix !== one.prefix) return undefined;
  const size = cidrSize(one);
  if (one.base + size !== other.base || one.base % (2 * size) !== 0) return undefined;
  return { base: one.base, prefix: one.prefix - 1 };
}

export function formatCidr({ base, prefix }: Cidr): string {
  return `${formatIp(base)}/${prefix}`;
}
