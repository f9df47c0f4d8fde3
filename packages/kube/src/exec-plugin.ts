/**
 * Credential plugins of kubeconfigs: a command that prints an ExecCredential
 * (https://kubernetes.io/docs/reference/config-api/client-authentication.v1/, and v1beta1).
 */
import { spawn } from 'node:child_process';
import { isAbsolute, join } from 'node:path';
import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import type { LimitLedger } from '@mesh/limits/limits';
import type { KubeLimit } from './limits.ts';

const apiVersions = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'] as const;
const interactiveModes = ['Never', 'IfAvailable', 'Always'] as const;

/** The `exec` section of a kubeconfig user. */
export interface ExecPlugin {
  readonly apiVersion: (typeof apiVersions)[number];
  /** A path, or a name that is looked up in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  /** Added to the environment of this process. */
  readonly env: Readonly<Record<string, string>>;
  readonly interactiveMode: (typeof interactiveModes)[number];
  /** What its user should do when the command is not there. */
  readonly installHint: string;
  /** `spec.cluster` of KUBERNETES_EXEC_INFO; absent without `provideClusterInfo`. */
  readonly cluster?: Readonly<Record<string, unknown>>;
}

/** What a plugin gave: a token, a client certificate, or both. */
export interface ExecCredential {
  readonly token?: string;
  /** PEM. */
  readonly clientCert?: string;
  readonly clientKey?: string;
  /** Wall-clock milliseconds; infinite without `expirationTimestamp`. */
  readonly expires: number;
}

interface Fault {
  readonly fault: string;
  readonly remedy?: string;
}

type Section = Readonly<Record<string, unknown>>;

interface Surroundings {
  /** Of the kubeconfig file, which a command with a slash is relative to. */
  readonly directory: string;
  /** The cluster's section, with `certificate-authority-data` as PEM. */
  readonly cluster: Section;
}

export function readExecPlugin(section: Section, { directory, cluster }: Surroundings): ExecPlugin | Fault {
  const apiVersion = oneOf(apiVersions, section['apiVersion']);
  if (apiVersion === undefined) {
    return {
      fault: `exec.apiVersion ${JSON.stringify(section['apiVersion'])} is not supported`,
      remedy: `Update the plugin and use one of: ${apiVersions.join(', ')}.`,
    };
  }
  const command = section['command'];
  if (typeof command !== 'string' || command === '') return { fault: 'exec.command is missing' };
  const { args = [], env = [] } = section;
  if (!isList(args) || !args.every((each) => typeof each === 'string')) {
    return { fault: 'exec.args is not a list of strings' };
  }
  const variables = readVariables(env);
  if (variables === undefined) return { fault: 'exec.env is not a list of name and value' };
  // v1 demands the field; v1beta1 had none at first.
  const mode = section['interactiveMode'] ?? (apiVersion.endsWith('v1beta1') ? 'IfAvailable' : undefined);
  const interactiveMode = oneOf(interactiveModes, mode);
  if (interactiveMode === undefined) {
    return {
      fault: `exec.interactiveMode ${JSON.stringify(mode)} is not known`,
      remedy: `Use one of: ${interactiveModes.join(', ')}.`,
    };
  }
  const hint = section['installHint'];
  return {
    apiVersion,
    command: command.includes('/') && !isAbsolute(command) ? join(directory, command) : command,
    args,
    env: variables,
    interactiveMode,
    installHint: typeof hint === 'string' ? hint.trim() : '',
    ...(section['provideClusterInfo'] === true && { cluster: clusterInfo(cluster) }),
  };
}

function readVariables(env: unknown): Record<string, string> | undefined {
  if (!isList(env)) return undefined;
  const variables: Record<string, string> = {};
  for (const each of env) {
    if (!isSection(each) || typeof each['name'] !== 'string' || typeof each['value'] !== 'string') {
      return undefined;
    }
    variables[each['name']] = each['value'];
  }
  return variables;
}

