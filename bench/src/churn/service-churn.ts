/** Services that come and go, and endpoints that come and go behind them. No address and no name is used twice. */
import type { Random } from '@mesh/clock/clock';
import type { HostPort } from '@mesh/control-api/convert';
import type { ServedService } from '../control-plane-table.ts';
import { appPorts } from '../contestants/contestant.ts';
import { type Cluster, namespace } from '../trust-material.ts';

/** Addresses of pods, all of them the server's: /16. */
export const podNetwork = '10.220.0.0/16';

export type Protocol = 'http1' | 'http2' | 'tcp';

/** Where clients connect to. */
export interface ClientTarget extends HostPort {
  readonly protocol: Protocol;
}

interface Service {
  readonly name: string;
  readonly clusterIp: string;
  readonly protocol: Protocol;
  /** Called through the gateway of the server's cluster, or at its pods. */
  readonly remote: boolean;
  readonly endpoints: HostPort[];
  readonly beganAt: number;
  /** Step at which the control plane forgets it; clients know it no longer. */
  endsAt: number | undefined;
}

const ports: Readonly<Record<Protocol, number>> = {
  http1: appPorts.http[0],
  http2: appPorts.grpc[0],
  tcp: appPorts.tcp[0],
};
const endpointsEach = 3;
/** Steps from one new pod, and from one new service, to the next. */
const newPodSteps = 2;
const newServiceSteps = 12;
/** Steps that a service is there before its clients know it. */
const announcedSteps = 3;
/** Steps that a service is still there for clients that know it: longer than a slow reader takes. */
const graceSteps = 15;

export class ServiceChurn {
  readonly #random: Random;
  readonly #gateway: { readonly endpoint: HostPort; readonly identity: string };
  readonly #podIdentity: string;
  #services: Service[] = [];
  #step = 0;
  #names = 0;
  #addresses = 0;

  constructor(options: {
    random: Random;
    /** Of the server's cluster. */
    gateway: { readonly endpoint: HostPort; readonly identity: string };
    podIdentity: string;
  }) {
    this.#random = options.random;
    this.#gateway = options.gateway;
    this.#podIdentity = options.podIdentity;
    for (const protocol of ['http1', 'http2', 'tcp'] as const) {
      for (const remote of [false, true]) this.#services.push(this.#service(protocol, remote));
    }
  }

  get targets(): ClientTarget[] {
    return this.#services
      .filter(
        ({ beganAt, endsAt }) =>
          endsAt === undefined && (beganAt === 0 || this.#step - beganAt >= announcedSteps),
      )
      .map(({ clusterIp: host, protocol }) => ({ host, port: 80, protocol }));
  }

  /** A pod goes and another one comes; now and then a service. */
  step(): void {
    this.#step++;
    if (this.#step % newPodSteps === 0) this.#replacePod();
    if (this.#step % newServiceSteps === 0) this.#succeed();
    this.#services = this.#services.filter(({ endsAt = Number.POSITIVE_INFINITY }) => endsAt > this.#step);
  }

  /** What the control plane of `cluster` says: pods in their own cluster, and the gateway elsewhere for remote services. */
  servedIn(cluster: Cluster): ServedService[] {
    return this.#services.map(({ name, clusterIp, protocol, remote, endpoints }) => ({
      name,
      clusterIp: `${clusterIp}:80`,
      opaque: protocol === 'tcp',
      endpoints:
        remote && cluster === 'east'
          ? [{ ...this.#gateway.endpoint, identity: this.#gateway.identity, authority: `${name}:80` }]
          : endpoints.map((endpoint) => ({ ...endpoint, identity: this.#podIdentity })),
    }));
  }

  #replacePod(): void {
    const service = this.#services[Math.floor(this.#random.next() * this.#services.length)];
    if (service === undefined) return;
    service.endpoints.shift();
    service.endpoints.push(this.#pod(service.protocol));
  }

  /** The oldest service is followed by one of its kind. */
  #succeed(): void {
    const oldest = this.#services.find(({ endsAt }) => endsAt === undefined);
    if (oldest === undefined) return;
    oldest.endsAt = this.#step + graceSteps;
    this.#services.push(this.#service(oldest.protocol, oldest.remote));
  }

  #service(protocol: Protocol, remote: boolean): Service {
    const number = ++this.#names;
    return {
      name: `cart-${number}.${namespace}.svc.cluster.local`,
      clusterIp: `10.96.${number >> 8}.${number & 255}`,
      protocol,
      remote,
      endpoints: Array.from({ length: endpointsEach }, () => this.#pod(protocol)),
      beganAt: this.#step,
      endsAt: undefined,
    };
  }

  #pod(protocol: Protocol): HostPort {
    const number = ++this.#addresses;
    return { host: `10.220.${(number >> 8) & 255}.${number & 255}`, port: ports[protocol] };
  }
}
