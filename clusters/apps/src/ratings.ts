/**
 * The ratings service's gRPC contract. Messages travel as JSON: gRPC fixes the framing, not the encoding, and the
 * shop stays readable without generated code.
 */
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';

export interface RatingRequest {
  sku: string;
}

export interface Rating {
  sku: string;
  stars: number;
  cluster: string;
  pod: string;
}

const encode = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const decode = <Message>(bytes: Buffer): Message => JSON.parse(bytes.toString('utf8')) as Message;

interface RatingsDefinition extends ServiceDefinition {
  get: MethodDefinition<RatingRequest, Rating>;
}

export const ratingsService: RatingsDefinition = {
  get: {
    path: '/shop.Ratings/Get',
    requestStream: false,
    responseStream: false,
    requestSerialize: encode,
    requestDeserialize: decode,
    responseSerialize: encode,
    responseDeserialize: decode,
  },
};