/** The members of `spec.cluster` that a kubeconfig that we accept can have. */
function clusterInfo(cluster: Section): Record<string, unknown> {
  const ca = cluster['certificate-authority-data'];
  const extensions = isList(cluster['extensions']) ? cluster['extensions'].filter(isSection) : [];
  const config = extensions.find(({ name }) => name === 'client.authentication.k8s.io/exec')?.['extension'];
  return {
    server: cluster['server'],
    'tls-server-name': cluster['tls-server-name'],
    'certificate-authority-data': typeof ca === 'string' ? Buffer.from(ca).toString('base64') : undefined,
    config,
  };
}

export interface ExecCredentialsOptions {
  clock: Clock;
  limits: LimitLedger<KubeLimit>;
  /** Of this process. */
  environment: Readonly<Record<string, string | undefined>>;
  /** True when a person can answer the plugin's questions on standard input. */
  interactive: boolean;
}

/** Runs the plugin when a credential is needed and none is at hand, once for all who wait for it. */
export class ExecCredentials {
  readonly #plugin: ExecPlugin;
  readonly #options: ExecCredentialsOptions;
  #current: ExecCredential | undefined;
  #pending: Promise<ExecCredential> | undefined;

  constructor(plugin: ExecPlugin, options: ExecCredentialsOptions) {
    this.#plugin = plugin;
    this.#options = options;
  }

  /** @throws MeshError credential-plugin naming the command and what went wrong */
  async get(): Promise<ExecCredential> {
    const current = this.#current;
    if (current !== undefined && this.#options.clock.wall() < current.expires) return current;
    this.#pending ??= this.#run().finally(() => {
      this.#pending = undefined;
    });
    return await this.#pending;
  }

  /** The API server did not accept `credential`: the next request asks the plugin again. */
  rejected(credential: ExecCredential): void {
    if (this.#current === credential) this.#current = undefined;
  }

  async #run(): Promise<ExecCredential> {
    const { apiVersion, interactiveMode } = this.#plugin;
    const { interactive } = this.#options;
    if (interactiveMode === 'Always' && !interactive) {
      throw this.#error('needs a person to answer it, and standard input is no terminal', {
        remedy: 'Run this on a terminal, or set interactiveMode: IfAvailable if the plugin can do without.',
      });
    }
    const printed = await this.#output(interactive && interactiveMode !== 'Never');
    const credential = parseCredential(printed, apiVersion);
    if ('fault' in credential) {
      throw this.#error(credential.fault, {
        remedy: `It must print an ExecCredential of ${apiVersion}; run it by hand with KUBERNETES_EXEC_INFO set to see what it prints.`,
      });
    }
    this.#current = credential;
    return credential;
  }

  /** What the command printed, once it ended with exit code 0. */
  #output(interactive: boolean): Promise<string> {
    const { apiVersion, args, cluster, command, env, installHint } = this.#plugin;
    const { clock, environment, limits } = this.#options;
    const spec = { ...(cluster !== undefined && { cluster }), interactive };
    const info = JSON.stringify({ apiVersion, kind: 'ExecCredential', spec });
    return new Promise((resolve, reject) => {
      // Prompts and hints reach the person at once; without a person they become part of the error.
      const child = spawn(command, [...args], {
        stdio: [interactive ? 'inherit' : 'ignore', 'pipe', interactive ? 'inherit' : 'pipe'],
        env: { ...environment, ...env, KUBERNETES_EXEC_INFO: info },
      });
      const out = new BoundedText(limits.values.kube_plugin_output_bytes);
      const said = new BoundedText(2000);
      const { kube_plugin_ms: mostMs } = limits.values;
      const timer = clock.after(mostMs, () => {
        limits.hit('kube_plugin_ms');
        child.kill('SIGKILL');
        reject(this.#error(`did not end within ${mostMs / 1000} s`, { said: said.text }));
      });
      child.stdout?.on('data', (chunk: Buffer) => {
        if (out.overflown || out.add(chunk)) return;
        limits.hit('kube_plugin_output_bytes');
        child.kill('SIGKILL');
      });
      child.stderr?.on('data', (chunk: Buffer) => void said.add(chunk));
      child.on('error', (cause: NodeJS.ErrnoException) => {
        timer.cancel();
        const missing = cause.code === 'ENOENT';
        const hint = installHint === '' ? 'Install it, or correct exec.command.' : installHint;
        reject(this.#error(missing ? 'was not found' : 'could not be started', { cause, remedy: hint }));
      });
      child.on('close', (code, signal) => {
        timer.cancel();
        if (out.overflown) {
          reject(this.#error(`printed more than ${limits.values.kube_plugin_output_bytes} bytes`));
        } else if (code === 0) resolve(out.text);
        else reject(this.#error(`ended with ${signal ?? `exit code ${code}`}`, { said: said.text }));
      });
    });
  }

  #error(
    what: string,
    { said = '', remedy, cause }: { said?: string; remedy?: string; cause?: unknown } = {},
  ): MeshError {
    const { args, command } = this.#plugin;
    const line = said.trim() === '' ? '' : `: ${said.trim()}`;
    return new MeshError('credential-plugin', `credential plugin ${command} ${what}${line}`, {
      remedy: remedy ?? `Run it by hand: ${[command, ...args].join(' ')}`,
      cause,
    });
  }
}

class BoundedText {
  readonly #most: number;
  readonly #chunks: Buffer[] = [];
  #size = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get overflown(): boolean {
    return this.#size > this.#most;
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }

  /** False when the text is full; what came too late is left out. */
  add(chunk: Buffer): boolean {
    this.#size += chunk.length;
    if (this.overflown) return false;
    this.#chunks.push(chunk);
    return true;
  }
}

