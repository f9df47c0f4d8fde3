interface ConnectionErrorFacts {
  readonly meaning: string;
  readonly remedy: string;
}

const useProxy = 'Call through a proxy of the mesh.';

/** Why a sidecar ends a connection before it carries anything, or could not carry it; a metric label, so the set is closed. */
export const connectionErrors = {
  loop: {
    meaning: 'The connection was meant for a port of the sidecar itself.',
    remedy: 'Dial the port of the application; no pod needs those of a sidecar.',
  },
  'i/o': {
    meaning: 'Opaque bytes reached no endpoint, or not to the end.',
    remedy: 'Read the log line at level `debug`: it names the destination and the fault.',
  },
  'original destination unknown': {
    meaning: 'Outbound: nobody redirected the connection, so that nothing says where it was going.',
    remedy: 'Do not dial the outbound port; else look at the rules that `mesh-init` wrote.',
  },
  'too many destinations': {
    meaning: 'Outbound: `discovered_targets` destinations are in use.',
    remedy: 'See what the application dials; raise the limit if it means to.',
  },
  'too many ports': {
    meaning:
      'Inbound: `policy_ports` ports that MESH_INBOUND_PORTS does not name are in use, or are being scanned.',
    remedy:
      'Declare the port of the application in the pod (`containerPorts`); its policy is then always followed.',
  },
  'tls detection timeout': {
    meaning: 'Inbound, dialled on purpose: no ClientHello came in time.',
    remedy: useProxy,
  },
  'plaintext on a direct connection': {
    meaning: 'Inbound, dialled on purpose: the client speaks no TLS.',
    remedy: useProxy,
  },
  'direct connection without a transport header': {
    meaning: 'Inbound, dialled on purpose: mesh TLS without saying which port is meant.',
    remedy: useProxy,
  },
  'a sidecar is no gateway': {
    meaning: 'The transport header names a service.',
    remedy: 'Dial the gateway for a service of its cluster; discovery says which.',
  },
  'transport header timeout': { meaning: 'It did not come in time.', remedy: useProxy },
  'transport header ended': { meaning: 'The client ended its half in the middle of it.', remedy: useProxy },
  'transport header closed': { meaning: 'The client left in the middle of it.', remedy: useProxy },
  'transport header bad-preface': {
    meaning: 'The bytes are another protocol than ALPN promised.',
    remedy: useProxy,
  },
  'transport header too-long': { meaning: 'It is larger than 64 KiB.', remedy: useProxy },
  'transport header bad-message': { meaning: 'It is no protobuf message of its kind.', remedy: useProxy },
  'transport header bad-port': { meaning: 'It names no port from 1 to 65535.', remedy: useProxy },
  'transport header bad-name': { meaning: 'Its name is no DNS name.', remedy: useProxy },
  'transport header bad-session-protocol': {
    meaning: 'Its session protocol is neither HTTP/1 nor HTTP/2.',
    remedy: useProxy,
  },
  'transport header bad-client-id': { meaning: 'Its client is no DNS name.', remedy: useProxy },
  'transport header bad-hops': { meaning: 'It passed more gateways than there can be.', remedy: useProxy },
} as const satisfies Record<string, ConnectionErrorFacts>;

export type ConnectionError = keyof typeof connectionErrors;
