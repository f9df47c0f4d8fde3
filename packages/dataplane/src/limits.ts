import type { LimitSpec } from '@mesh/limits/limits';

/** Limits of the forwarding path; each has a counter under its name. */
export const dataplaneLimits = {
  accepted_connections: {
    default: 10_000,
    unit: 'count',
    why: 'Open connections of one listener of a sidecar, or of one worker of a gateway, those included that sent nothing yet; more are closed at once. Less where the process may not open so many files.',
  },
  queue_requests: {
    default: 10_000,
    unit: 'count',
    why: 'Requests that wait for an endpoint of one destination; more are shed with 503.',
  },
  in_flight_requests: {
    default: 10_000,
    unit: 'count',
    why: 'Requests and opaque connections to one destination that began and did not end; more are shed with 503, or refused where the client is a proxy.',
  },
  slow_body_bytes_per_s: {
    default: 256,
    unit: 'bytes',
    why: 'Where requests would be shed because too many are in flight, or wait because no connection to their endpoint may be opened, those end first whose body brought less than this per second (slow POST).',
  },
  slow_body_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'Time over which that is measured, once half of the requests that may be in flight are, or one waits for a connection.',
    uncounted: 'A setting of `slow_body_bytes_per_s`.',
  },
  answered_body_ms: {
    default: 5000,
    unit: 'ms',
    why: 'How long a request body may go on after its response is complete (401, 413); then its stream to the endpoint is reset, with HTTP/1 the connection, and the rest is dropped.',
  },
  connect_waiters: {
    default: 10_000,
    unit: 'count',
    why: 'Requests that wait for a connection to one endpoint; more are answered 503.',
  },
  replay_bytes: {
    default: 65_536,
    unit: 'bytes',
    why: 'Request body kept for sending it again; a longer body is forwarded but cannot be retried.',
  },
  http1_connections_per_endpoint: {
    default: 10_000,
    unit: 'count',
    why: 'HTTP/1 carries one request per connection; more requests wait for one to end, which a stream of events or a WebSocket may never do. So as many as there may be requests in flight, or less where the process may not open so many files.',
  },
  http2_connections_per_endpoint: {
    default: 100,
    unit: 'count',
    why: 'Further HTTP/2 connections are opened only when the streams of the others are used up, as many as carry what may be in flight; those that are leaving do not count.',
  },
  refused_tries: {
    default: 3,
    unit: 'count',
    why: 'How often one request is sent when endpoints refuse its stream unprocessed.',
  },
  discovered_targets: {
    default: 1000,
    unit: 'count',
    why: 'Destinations known at once, and addresses; an application that connects everywhere, or a peer that asks for every port, must not exhaust the proxy. The one not used for longest makes room; when all are in use, further services are refused.',
  },
  discovered_target_evictions: {
    default: 500,
    unit: 'count',
    why: 'Burst of destinations, and of addresses, that made room, a tenth of it more each second; meanwhile `discovered_targets` counts as all in use. Each is a stream of the control plane that is reset and another one that is opened.',
  },
  last_good_bytes: {
    default: 1_048_576,
    unit: 'bytes',
    why: 'Size of the file in which a sidecar or gateway keeps what the control plane said last; streams that do not fit are left out.',
  },
  last_good_wait_ms: {
    default: 1000,
    unit: 'ms',
    why: 'How long a sidecar or gateway that was restarted waits for the control plane before it goes by what that said before.',
  },
  first_looks_per_turn: {
    default: 2,
    unit: 'count',
    why: 'New connections whose first bytes are looked at in one turn of the event loop, where turns are long one for each millisecond; the others wait for the next ones.',
  },
  peer_log_lines: {
    default: 20,
    unit: 'count',
    why: 'Burst of log lines about clients that were refused, a tenth of it more each second; the others are counted in the next line (`leftOut`).',
  },
  failfast_outbound_ms: {
    default: 3000,
    unit: 'ms',
    why: 'How long outbound requests wait for a ready endpoint before all of them fail at once.',
  },
  failfast_inbound_ms: {
    default: 1000,
    unit: 'ms',
    why: 'How long inbound requests wait for the application to accept connections.',
  },
  connect_ms: { default: 1000, unit: 'ms', why: 'TCP connect and TLS handshake with an endpoint.' },
  peer_silence_ms: {
    default: 1500,
    unit: 'ms',
    why: 'Requests wait for a peer and it sent nothing, not even a PING acknowledgement: its connection is cut. Six round trips where that is longer.',
  },
  tcp_silence_ms: {
    default: 5000,
    unit: 'ms',
    why: 'Bytes are under way where no PING can ask, and the other kernel acknowledged none: the connection is cut. A reader that merely pauses goes on acknowledging.',
  },
  tcp_user_timeout_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'TCP_USER_TIMEOUT of HTTP/2 connections between proxies, for what is sent while no request waits.',
    uncounted: "The kernel's; what it ends is in `tcp_close_total` by its error.",
  },
  tcp_keep_alive_ms: {
    default: 10_000,
    unit: 'ms',
    why: 'Idle time after which the kernel asks whether the other end is still there.',
    uncounted: "The kernel's; what it ends is in `tcp_close_total` by its error.",
  },
  http1_pool_idle_ms: { default: 3000, unit: 'ms', why: 'Idle HTTP/1 connections are closed after this.' },
  expiry_lead_ms: {
    default: 600_000,
    unit: 'ms',
    why: 'How long before the expiry of a certificate the connections that it proved begin to end: HTTP is asked to leave, opaque ones end if quiet; a tenth of the time they had, where that is shorter. Hits are HTTP connections that were still open at the expiry and cut; `mesh_opaque_expired_total` counts the others.',
  },
  opaque_quiet_ms: {
    default: 5000,
    unit: 'ms',
    why: 'An opaque connection on which nothing came for so long is quiet.',
    uncounted: '`mesh_opaque_expired_total` with `moment="quiet"` counts.',
  },
  opaque_linger_ms: {
    default: 1000,
    unit: 'ms',
    why: 'Time for both ends of an opaque connection to close after its certificate ended it; then it is cut.',
  },
  connection_age_ms: {
    default: 3_600_000,
    unit: 'ms',
    why: 'Connections between proxies are replaced after this, so that revoked trust and new balance take effect.',
  },
} as const satisfies Record<string, LimitSpec>;

export type DataplaneLimit = keyof typeof dataplaneLimits;
