import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute, dirname, join } from 'node:path';
import { MeshError } from '@mesh/errors/mesh-error';
import { parse } from 'yaml';
import { type ExecPlugin, readExecPlugin } from './exec-plugin.ts';

/** How to reach one API server and as whom. */
export interface KubeConfig {
  /** `https://host:port`, without a trailing slash. */
  readonly server: string;
  /** PEM of the authorities that may sign the server's certificate; the system's when absent. */
  readonly ca?: string;
  /** The name the server's certificate must carry, when it differs from the host in `server`. */
  readonly serverName?: string;
  readonly token?: string;
  /** File that holds the token; read again whenever it changes, because kubelets rotate it. */
  readonly tokenFile?: string;
  /** PEM client certificate and key. */
  readonly clientCert?: string;
  readonly clientKey?: string;
  /** Command that gives a token or a client certificate, in place of the above. */
  readonly exec?: ExecPlugin;
  /** Unix socket to dial in place of the host in `server`; TLS and its checks stay the same. */
  readonly socketPath?: string;
  /** Namespace of the context, or of the pod. */
  readonly namespace: string;
}

interface InClusterOptions {
  environment?: Readonly<Record<string, string | undefined>>;
  /** Directory of the mounted token, ca.crt and namespace. */
  mount?: string;
}

/**
 * The configuration every pod is given: KUBERNETES_SERVICE_HOST and _PORT, and the service account mount.
 * @throws MeshError kubeconfig-invalid naming what is missing
 */
export function inCluster({
  environment = process.env,
  mount = '/var/run/secrets/kubernetes.io/serviceaccount',
}: InClusterOptions = {}): KubeConfig {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  const port = environment['KUBERNETES_SERVICE_PORT'];
  if (host === undefined || port === undefined) {
    throw new MeshError(
      'kubeconfig-invalid',
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set',
      {
        remedy: 'This program must run in a pod, or be given a kubeconfig.',
      },
    );
  }
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    ca: readMounted(join(mount, 'ca.crt')),
    tokenFile: join(mount, 'token'),
    namespace: readMounted(join(mount, 'namespace')).trim(),
  };
}

function readMounted(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new MeshError('kubeconfig-invalid', `cannot read ${file}`, {
      cause,
      remedy: 'The pod needs a mounted service account (automountServiceAccountToken).',
    });
  }
}

/** One section of a kubeconfig. */
type Section = Readonly<Record<string, unknown>>;

/** A section with the directory of the file it came from, which its paths are relative to. */
interface Placed {
  readonly section: Section;
  readonly directory: string;
}

/** What is not read, and what to do instead. Ignoring one of these would send requests elsewhere or as somebody else. */
const refused: Readonly<Record<'cluster' | 'user', Readonly<Record<string, string>>>> = {
  cluster: {
    'proxy-url':
      'The API server is dialled directly: remove proxy-url and name an address that is reachable.',
    'insecure-skip-tls-verify':
      "API servers are always verified: put the authority's PEM into certificate-authority-data, and the name of the certificate into tls-server-name when it differs from the address.",
  },
  user: {
    'auth-provider':
      'Kubernetes 1.26 removed it: use an exec credential plugin, which every provider ships in its place.',
    username:
      'Kubernetes 1.19 removed passwords: use a token, a client certificate or an exec credential plugin.',
    as: 'Impersonation is not supported: use credentials of the user who is meant.',
  },
};

/**
 * Reads one context of a kubeconfig, the current one when `context` is absent. Several files are merged as kubectl merges
 * the list in KUBECONFIG: files that do not exist are passed over, of two entries with one name the first counts. Paths in
 * a file are relative to it.
 * @throws MeshError kubeconfig-invalid naming the file, the context, the value and the remedy
 */
export function fromKubeconfig(path: string | readonly string[], context?: string): KubeConfig {
  return new Kubeconfig(typeof path === 'string' ? [path] : path).resolve(context);
}

class Kubeconfig {
  /** Every path that was asked for, as messages name it. */
  readonly #paths: string;
  readonly #files: readonly Placed[];

  constructor(paths: readonly string[]) {
    this.#paths = paths.join(', ');
    const present = paths.filter((path) => existsSync(path));
    // With none there, reading the first says why.
    this.#files = (present.length > 0 ? present : paths.slice(0, 1)).map(readFile);
  }

