/**
 * The iptables rules that send a pod's TCP through its proxy, as input for `iptables-restore --noflush`.
 *
 * Inbound: everything but the skipped ports goes to the inbound port. Outbound: everything but what the proxy itself
 * sends (by user id), loopback, and skipped ports and networks goes to the outbound port.
 */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

export interface RedirectOptions {
  readonly proxyUid: number;
  readonly inboundPort: number;
  readonly outboundPort: number;
  readonly skipInboundPorts: readonly PortRange[];
  readonly skipOutboundPorts: readonly PortRange[];
  /** IPv4 CIDRs. */
  readonly skipOutboundNetworks: readonly string[];
}

const inboundChain = 'MESH_INBOUND';
const outboundChain = 'MESH_OUTBOUND';

/**
 * @param saved what `iptables-save -t nat` prints now: jumps that are there already are not added again, so that a
 * restarted init container leaves one set of rules.
 */
export function renderRedirect(options: RedirectOptions, saved: string): string {
  const lines = ['*nat', `:${inboundChain} - [0:0]`, `:${outboundChain} - [0:0]`];
  for (const range of options.skipInboundPorts) lines.push(skipPort(inboundChain, range));
  lines.push(`-A ${inboundChain} -p tcp -j REDIRECT --to-ports ${options.inboundPort}`);
  lines.push(`-A ${outboundChain} -m owner --uid-owner ${options.proxyUid} -j RETURN`);
  lines.push(`-A ${outboundChain} -o lo -j RETURN`);
  for (const range of options.skipOutboundPorts) lines.push(skipPort(outboundChain, range));
  for (const network of options.skipOutboundNetworks)
    lines.push(`-A ${outboundChain} -d ${network} -j RETURN`);
  lines.push(`-A ${outboundChain} -p tcp -j REDIRECT --to-ports ${options.outboundPort}`);
  // Jumps last: no packet meets a chain that is not complete.
  for (const [from, to] of [
    ['PREROUTING', inboundChain],
    ['OUTPUT', outboundChain],
  ] as const) {
    if (!hasJump(saved, from, to)) lines.push(`-A ${from} -p tcp -j ${to}`);
  }
  lines.push('COMMIT', '');
  return lines.join('\n');
}

function skipPort(chain: string, { from, to }: PortRange): string {
  return `-A ${chain} -p tcp --dport ${from === to ? from : `${from}:${to}`} -j RETURN`;
}

function hasJump(saved: string, from: string, to: string): boolean {
  return saved
    .split('\n')
    .some((line) => line.startsWith(`-A ${from} `) && line.trimEnd().endsWith(`-j ${to}`));
}

/** `80` or `4000-4100`; undefined for anything else. */
export function parsePortRange(text: string): PortRange | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const from = Number(match[1]);
  const to = match[2] === undefined ? from : Number(match[2]);
  return from >= 1 && to <= 65_535 && from <= to ? { from, to } : undefined;
}

export function inRanges(ranges: readonly PortRange[], port: number): boolean {
  return ranges.some(({ from, to }) => port >= from && port <= to);
}
