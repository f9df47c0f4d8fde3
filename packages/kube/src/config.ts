import { readFileSync } from 'node:fs';
import { isAbsolute, dirname, join } from 'node:path';
import { MeshError } from '@mesh/errors/mesh-error';
import { parse } from 'yaml';

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

/** One named entry of a kubeconfig list, as far as we read it. */
type Section = Readonly<Record<string, unknown>>;

/**
 * Reads one context of a kubeconfig file; the current one when `context` is absent. Paths in the file are relative to
 * it. Credential plugins, proxies and skipped TLS verification are refused.
 * @throws MeshError kubeconfig-invalid naming the file and the context
 */
export function fromKubeconfig(path: string, context?: string): KubeConfig {
  return new Kubeconfig(path).resolve(context);
}

/** Names of the contexts in a kubeconfig file, and which one is current. */
export function kubeconfigContexts(path: string): { names: string[]; current: string | undefined } {
  const file = new Kubeconfig(path);
  return { names: file.names('contexts'), current: file.current };
}

class Kubeconfig {
  readonly #path: string;
  readonly #root: Section;

  constructor(path: string) {
    this.#path = path;
    let root: unknown;
    try {
      root = parse(readFileSync(path, 'utf8'));
    } catch (cause) {
      throw new MeshError('kubeconfig-invalid', `cannot read kubeconfig ${path}`, { cause });
    }
    this.#root = isSection(root) ? root : {};
  }

  get current(): string | undefined {
    const name = text(this.#root['current-context']);
    return name === '' ? undefined : name;
  }

  names(list: string): string[] {
    return this.#entries(list).map((entry) => text(entry['name']) ?? '');
  }

  resolve(wanted: string | undefined): KubeConfig {
    const name = wanted ?? this.current;
    if (name === undefined) {
      throw new MeshError('kubeconfig-invalid', `kubeconfig ${this.#path} has no current-context`, {
        remedy: `Name one of: ${this.names('contexts').join(', ')}`,
      });
    }
    const context = this.#find({ list: 'contexts', part: 'context', name, context: name });
    const cluster = this.#find({
      list: 'clusters',
      part: 'cluster',
      name: text(context['cluster']),
      context: name,
    });
    const user = this.#find({ list: 'users', part: 'user', name: text(context['user']), context: name });
    const server = text(cluster['server']);
    if (server === undefined || !/^https?:\/\//.test(server)) {
      throw this.#fault(name, `server ${JSON.stringify(cluster['server'])} is not an http(s) URL`);
    }
    this.#refuse(name, cluster, ['proxy-url', 'insecure-skip-tls-verify']);
    this.#refuse(name, user, ['exec', 'auth-provider', 'username']);
    const ca = this.#data(name, cluster, 'certificate-authority');
    const clientCert = this.#data(name, user, 'client-certificate');
    const clientKey = this.#data(name, user, 'client-key');
    if ((clientCert === undefined) !== (clientKey === undefined)) {
      throw this.#fault(name, 'client-certificate and client-key must come together');
    }
    const serverName = text(cluster['tls-server-name']);
    const token = text(user['token']);
    const tokenFile = text(user['tokenFile']);
    return {
      server: server.replace(/\/+$/, ''),
      namespace: text(context['namespace']) ?? 'default',
      ...(ca !== undefined && { ca }),
      ...(serverName !== undefined && { serverName }),
      ...(token !== undefined && { token }),
      ...(tokenFile !== undefined && { tokenFile: this.#beside(tokenFile) }),
      ...(clientCert !== undefined && { clientCert }),
      ...(clientKey !== undefined && { clientKey }),
    };
  }

  #entries(list: string): Section[] {
    const entries = this.#root[list];
    return Array.isArray(entries) ? entries.filter(isSection) : [];
  }

  #find(wanted: { list: string; part: string; name: string | undefined; context: string }): Section {
    const { list, part, name, context } = wanted;
    const entry = this.#entries(list).find((candidate) => text(candidate['name']) === name);
    const section = entry?.[part];
    if (isSection(section)) return section;
    throw this.#fault(
      context,
      `there is no ${part} ${JSON.stringify(name)}; ${list} in the file: ${this.names(list).join(', ') || 'none'}`,
    );
  }

  /** Inline base64 (`KEY-data`) or a file (`KEY`). */
  #data(context: string, section: Section, key: string): string | undefined {
    const inline = text(section[`${key}-data`]);
    if (inline !== undefined) return Buffer.from(inline, 'base64').toString('utf8');
    const file = text(section[key]);
    if (file === undefined) return undefined;
    try {
      return readFileSync(this.#beside(file), 'utf8');
    } catch (cause) {
      throw this.#fault(context, `cannot read ${key} ${this.#beside(file)}`, cause);
    }
  }

  #refuse(context: string, section: Section, keys: readonly string[]): void {
    for (const key of keys) {
      const value = section[key];
      if (value === undefined || value === null || value === false) continue;
      throw this.#fault(context, `${key} is not supported`);
    }
  }

  #beside(file: string): string {
    return isAbsolute(file) ? file : join(dirname(this.#path), file);
  }

  #fault(context: string, what: string, cause?: unknown): MeshError {
    return new MeshError('kubeconfig-invalid', `kubeconfig ${this.#path}, context ${context}: ${what}`, {
      cause,
      remedy: 'Use a token, a token file or a client certificate over verified TLS.',
    });
  }
}

function isSection(value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
