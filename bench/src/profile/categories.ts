/** What a proxy was doing when a sample was taken, told from its stack. */
import type { Frame } from './stacks.ts';

/** In the order of tables: outermost work first, with what it holds. */
export const categories = {
  send: 'kernel: send',
  receive: 'kernel: receive',
  poll: 'kernel: epoll',
  kernel: 'kernel: other',
  tls: 'OpenSSL',
  node: 'Node and libuv',
  codec: 'our codecs',
  routing: 'routing, balancing, metrics',
  identity: 'identity checks',
  collector: 'garbage collector',
  engine: 'V8: compiler and rest',
} as const;

export type Category = keyof typeof categories;

/** Our own code, by folder. */
const packagesOf: readonly (readonly [RegExp, Category])[] = [
  [/\/packages\/(http|http1|http2|sockets)\//, 'codec'],
  [/\/packages\/(trust|ca)\//, 'identity'],
  [/\/(packages|services)\//, 'routing'],
];

const collector =
  /Scaveng|MarkCompact|Marking|Sweep|CollectGarbage|GarbageCollect|Evacuat|v8::internal::Heap::|GCTracer|GlobalHandles::.*(GC|Weak)/;
const openssl =
  /^_?_?(SSL|ssl|tls|TLS|EVP|evp|ossl|OSSL|BN|bn|EC|ec|ECDSA|ecdsa|ECDH|ecdh|ecp|AES|aes|aesni|gcm|GCM|sha\d*|SHA\d*|HMAC|X509|x509|ASN1|asn1|BIO|bio|CRYPTO|OPENSSL|ERR|err|rand|RAND|drbg|ctr|d2i|i2d|PEM|OBJ|PKCS|DER|WPACKET|PACKET|state|statem|sk|lh|x25519|curve25519|chacha|poly1305|ChaCha20|Poly1305|policy|chacha20|fe51|x25519|hkdf|KDF|MLKEM|ml|keccak|SHA3|Keccak)_/i;
const nodeItself = /^(non-virtual thunk to )?(node::|uv_|uv__|.*NodeBIO)/;
const systemCalls: readonly (readonly [RegExp, Category])[] = [
  [/sys_(write|writev|sendto|sendmsg|sendmmsg)\b/, 'send'],
  [/sys_(read|readv|recvfrom|recvmsg)\b/, 'receive'],
  [/sys_epoll/, 'poll'],
];

function isKernel({ object }: Frame): boolean {
  return object.startsWith('[') && object !== '[vdso]';
}

/** Compiled JavaScript, and the bytecode handlers that run in its name. */
function isJavaScript({ symbol }: Frame): boolean {
  return symbol.startsWith('JS:') || symbol.startsWith('Script:');
}

/** @param stack innermost frame first, at least one */
export function categoryOf(stack: readonly Frame[]): Category {
  const native = stack.findIndex((frame) => !isKernel(frame));
  const kernel = native === -1 ? stack : stack.slice(0, native);
  const program = native === -1 ? [] : stack.slice(native);
  if (program.some(({ symbol }) => collector.test(symbol))) return 'collector';
  if (kernel.length > 0) return kernelCategory(kernel);
  const script = program.findIndex(isJavaScript);
  const below = script === -1 ? program : program.slice(0, script);
  if (below.some(({ symbol }) => openssl.test(symbol))) return 'tls';
  if (below.some(({ symbol }) => nodeItself.test(symbol))) return 'node';
  return script === -1 ? 'engine' : scriptCategory(program[script]?.symbol ?? '');
}

function kernelCategory(kernel: readonly Frame[]): Category {
  for (const { symbol } of kernel) {
    for (const [pattern, category] of systemCalls) if (pattern.test(symbol)) return category;
  }
  return 'kernel';
}

function scriptCategory(symbol: string): Category {
  for (const [pattern, category] of packagesOf) if (pattern.test(symbol)) return category;
  return 'node';
}

/** The innermost function of ours or of Node's that a sample belongs to, as `name file:line`; undefined in none. */
export function functionOf(stack: readonly Frame[]): string | undefined {
  const frame = stack.find(isJavaScript);
  return frame?.symbol
    .replace(/^(JS|Script):[^a-zA-Z_#$ ]*/, '')
    .replace(/file:\/\/.*?\/(packages|services)\//, '$1/')
    .replace(/:\d+$/, '');
}
