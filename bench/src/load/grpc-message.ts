/** A message of 100 bytes in gRPC's frame: flag, length, bytes. */
export const grpcMessage: Buffer = Buffer.concat([Buffer.from([0, 0, 0, 0, 100]), Buffer.alloc(100, 'm')]);

/** The application echoes on any. */
export const grpcPath = '/bench.Echo/Unary';
