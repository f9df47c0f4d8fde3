/** What proxies answer themselves, as a gRPC client on the other side of them understands it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { eventually } from '@mesh/testkit/eventually';
import { Caller, startGrpcApplication } from './testing/grpc-application.ts';
import { payloadOf } from './testing/grpc-payload.ts';
import { startTwoClusters } from './testing/two-clusters.ts';

/** Repeats a call until it ends with `code`: tables and endpoints take a moment to arrive. */
async function endsWith(caller: Caller, code: status, details: RegExp): Promise<void> {
  await eventually(`calls end with ${status[code]}`, async () => {
    const ended = await caller.unary(payloadOf({}, 100_000));
    assert.equal(status[ended.code], status[code], ended.details);
    assert.match(ended.details, details);
    return true;
  });
}

test('gRPC: each refusal has its own status and says why', async (t) => {
  const application = await startGrpcApplication(t);
  const { port, gateway } = await startTwoClusters(t, {
    app: application.port,
    serverEnvironment: { MESH_INBOUND_DEFAULT_POLICY: 'cluster-authenticated' },
  });
  const caller = new Caller(t, port);
  await endsWith(caller, status.PERMISSION_DENIED, /admits only identities of its own cluster/);

  const cart = { namespace: 'shop', name: 'cart', ports: [{ name: 'http', port: 80 }] };
  gateway.setTable({ exports: [{ ...cart, allowedClusters: ['north'] }] });
  await endsWith(caller, status.PERMISSION_DENIED, /not exported to the cluster of the caller/);

  gateway.setTable({ exports: [] });
  await endsWith(caller, status.NOT_FOUND, /the service is not exported/);
});

test('gRPC: an application that is gone, and a service without endpoints, are UNAVAILABLE', async (t) => {
  const { port, east, caller: sidecar } = await startTwoClusters(t, { app: 1 });
  await endsWith(new Caller(t, port), status.UNAVAILABLE, /refused the request/);
  east.destination.service('10.0.0.2:80', 'empty.shop.svc.cluster.local', []);
  sidecar.dials = { host: '10.0.0.2', port: 80 };
  await endsWith(new Caller(t, port), status.UNAVAILABLE, /empty\.shop.* has no endpoints/);
});
