/** `io.linkerd.proxy.destination.Destination`: endpoints of a name, profile of an address. */
import { create, toBinary } from '@bufbuild/protobuf';
import { parseHostPort } from '@mesh/control-api/convert';
import {
  Destination,
  DestinationProfileSchema,
  type GetDestination,
  UpdateSchema,
} from '@mesh/control-api/gen/linkerd/destination_pb';
import { type GrpcRoutes, grpcService } from '@mesh/control-api/grpc-server';
import { frameMessage } from '@mesh/control-api/message-reader';
import type { GrpcSink } from '@mesh/control-api/response-sink';
import { GrpcError, grpcCode } from '@mesh/control-api/status';
import { labelOf } from '@mesh/kube/objects';
import { gatewayIdentity, type PeerIdentity } from '@mesh/trust/names';
import { parseContextToken } from './client-context.ts';
import { type Told, updatesBetween } from './endpoint-messages.ts';
import { nodeOf, type Resolution, type Scope, seenFrom } from './endpoints.ts';
import { profileOf, profileTopics } from './profile.ts';
import type { Services } from './services.ts';
import { parseTarget } from './target.ts';
import { streamValue } from './value-stream.ts';
import { zoneLabel } from './workload.ts';

export function destinationService(services: Services): GrpcRoutes<PeerIdentity> {
  const { cluster, trustSuffix } = services.settings;
  return grpcService(Destination, {
    get: (request, sink, { peer }) => {
      const isGateway = peer.name === gatewayIdentity(cluster, trustSuffix);
      get(services, { request, scope: isGateway ? 'local' : 'all' }, sink);
    },
    getProfile: (request, sink) => getProfile(services, request, sink),
  });
}

function get(
  { objects, registry, settings }: Services,
  { request, scope }: { request: GetDestination; scope: Scope },
  sink: GrpcSink<typeof UpdateSchema>,
): void {
  const target = parseTarget(request.path, settings.clusterDomain);
  if ('fault' in target) throw new GrpcError(grpcCode.invalidArgument, target.fault);
  // A service that is not there is followed as well: a stream that ended would leave a proxy what it knew before.
  const { nodeName } = parseContextToken(request.contextToken);
  const zone = zoneOf(objects, nodeName);
  let told: Told = { kind: 'nothing' };
  let writable = true;
  const publish = (): void => {
    // A slow reader is told later, in one step, of all that happened meanwhile.
    if (!writable) return;
    const next = seenFrom(watched.resolution, nodeName);
    if (told.kind === 'nothing') {
      writable = sink.sendFramed(firstWords(next, zone));
      told = next;
      return;
    }
    for (const update of updatesBetween(told, next, zone)) {
      // What belongs to one step is queued even when the first half did not leave yet.
      if (!sink.send(update)) writable = false;
    }
    told = next;
  };
  const watched = registry.watch(target, scope, publish);
  sink.onCancel(() => watched.stop());
  sink.onDrain(() => {
    writable = true;
    publish();
  });
  publish();
}

/** By zone; gone once nobody waits to send them. */
const words: WeakMap<Resolution, Map<string | undefined, WeakRef<Buffer>>> = new WeakMap();

/**
 * What a client is told first, as it goes out. Thousands may follow one target, and one that does not read may ask for it thousands of
 * times: all of them send the same bytes.
 */
function firstWords(resolution: Resolution, zone: string | undefined): Buffer {
  const byZone = words.get(resolution) ?? new Map<string | undefined, WeakRef<Buffer>>();
  words.set(resolution, byZone);
  const known = byZone.get(zone)?.deref();
  if (known !== undefined) return known;
  const updates = updatesBetween({ kind: 'nothing' }, resolution, zone);
  const framed = updates.map((update) => frameMessage(toBinary(UpdateSchema, create(UpdateSchema, update))));
  const whole = Buffer.concat(framed);
  byZone.set(zone, new WeakRef(whole));
  return whole;
}

function getProfile(
  { objects, notifier, settings }: Services,
  request: GetDestination,
  sink: GrpcSink<typeof DestinationProfileSchema>,
): void {
  const address = parseHostPort(request.path, 80);
  if (address === undefined) {
    throw new GrpcError(grpcCode.invalidArgument, `${JSON.stringify(request.path)} is not host:port`);
  }
  const zone = zoneOf(objects, parseContextToken(request.contextToken).nodeName);
  streamValue({
    sink,
    schema: DestinationProfileSchema,
    notifier,
    topics: () => profileTopics(objects, address, settings.clusterDomain),
    compute: () => {
      const profile = profileOf(objects, { address, clientZone: zone }, settings);
      return 'fault' in profile
        ? { kind: 'end', status: { code: grpcCode.failedPrecondition, message: profile.fault } }
        : { kind: 'value', value: profile };
    },
  });
}

function zoneOf(objects: Services['objects'], nodeName: string | undefined): string | undefined {
  const node = nodeOf(objects, nodeName);
  return node === undefined ? undefined : labelOf(node, zoneLabel);
}
