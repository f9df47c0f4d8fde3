import test from 'node:test';
import { type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { assertGolden } from '@mesh/testkit/golden';
import { file_linkerd_destination } from './gen/linkerd/destination_pb.ts';
import { file_linkerd_grpc_route } from './gen/linkerd/grpc_route_pb.ts';
import { file_linkerd_http_route } from './gen/linkerd/http_route_pb.ts';
import { file_linkerd_http_types } from './gen/linkerd/http_types_pb.ts';
import { file_linkerd_identity } from './gen/linkerd/identity_pb.ts';
import { file_linkerd_inbound } from './gen/linkerd/inbound_pb.ts';
import { file_linkerd_meta } from './gen/linkerd/meta_pb.ts';
import { file_linkerd_net } from './gen/linkerd/net_pb.ts';
import { file_linkerd_opaque_route } from './gen/linkerd/opaque_route_pb.ts';
import { file_linkerd_outbound } from './gen/linkerd/outbound_pb.ts';
import { file_linkerd_tap } from './gen/linkerd/tap_pb.ts';
import { file_linkerd_tls_route } from './gen/linkerd/tls_route_pb.ts';
import { file_mesh_federation_v1_federation } from './gen/mesh/federation/v1/federation_pb.ts';
import { file_mesh_gateway_v1_gateway } from './gen/mesh/gateway/v1/gateway_pb.ts';

const files = [
  file_linkerd_net,
  file_linkerd_http_types,
  file_linkerd_meta,
  file_linkerd_identity,
  file_linkerd_destination,
  file_linkerd_http_route,
  file_linkerd_grpc_route,
  file_linkerd_opaque_route,
  file_linkerd_tls_route,
  file_linkerd_inbound,
  file_linkerd_outbound,
  file_linkerd_tap,
  file_mesh_gateway_v1_gateway,
  file_mesh_federation_v1_federation,
];

function describe(message: DescMessage): string[] {
  return [
    ...message.fields.map((field) => `${message.typeName} ${field.number} ${field.name} ${typeOf(field)}`),
    ...message.nestedMessages.flatMap(describe),
  ];
}

function typeOf(field: DescField): string {
  if (field.fieldKind === 'map') return `map ${ScalarType[field.mapKey]}`;
  const { fieldKind, scalar, message, enum: enumeration } = field;
  const type = message?.typeName ?? enumeration?.typeName ?? (scalar === undefined ? '' : ScalarType[scalar]);
  return fieldKind === 'list' ? `list ${type}` : type;
}

// Peers of another version, and foreign proxies, hold us to these numbers.
test('names, numbers and types of the wire contract change only on purpose', () => {
  const lines = files.flatMap((file) => [
    ...file.services.flatMap((service) =>
      service.methods.map(
        (method) =>
          `${service.typeName}/${method.name} ${method.methodKind} ${method.input.typeName} ${method.output.typeName}`,
      ),
    ),
    ...file.messages.flatMap(describe),
  ]);
  assertGolden(import.meta.url, 'contract.txt', `${lines.join('\n')}\n`);
});
