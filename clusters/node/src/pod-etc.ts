/** The files of /etc that differ per pod, as file name to content. */
export interface PodEtcOptions {
  hostname: string;
  address: string;
  namespace: string;
  dnsAddress: string;
  clusterDomain: string;
  /** Users that containers of the pod run as; each needs a name, because programs ask for it. */
  users: readonly { uid: number; gid: number }[];
  dnsPolicy: string;
  /** `spec.dnsConfig`, added to what the policy gives. */
  dnsConfig?:
    | { nameservers?: string[]; searches?: string[]; options?: { name?: string; value?: string }[] }
    | undefined;
  /** `spec.hostAliases`. */
  hostAliases?: readonly { ip: string; hostnames?: string[] }[] | undefined;
}

const knownUsers: ReadonlyMap<number, string> = new Map([
  [2102, 'mesh-proxy'],
  [2103, 'mesh'],
  [65534, 'nobody'],
]);

export function podEtc(options: PodEtcOptions): Map<string, string> {
  const { hostname, address, users } = options;
  const people = new Map<number, number>([
    [0, 0],
    [65534, 65534],
  ]);
  for (const { uid, gid } of users) people.set(uid, gid);
  const passwd: string[] = [];
  const groups = new Map<number, string>();
  for (const [uid, gid] of people) {
    const name = uid === 0 ? 'root' : (knownUsers.get(uid) ?? `u${uid}`);
    passwd.push(`${name}:x:${uid}:${gid}::${uid === 0 ? '/root' : '/tmp'}:/bin/sh`);
    groups.set(gid, gid === uid ? name : (groups.get(gid) ?? `g${gid}`));
  }
  const aliases = (options.hostAliases ?? []).map(
    ({ ip, hostnames = [] }) => `${ip}\t${hostnames.join('\t')}`,
  );
  return new Map([
    ['passwd', `${passwd.join('\n')}\n`],
    ['group', `${[...groups].map(([gid, name]) => `${name}:x:${gid}:`).join('\n')}\n`],
    [
      'hosts',
      `${['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost', `${address}\t${hostname}`, ...aliases].join('\n')}\n`,
    ],
    ['hostname', `${hostname}\n`],
    ['resolv.conf', resolvConf(options)],
    ['nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n'],
  ]);
}

function resolvConf({ namespace, dnsAddress, clusterDomain, dnsPolicy, dnsConfig }: PodEtcOptions): string {
  const own = dnsPolicy === 'None';
  const servers = [...(own ? [] : [dnsAddress]), ...(dnsConfig?.nameservers ?? [])];
  const searches = [
    ...(own ? [] : [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain]),
    ...(dnsConfig?.searches ?? []),
  ];
  const settings = new Map(own ? [] : [['ndots', '5']]);
  for (const { name, value } of dnsConfig?.options ?? [])
    if (name !== undefined) settings.set(name, value ?? '');
  const words = [...settings].map(([name, value]) => (value === '' ? name : `${name}:${value}`));
  return [
    ...servers.map((server) => `nameserver ${server}`),
    ...(searches.length === 0 ? [] : [`search ${searches.join(' ')}`]),
    ...(words.length === 0 ? [] : [`options ${words.join(' ')}`]),
    '',
  ].join('\n');
}
