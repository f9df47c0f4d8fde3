/** Inbound verdicts and errors. */
import type { DetectedProtocol } from '@mesh/transport/detect';
import type { Counter, Family, Labels, MetricRegistry } from '@mesh/telemetry/metrics';
import type { RefusalReason } from '@mesh/trust/refusal';
import type { ConnectionError } from './connection-errors.ts';
import type { InboundRefusal } from './inbound-policy.ts';

export class InboundMetrics {
  readonly #httpAllowed: Family<Counter>;
  readonly #httpDenied: Family<Counter>;
  readonly #httpTerminated: Family<Counter>;
  readonly #tcpAllowed: Family<Counter>;
  readonly #tcpDenied: Family<Counter>;
  readonly #tcpTerminated: Family<Counter>;
  readonly #tlsRefused: Family<Counter>;
  readonly #errors: Family<Counter>;
  readonly #headers: Family<Counter>;

  constructor(registry: MetricRegistry) {
    const forgetful = { forgetful: true };
    this.#httpAllowed = registry.counter(
      'inbound_http_authz_allow_total',
      'Requests that the policy admitted.',
      forgetful,
    );
    this.#httpDenied = registry.counter(
      'inbound_http_authz_deny_total',
      'Requests that the policy refused.',
      forgetful,
    );
    this.#httpTerminated = registry.counter(
      'inbound_http_authz_terminate_total',
      'Requests under way that a change of the policy ended.',
      forgetful,
    );
    this.#tcpAllowed = registry.counter(
      'inbound_tcp_authz_allow_total',
      'Opaque connections that the policy admitted.',
      forgetful,
    );
    this.#tcpDenied = registry.counter(
      'inbound_tcp_authz_deny_total',
      'Opaque connections that the policy refused.',
      forgetful,
    );
    this.#tcpTerminated = registry.counter(
      'inbound_tcp_authz_terminate_total',
      'Open opaque connections that a change of the policy ended.',
      forgetful,
    );
    this.#tlsRefused = registry.counter(
      'mesh_tls_refused_total',
      'Clients refused during the TLS handshake, by named reason.',
      forgetful,
    );
    this.#errors = registry.counter('inbound_tcp_errors_total', 'Inbound connections that failed, by cause.');
    this.#headers = registry.counter(
      'inbound_tcp_transport_header_connections_total',
      'Connections with a transport header.',
      forgetful,
    );
  }

  httpAllowed(port: number, labels: Labels): Counter {
    return this.#httpAllowed.with({ target_port: String(port), ...labels });
  }

  httpDenied(reason: InboundRefusal, port: number, labels: Labels): Counter {
    return this.#httpDenied.with({ target_port: String(port), reason, ...labels });
  }

  httpTerminated(reason: InboundRefusal, port: number, labels: Labels): Counter {
    return this.#httpTerminated.with({ target_port: String(port), reason, ...labels });
  }

  tcpAllowed(port: number, labels: Labels): Counter {
    return this.#tcpAllowed.with({ target_port: String(port), ...labels });
  }

  tcpDenied(reason: InboundRefusal, port: number, labels: Labels): Counter {
    return this.#tcpDenied.with({ target_port: String(port), reason, ...labels });
  }

  tcpTerminated(reason: InboundRefusal, port: number, labels: Labels): Counter {
    return this.#tcpTerminated.with({ target_port: String(port), reason, ...labels });
  }

  tlsRefused(reason: RefusalReason, port: number): void {
    this.#tlsRefused.with({ direction: 'inbound', reason, target_port: String(port) }).add();
  }

  transportHeader(protocol: DetectedProtocol, port: number): void {
    this.#headers.with({ session_protocol: protocol, target_port: String(port) }).add();
  }

  error(error: ConnectionError): void {
    this.#errors.with({ error }).add();
  }
}
