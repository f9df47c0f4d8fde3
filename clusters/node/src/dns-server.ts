import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '@mesh/clock/clock';
import {
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  TRUNCATED_RESPONSE,
  type Answer,
  type Packet,
} from 'dns-packet';
import type { DnsRecord, DnsZone } from './dns-zone.ts';
import { nodeLimits } from './limits.ts';

const ttlSeconds = 5;
/** RCODE values of RFC 1035 section 4.1.1. */
const rcode = { ok: 0, formatError: 1, noName: 3, notImplemented: 4 } as const;
const plainUdpBytes = 512;
const tcpIdleMs = nodeLimits.node_dns_tcp_ms.default;

/** Answers of `zone` to one message (RFC 1035); undefined when the message is not even a question to refuse. */
export function answerDns(zone: DnsZone, message: Buffer, transport: 'udp' | 'tcp'): Buffer | undefined {
  if (message.length < 12 || (message.readUInt8(2) & 0x80) !== 0) return undefined;
  const id = message.readUInt16BE(0);
  let query: Packet;
  try {
    query = decode(message);
  } catch {
    return encode({ type: 'response', id, flags: rcode.formatError });
  }
  const questions = query.questions ?? [];
  const [question] = questions;
  if (question === undefined || questions.length !== 1) {
    return encode({ type: 'response', id, flags: rcode.formatError });
  }
  const recursionDesired = message.readUInt16BE(2) & 0x0100;
  if (((message.readUInt8(2) >> 3) & 15) !== 0) {
    return encode({ type: 'response', id, flags: rcode.notImplemented | recursionDesired, questions });
  }
  const { exists, records, additional } = zone.answer(question.name, question.type);
  const owned = zone.owns(question.name);
  const edns = query.additionals?.find((record) => record.type === 'OPT');
  const limit = edns?.type === 'OPT' ? Math.max(plainUdpBytes, edns.udpPayloadSize) : plainUdpBytes;
  const extra: Answer[] =
    edns === undefined
      ? []
      : [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: 1232,
            extendedRcode: 0,
            ednsVersion: 0,
            flags: 0,
            flag_do: false,
            options: [],
          },
        ];
  const base: Packet = {
    type: 'response',
    id,
    flags: (exists ? rcode.ok : rcode.noName) | recursionDesired | (owned ? AUTHORITATIVE_ANSWER : 0),
    questions,
  };
  const full = encode({
    ...base,
    answers: records.map(toAnswer),
    authorities: records.length === 0 && owned ? [startOfAuthority(zone)] : [],
    additionals: [...additional.map(toAnswer), ...extra],
  });
  if (transport === 'tcp' || full.length <= limit) return full;
  return encode({ ...base, flags: (base.flags ?? 0) | TRUNCATED_RESPONSE, additionals: extra });
}

function toAnswer(record: DnsRecord): Answer {
  const { name } = record;
  switch (record.type) {
    case 'A':
      return { type: 'A', name, ttl: ttlSeconds, data: record.address };
    case 'SRV':
      return {
        type: 'SRV',
        name,
        ttl: ttlSeconds,
        data: { priority: 0, weight: 100, port: record.port, target: record.target },
      };
    default:
      return { type: record.type, name, ttl: ttlSeconds, data: record.target };
  }
}

/** Tells resolvers how long "no" holds: as short as "yes". */
function startOfAuthority(zone: DnsZone): Answer {
  return {
    type: 'SOA',
    name: zone.domain,
    ttl: ttlSeconds,
    data: {
      mname: `ns.dns.${zone.domain}`,
      rname: `hostmaster.${zone.domain}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86_400,
      minimum: ttlSeconds,
    },
  };
}

/** UDP and TCP on port 53 of one address. */
export class DnsServer {
  readonly #zone: DnsZone;
  readonly #clock: Clock;
  readonly #udp: UdpSocket = createSocket('udp4');
  readonly #tcp: Server;
  readonly #open: Set<Socket> = new Set();

  constructor(zone: DnsZone, clock: Clock) {
    this.#zone = zone;
    this.#clock = clock;
    this.#udp.on('message', (message, peer) => {
      const reply = answerDns(zone, message, 'udp');
      if (reply !== undefined) this.#udp.send(reply, peer.port, peer.address);
    });
    this.#udp.on('error', () => {});
    this.#tcp = createServer((socket) => this.#serve(socket));
  }

  /** Resolves to the port, which is the given one unless that is 0. */
  async listen(address: string, port = 53): Promise<number> {
    this.#tcp.listen(port, address);
    await once(this.#tcp, 'listening');
    const bound = this.#tcp.address();
    const actual = typeof bound === 'object' && bound !== null ? bound.port : port;
    this.#udp.bind(actual, address);
    await once(this.#udp, 'listening');
    return actual;
  }

  close(): void {
    this.#udp.close();
    this.#tcp.close();
    for (const socket of this.#open) socket.destroy();
  }

  /** Messages behind a two-byte length (RFC 1035 section 4.2.2). */
  #serve(socket: Socket): void {
    this.#open.add(socket);
    let buffered: Buffer = Buffer.alloc(0);
    const idle = this.#clock.after(tcpIdleMs, () => socket.destroy(), true);
    socket.on('error', () => {});
    socket.on('close', () => {
      idle.cancel();
      this.#open.delete(socket);
    });
    socket.on('data', (chunk: Buffer) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 2) {
        const length = buffered.readUInt16BE(0);
        if (buffered.length < 2 + length) return;
        const reply = answerDns(this.#zone, buffered.subarray(2, 2 + length), 'tcp');
        buffered = buffered.subarray(2 + length);
        if (reply === undefined) {
          socket.destroy();
          return;
        }
        const head = Buffer.alloc(2);
        head.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([head, reply]));
      }
    });
  }
}
