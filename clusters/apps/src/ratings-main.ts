/** The ratings service, over gRPC on PORT (default 9000). */
import { Server, ServerCredentials, status, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import { here } from './http-app.ts';
import { ratingsService, type Rating, type RatingRequest } from './ratings.ts';

const stars: Readonly<Record<string, number>> = { tea: 5, pot: 4, cup: 3 };

const server = new Server();
server.addService(ratingsService, {
  get(call: ServerUnaryCall<RatingRequest, Rating>, done: sendUnaryData<Rating>) {
    const { sku } = call.request;
    const found = stars[sku];
    if (found === undefined) done({ code: status.NOT_FOUND, details: `no rating for ${sku}` });
    else done(null, { sku, stars: found, ...here });
  },
});
server.bindAsync(
  `0.0.0.0:${process.env['PORT'] ?? '9000'}`,
  ServerCredentials.createInsecure(),
  (failure) => {
    if (failure !== null) throw failure;
  },
);
process.once('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
