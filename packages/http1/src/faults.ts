import { type RequestFault, requestFaultText } from '@mesh/http/canonical';
import type { Http1LimitName } from './limits.ts';

/** Everything the parser refuses. Ambiguous input is never repaired: the connection ends with the fault. */
export type Http1Fault =
  | RequestFault
  | 'bad-request-line'
  | 'bad-status-line'
  | 'bad-version'
  | 'bad-field-name'
  | 'bad-field-value'
  | 'bare-line-feed'
  | 'obs-fold'
  | 'space-before-colon'
  | 'no-host'
  | 'several-hosts'
  | 'host-mismatch'
  | 'bad-content-length'
  | 'several-content-lengths'
  | 'length-and-chunked'
  | 'bad-transfer-encoding'
  | 'framing-lookalike'
  | 'bad-connection'
  | 'bad-expectation'
  | 'bad-upgrade'
  | 'bad-chunk-size'
  | 'bad-chunk-extension'
  | 'long-extension'
  | 'bad-chunk-end'
  | 'body-not-allowed'
  | 'method-too-long'
  | 'target-too-long'
  | 'head-too-large'
  | 'too-many-fields'
  | 'trailer-too-large'
  | 'too-many-extensions'
  | 'too-many-informational'
  | 'head-timeout';

interface FaultFacts {
  /** Status that a server answers with before it closes. */
  readonly status: 400 | 408 | 414 | 417 | 431 | 501 | 505;
  readonly text: string;
  /** The limit that was hit, if one was. */
  readonly limit?: Http1LimitName;
}

export const http1Faults: Readonly<Record<Http1Fault, FaultFacts>> = {
  'bad-method': { status: 400, text: requestFaultText['bad-method'] },
  'bad-scheme': { status: 400, text: requestFaultText['bad-scheme'] },
  'bad-authority': { status: 400, text: requestFaultText['bad-authority'] },
  'bad-path': { status: 400, text: requestFaultText['bad-path'] },
  'bad-request-line': { status: 400, text: 'the request line is not METHOD SP TARGET SP HTTP/1.x' },
  'bad-status-line': { status: 400, text: 'the status line is malformed' },
  'bad-version': { status: 505, text: 'the version is neither HTTP/1.1 nor HTTP/1.0' },
  'bad-field-name': { status: 400, text: 'a field name is not a token' },
  'bad-field-value': { status: 400, text: 'a field value holds a control character' },
  'bare-line-feed': { status: 400, text: 'a line does not end with CR LF' },
  'obs-fold': { status: 400, text: 'a line starts with white space' },
  'space-before-colon': { status: 400, text: 'there is white space between a field name and its colon' },
  'no-host': { status: 400, text: 'HTTP/1.1 needs one host field' },
  'several-hosts': { status: 400, text: 'there is more than one host field' },
  'host-mismatch': { status: 400, text: 'the host field differs from the request target' },
  'bad-content-length': { status: 400, text: 'content-length is not a plain decimal number' },
  'several-content-lengths': { status: 400, text: 'there is more than one content-length' },
  'length-and-chunked': { status: 400, text: 'there are both content-length and transfer-encoding' },
  'bad-transfer-encoding': {
    status: 400,
    text: 'transfer-encoding is not exactly chunked, once, in HTTP/1.1',
  },
  'framing-lookalike': { status: 400, text: 'content-length or transfer-encoding is spelled with _' },
  'bad-connection': { status: 400, text: 'the connection field is malformed or names a framing field' },
  'bad-expectation': { status: 417, text: 'the expectation is not 100-continue' },
  'bad-upgrade': { status: 400, text: 'the upgrade was not asked for' },
  'bad-chunk-size': { status: 400, text: 'a chunk size is not 1 to 8 hexadecimal digits' },
  'bad-chunk-extension': { status: 400, text: 'a chunk extension is malformed' },
  'bad-chunk-end': { status: 400, text: 'a chunk does not end with CR LF' },
  'body-not-allowed': { status: 400, text: 'a message without body announces one' },
  'method-too-long': { status: 501, text: 'the method is too long', limit: 'http1_method_bytes' },
  'target-too-long': { status: 414, text: 'the request target is too long', limit: 'http1_target_bytes' },
  'head-too-large': { status: 431, text: 'the head is too large', limit: 'http1_head_bytes' },
  'too-many-fields': { status: 431, text: 'there are too many fields', limit: 'http1_header_count' },
  'trailer-too-large': {
    status: 431,
    text: 'the trailer section is too large',
    limit: 'http1_trailer_bytes',
  },
  'long-extension': {
    status: 400,
    text: 'a chunk extension is too long',
    limit: 'http1_chunk_extension_bytes',
  },
  'too-many-extensions': {
    status: 400,
    text: 'there are too many chunk extensions',
    limit: 'http1_body_extension_bytes',
  },
  'too-many-informational': {
    status: 400,
    text: 'there are too many informational responses',
    limit: 'http1_informational_count',
  },
  'head-timeout': { status: 408, text: 'the head did not arrive in time', limit: 'http1_head_ms' },
};