  get #current(): string | undefined {
    return this.#files
      .map(({ section }) => text(section['current-context']))
      .find((name) => name !== undefined);
  }

  resolve(wanted: string | undefined): KubeConfig {
    const name = wanted ?? this.#current;
    if (name === undefined) {
      const names = this.#names('contexts');
      throw new MeshError('kubeconfig-invalid', `kubeconfig ${this.#paths} has no current-context`, {
        remedy:
          names.length === 0 ? 'It has no context at all.' : `Name one with --context: ${names.join(', ')}`,
      });
    }
    const { section: context } = this.#find({ list: 'contexts', part: 'context', name, context: name });
    const cluster = this.#find({
      list: 'clusters',
      part: 'cluster',
      name: text(context['cluster']),
      context: name,
    });
    // A context without a user is one without credentials, as for kubectl.
    const userName = text(context['user']);
    const user =
      userName === undefined
        ? { section: {}, directory: cluster.directory }
        : this.#find({ list: 'users', part: 'user', name: userName, context: name });
    this.#refuse(name, 'cluster', cluster.section);
    this.#refuse(name, 'user', user.section);
    return {
      namespace: text(context['namespace']) ?? 'default',
      ...this.#cluster(name, cluster),
      ...this.#credentials(name, user, cluster),
    };
  }

  #cluster(context: string, placed: Placed): Pick<KubeConfig, 'server' | 'ca' | 'serverName'> {
    const { section } = placed;
    const server = text(section['server']);
    if (server === undefined || !/^https?:\/\//.test(server)) {
      throw this.#fault(context, `server ${JSON.stringify(section['server'])} is not an http(s) URL`);
    }
    const ca = this.#data(context, placed, 'certificate-authority');
    const serverName = text(section['tls-server-name']);
    return {
      server: server.replace(/\/+$/, ''),
      ...(ca !== undefined && { ca }),
      ...(serverName !== undefined && { serverName }),
    };
  }

  #credentials(context: string, placed: Placed, cluster: Placed): Partial<KubeConfig> {
    const { section, directory } = placed;
    const clientCert = this.#data(context, placed, 'client-certificate');
    const clientKey = this.#data(context, placed, 'client-key');
    if ((clientCert === undefined) !== (clientKey === undefined)) {
      throw this.#fault(context, 'client-certificate and client-key must come together');
    }
    const token = text(section['token']);
    const tokenFile = text(section['tokenFile']);
    const given = {
      ...(token !== undefined && { token }),
      ...(tokenFile !== undefined && { tokenFile: beside(directory, tokenFile) }),
      ...(clientCert !== undefined && { clientCert }),
      ...(clientKey !== undefined && { clientKey }),
    };
    // As for client-go, a token that is there makes the plugin superfluous.
    if (!isSection(section['exec']) || token !== undefined || tokenFile !== undefined) return given;
    const ca = this.#data(context, cluster, 'certificate-authority');
    const exec = readExecPlugin(section['exec'], {
      directory,
      cluster: { ...cluster.section, ...(ca !== undefined && { 'certificate-authority-data': ca }) },
    });
    if ('fault' in exec) throw this.#fault(context, exec.fault, exec.remedy);
    return { ...given, exec };
  }

  #entries(list: string): Placed[] {
    return this.#files.flatMap(({ section, directory }) => {
      const entries = section[list];
      return Array.isArray(entries)
        ? entries.filter(isSection).map((entry) => ({ section: entry, directory }))
        : [];
    });
  }

  #names(list: string): string[] {
    return [...new Set(this.#entries(list).map(({ section }) => text(section['name']) ?? ''))];
  }

  #find(wanted: { list: string; part: string; name: string | undefined; context: string }): Placed {
    const { list, part, name, context } = wanted;
    const entry = this.#entries(list).find(
      ({ section }) => name !== undefined && text(section['name']) === name,
    );
    const section = entry?.section[part];
    if (entry !== undefined && isSection(section)) return { section, directory: entry.directory };
    throw this.#fault(
      context,
      `there is no ${part} ${JSON.stringify(name)}`,
      `Known ${list}: ${this.#names(list).join(', ') || 'none'}.`,
    );
  }

  /** Inline base64 (`KEY-data`) or a file (`KEY`). */
  #data(context: string, { section, directory }: Placed, key: string): string | undefined {
    const inline = text(section[`${key}-data`]);
    if (inline !== undefined) return Buffer.from(inline, 'base64').toString('utf8');
    const file = text(section[key]);
    if (file === undefined) return undefined;
    const path = beside(directory, file);
    try {
      return readFileSync(path, 'utf8');
    } catch (cause) {
      throw new MeshError(
        'kubeconfig-invalid',
        `kubeconfig ${this.#paths}, context ${context}: cannot read ${key} ${path}`,
        { cause, remedy: `Put the PEM there, or its base64 into ${key}-data.` },
      );
    }
  }

  #refuse(context: string, part: 'cluster' | 'user', section: Section): void {
    for (const [key, remedy] of Object.entries(refused[part])) {
      const value = section[key];
      if (value === undefined || value === null || value === false || value === '') continue;
      const shown = typeof value === 'object' ? '' : ` ${JSON.stringify(value)}`;
      throw this.#fault(context, `${key}${shown} is not supported`, remedy);
    }
  }

  #fault(context: string, what: string, remedy?: string): MeshError {
    return new MeshError('kubeconfig-invalid', `kubeconfig ${this.#paths}, context ${context}: ${what}`, {
      remedy: remedy ?? 'Compare: kubectl config view --minify',
    });
  }
}

function readFile(path: string): Placed {
  let root: unknown;
  try {
    root = parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new MeshError('kubeconfig-invalid', `cannot read kubeconfig ${path}`, {
      cause,
      remedy: `It must be YAML that this user may read: kubectl config view --kubeconfig ${path}`,
    });
  }
  return { section: isSection(root) ? root : {}, directory: dirname(path) };
}

function beside(directory: string, file: string): string {
  return isAbsolute(file) ? file : join(directory, file);
}

function isSection(value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** As for kubectl, an empty value is an absent one. */
function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
