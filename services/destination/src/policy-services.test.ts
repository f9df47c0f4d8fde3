import assert from 'node:assert/strict';
import test from 'node:test';
import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { PortSpecSchema } from '@mesh/control-api/gen/linkerd/inbound_pb';
import { TrafficSpecSchema } from '@mesh/control-api/gen/linkerd/outbound_pb';
import type { GrpcCall, GrpcRoutes } from '@mesh/control-api/grpc-server';
import type { ResponseSink } from '@mesh/control-api/response-sink';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { sweptBytes } from '@mesh/testkit/retained-bytes';
import type { PeerIdentity } from '@mesh/trust/names';
import { Notifier } from './notifier.ts';
import { inboundPolicies, outboundPolicies } from './policy-services.ts';
import { TargetRegistry } from './target-registry.ts';
import { ModelCluster, modelSettings } from './testing/model-cluster.ts';

test('a stream that follows a policy does not keep the question, which may be as large as its sender likes', async () => {
  const notifier = new Notifier({ clock: new FakeClock(), delayMs: 20 });
  const objects = new ModelCluster();
  objects.pod({ name: 'cart-1', ip: '10.0.0.1' });
  objects.service({ name: 'cart', clusterIP: '10.96.0.1' });
  const registry = new TargetRegistry({ objects, notifier, settings: modelSettings });
  const services = { objects, notifier, registry, settings: modelSettings, linksKnown: () => true };
  let answers = 0;
  const follow = async (
    routes: GrpcRoutes<PeerIdentity>,
    path: string,
    question: MessageShape<DescMessage>,
  ): Promise<WeakRef<object>> => {
    const sink = {
      open: true,
      begin() {},
      send: () => ++answers > 0,
      end: () => assert.fail(),
      onCancel() {},
      onDrain() {},
    } as unknown as ResponseSink;
    const route = routes.get(path) ?? assert.fail(path);
    await route.run(question, sink, {} as GrpcCall<PeerIdentity>);
    return new WeakRef(question);
  };
  const workload = JSON.stringify({ ns: 'shop', pod: 'cart-1', padding: 'x'.repeat(1000) });
  const kept = [
    await follow(
      inboundPolicies(services),
      '/io.linkerd.proxy.inbound.InboundServerPolicies/WatchPort',
      create(PortSpecSchema, { workload, port: 80 }),
    ),
    await follow(
      outboundPolicies(services),
      '/io.linkerd.proxy.outbound.OutboundPolicies/Watch',
      create(TrafficSpecSchema, {
        target: { case: 'authority', value: 'cart.shop.svc.cluster.local:80' },
      }),
    ),
  ];
  assert.equal(answers, 2);
  await new Promise((resolve) => setImmediate(resolve));
  sweptBytes();
  assert.deepEqual(
    kept.map((question) => question.deref()),
    [undefined, undefined],
  );
  notifier.stop();
});
