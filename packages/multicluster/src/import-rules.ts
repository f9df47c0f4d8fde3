/**
 * A peer is untrusted input: what of its export records may become objects here.
 */
import { importLimits } from './limits.ts';
import { ownPrefixes } from './names.ts';
import { opaquePortsAnnotation } from './workload-names.ts';

/** Labels and annotations outside these are dropped; so is whatever other controllers would act on. */
const copiedLabelPrefixes: readonly string[] = ['app.kubernetes.io/'];
const copiedLabels: ReadonlySet<string> = new Set(['app', 'component', 'tier', 'version']);
const copiedAnnotations: ReadonlySet<string> = new Set([opaquePortsAnnotation]);
const labelValue = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
const maxAnnotationBytes = importLimits.import_annotation_bytes.default;

/** Namespaces that no peer may reach into. */
export function isProtectedNamespace(namespace: string): boolean {
  return namespace.startsWith('kube-') || namespace === 'mesh' || namespace.startsWith('mesh-');
}

export function importableLabels(from: Readonly<Record<string, string>>): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(from)) {
    const known = copiedLabels.has(name) || copiedLabelPrefixes.some((prefix) => name.startsWith(prefix));
    if (known && !ownPrefixes.some((prefix) => name.startsWith(prefix)) && labelValue.test(value))
      kept[name] = value;
  }
  return kept;
}

export function importableAnnotations(from: Readonly<Record<string, string>>): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(from)) {
    if (copiedAnnotations.has(name) && value.length <= maxAnnotationBytes) kept[name] = value;
  }
  return kept;
}

/** Dotted-quad IPv4 as a number, or undefined. Leading zeros are refused: they mean octal to some readers. */
export function parseIPv4(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let address = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    address = address * 256 + Number(part);
  }
  return address;
}

/** Whether an IPv4 address lies in one of the CIDR blocks; malformed input never does. */
export function inCIDRs(address: string, blocks: readonly string[]): boolean {
  const value = parseIPv4(address);
  if (value === undefined) return false;
  return blocks.some((block) => {
    const [base = '', bits = ''] = block.split('/');
    const start = parseIPv4(base);
    const length = /^\d{1,2}$/.test(bits) ? Number(bits) : Number.NaN;
    if (start === undefined || !(length >= 0 && length <= 32)) return false;
    const size = 2 ** (32 - length);
    return Math.floor(value / size) === Math.floor(start / size);
  });
}
