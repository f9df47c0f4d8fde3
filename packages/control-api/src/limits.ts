import type { LimitSpec } from '@mesh/limits/limits';

export const grpcLimits = {
  grpc_connections: {
    default: 20_000,
    unit: 'count',
    why: 'Open connections of one port of the control plane, those in a handshake included; more are closed at once. Each proxy needs one or two.',
  },
  grpc_message_bytes: {
    default: 4 * 1024 * 1024,
    unit: 'bytes',
    why: 'One gRPC message is held whole before it is parsed; a peer names its length in the first five bytes.',
  },
  grpc_request_bytes: {
    default: 1024 * 1024,
    unit: 'bytes',
    why: 'Request messages of all streams of a connection together, until each is complete: windows are returned at once, and who asks is not known to the identity service. The call that goes beyond ends with RESOURCE_EXHAUSTED.',
  },
  grpc_queued_messages: {
    default: 100,
    unit: 'count',
    why: 'Messages kept for a stream whose reader is slower than its writer; then the stream ends and the reader asks again.',
  },
  grpc_channel_connections: {
    default: 8,
    unit: 'count',
    why: 'Connections that one channel opens when the streams of the earlier ones are used up.',
  },
} as const satisfies Record<string, LimitSpec>;

export type GrpcLimit = keyof typeof grpcLimits;
