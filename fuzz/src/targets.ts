/** Everything that reads bytes of a peer. A new target is a file in `targets/` and a line here. */
import type { FuzzTarget } from './target.ts';
import { certificate, csr, der } from './targets/certificates.ts';
import { detect } from './targets/detect.ts';
import { grpcMessages } from './targets/grpc-messages.ts';
import { hpack, huffman } from './targets/hpack.ts';
import {
  authority,
  http1Chunks,
  http1Fields,
  http1Heads,
  http1Requests,
  http1Responses,
  requestTarget,
} from './targets/http1.ts';
import { http2Client, http2Server } from './targets/http2-connections.ts';
import { http2Frames } from './targets/http2-frames.ts';
import { clientHello } from './targets/client-hello.ts';
import { transportHeader } from './targets/transport-header.ts';

const targets: readonly FuzzTarget[] = [
  hpack,
  huffman,
  http2Frames,
  http2Server,
  http2Client,
  http1Requests,
  http1Responses,
  http1Chunks,
  http1Heads,
  http1Fields,
  authority,
  requestTarget,
  clientHello,
  der,
  certificate,
  csr,
  transportHeader,
  detect,
  grpcMessages,
];

export default targets;
