/** Name constraints (RFC 5280 §4.2.1.10), enforced for DNS names; other forms are refused as leaf names anyway. */
import { contextTag, DerReader, onlyElement, tags } from './der.ts';
import { type GeneralName, nameFormOf } from './general-names.ts';

export interface NameConstraints {
  readonly critical: boolean;
  readonly permitted: readonly GeneralName[];
  readonly excluded: readonly GeneralName[];
}

/** Content of the extension; undefined when malformed. */
export function readNameConstraints(value: Buffer, critical: boolean): NameConstraints | undefined {
  const content = onlyElement(value, tags.sequence);
  if (content === undefined) return undefined;
  const reader = new DerReader(content);
  const permitted = readSubtrees(reader.optional(contextTag(0, true))?.content);
  const excluded = readSubtrees(reader.optional(contextTag(1, true))?.content);
  if (permitted === undefined || excluded === undefined || !reader.atEnd) return undefined;
  return { critical, permitted, excluded };
}

function readSubtrees(content: Buffer | undefined): GeneralName[] | undefined {
  const names: GeneralName[] = [];
  const reader = new DerReader(content ?? Buffer.alloc(0));
  while (!reader.atEnd) {
    const subtree = reader.next(tags.sequence);
    // minimum and maximum must be 0 and absent (RFC 5280), so in DER only the base may be there.
    const base = subtree === undefined ? undefined : new DerReader(subtree.content);
    const element = base?.next();
    const form = element === undefined ? undefined : nameFormOf(element.tag);
    if (element === undefined || form === undefined || base?.atEnd !== true) return undefined;
    names.push({ form, value: element.content });
  }
  return names;
}

/** True when `dnsName` (lower case) may appear below an authority with these constraints. */
export function permitsDnsName(constraints: NameConstraints, dnsName: string): boolean {
  const permitted = constraints.permitted.filter(({ form }) => form === 'dns');
  if (permitted.length > 0 && !permitted.some((base) => isWithin(dnsName, base))) return false;
  return !constraints.excluded.some((base) => base.form === 'dns' && isWithin(dnsName, base));
}

function isWithin(dnsName: string, base: GeneralName): boolean {
  const domain = base.value.toString('latin1').toLowerCase();
  // RFC 5280: the name itself and every name made by adding labels on the left. A leading dot, which OpenSSL takes
  // for "subdomains only", is read the same way.
  if (domain === '') return true;
  if (domain.startsWith('.')) return dnsName.endsWith(domain);
  return dnsName === domain || dnsName.endsWith(`.${domain}`);
}
