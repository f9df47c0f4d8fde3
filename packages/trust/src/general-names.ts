/** GeneralName (RFC 5280 §4.2.1.6): the names a certificate or a signing request carries. */
import { contextTag, der, derSequence, DerReader, onlyElement, tags } from './der.ts';

export type NameForm = 'other' | 'email' | 'dns' | 'x400' | 'directory' | 'edi' | 'uri' | 'ip' | 'oid';

const forms: readonly NameForm[] = ['other', 'email', 'dns', 'x400', 'directory', 'edi', 'uri', 'ip', 'oid'];

export interface GeneralName {
  readonly form: NameForm;
  /** Bytes of the value, without tag; text for `email`, `dns` and `uri`. */
  readonly value: Buffer;
}

/** Form of a context tag; undefined for anything else. */
export function nameFormOf(tag: number): NameForm | undefined {
  return (tag & 0xc0) === 0x80 ? forms[tag & 0x1f] : undefined;
}

/** Content of a SAN extension; undefined when malformed. */
export function readGeneralNames(value: Buffer): GeneralName[] | undefined {
  const content = onlyElement(value, tags.sequence);
  if (content === undefined) return undefined;
  const names: GeneralName[] = [];
  const reader = new DerReader(content);
  while (!reader.atEnd) {
    const element = reader.next();
    const form = element === undefined ? undefined : nameFormOf(element.tag);
    if (element === undefined || form === undefined) return undefined;
    names.push({ form, value: element.content });
  }
  return names;
}

/** DER of a name whose form is not a sequence: `email`, `dns`, `uri`, `ip`. */
export function derGeneralName({ form, value }: GeneralName): Buffer {
  return der(contextTag(forms.indexOf(form), false), value);
}

/** GeneralName of the form dNSName. */
export function derDnsName(name: string): Buffer {
  return derGeneralName({ form: 'dns', value: Buffer.from(name, 'latin1') });
}

/** SAN extension value with one DNS name. */
export function derSubjectAltName(dnsName: string): Buffer {
  return derSequence(derDnsName(dnsName));
}

/** A name as text for a message: printable ASCII, cut to 120 characters. */
export function describeName({ form, value }: GeneralName): string {
  const text = form === 'ip' ? value.join('.') : value.toString('latin1');
  return `${form}:${text.replace(/[^\x21-\x7e]/g, '?').slice(0, 120)}`;
}
