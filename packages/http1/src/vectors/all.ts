import { chunkedVectors } from './chunked.ts';
import { connectionVectors } from './connection.ts';
import { contentLengthVectors } from './content-length.ts';
import { fieldVectors } from './fields.ts';
import { hostVectors } from './hosts.ts';
import { pipeliningVectors } from './pipelining.ts';
import { requestLineVectors } from './request-line.ts';
import { responseVectors } from './responses.ts';
import { targetVectors } from './targets.ts';
import { trailerVectors } from './trailers.ts';
import { transferEncodingVectors } from './transfer-encoding.ts';
import type { Vector } from './vector.ts';

export const requestVectors: readonly Vector[] = [
  ...requestLineVectors,
  ...targetVectors,
  ...hostVectors,
  ...fieldVectors,
  ...contentLengthVectors,
  ...transferEncodingVectors,
  ...chunkedVectors,
  ...trailerVectors,
  ...connectionVectors,
  ...pipeliningVectors,
];

export { responseVectors };