/** `printed` is secret: faults never quote it. */
function parseCredential(printed: string, wanted: string): ExecCredential | Fault {
  let parsed: unknown;
  try {
    parsed = JSON.parse(printed);
  } catch {
    return { fault: `printed ${printed.trim() === '' ? 'nothing' : 'no JSON'}` };
  }
  if (!isSection(parsed) || parsed['kind'] !== 'ExecCredential') {
    return { fault: `printed kind ${shown(parsed, 'kind')}, not ExecCredential` };
  }
  if (parsed['apiVersion'] !== wanted) {
    return { fault: `printed apiVersion ${shown(parsed, 'apiVersion')}, the kubeconfig says ${wanted}` };
  }
  const status = parsed['status'];
  if (!isSection(status)) return { fault: 'printed an ExecCredential without status' };
  const token = textOf(status, 'token');
  const clientCert = textOf(status, 'clientCertificateData');
  const clientKey = textOf(status, 'clientKeyData');
  if ((clientCert === undefined) !== (clientKey === undefined)) {
    return { fault: 'printed only one of clientCertificateData and clientKeyData' };
  }
  if (token === undefined && clientCert === undefined) {
    return { fault: 'printed neither a token nor a client certificate' };
  }
  const timestamp = textOf(status, 'expirationTimestamp');
  const expires = timestamp === undefined ? Number.POSITIVE_INFINITY : Date.parse(timestamp);
  if (Number.isNaN(expires))
    return { fault: `printed expirationTimestamp ${shown(status, 'expirationTimestamp')}` };
  return {
    ...(token !== undefined && { token }),
    ...(clientCert !== undefined && { clientCert }),
    ...(clientKey !== undefined && { clientKey }),
    expires,
  };
}

function shown(value: unknown, key: string): string {
  return JSON.stringify(isSection(value) ? value[key] : undefined) ?? 'none';
}

function textOf(section: Section, key: string): string | undefined {
  const value = section[key];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function oneOf<const Choice extends string>(choices: readonly Choice[], value: unknown): Choice | undefined {
  return choices.find((choice) => choice === value);
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}

function isSection(value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
