import { describeName } from '@mesh/trust/general-names';
import { parseCsr } from '@mesh/trust/csr';

/** Larger requests are refused unread; one for a P-256 key and the longest name takes about 600 bytes. */
export const maxCsrBytes = 4096;

export interface CheckedRequest {
  /** DER of the public key to certify. */
  readonly spki: Buffer;
}

export interface RequestFault {
  readonly fault: string;
}

/**
 * Checks that a PKCS #10 request asks for exactly `identity` and nothing else: proof of possession, P-256, one DNS
 * name equal to it byte for byte, subject empty or the same name.
 */
export function checkCsr(der: Buffer, identity: string): CheckedRequest | RequestFault {
  if (der.length > maxCsrBytes)
    return { fault: `the request has ${der.length} bytes, at most ${maxCsrBytes} are read` };
  const request = parseCsr(der);
  if ('fault' in request) return request;
  const { names, commonName, spki } = request;
  const [only] = names;
  if (only === undefined) return { fault: 'the request names nobody' };
  if (names.length > 1) {
    return {
      fault: `the request has ${names.length} names: ${names.slice(0, 4).map(describeName).join(' ')}`,
    };
  }
  if (only.form !== 'dns' || !only.value.equals(Buffer.from(identity, 'latin1'))) {
    return { fault: `the request is for ${describeName(only)}, not for ${identity}` };
  }
  if (commonName !== undefined && commonName !== identity) {
    return { fault: 'the common name of the request is another name' };
  }
  return { spki };
}
