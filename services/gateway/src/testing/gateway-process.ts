/** The gateway as the real program: a process of its own, with its workers, and a certificate from an identity service. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { goodToken, startIdentity } from '@mesh/dataplane/testing/identity-server';
import { eventually } from '@mesh/testkit/eventually';
import { startWest, TestTrust, type TestWest } from './test-west.ts';

const main = resolve(import.meta.dirname, '../main.ts');

interface LogLine {
  readonly msg: string;
  readonly [field: string]: unknown;
}

export interface GatewayProcess extends TestWest {
  /** The one that runs now. */
  readonly process: ChildProcess;
  readonly log: readonly LogLine[];
  /** Process ids of the workers that were started, in order. */
  workers(): number[];
  /** The identity service of the next one takes so long over a certificate. */
  slowIdentity(answersAfterMs: number): void;
}

/** Cluster west whose gateway runs as a process; resolves once it is ready. */
export async function startGatewayProcess(
  test: TestContext,
  environment: Readonly<Record<string, string>>,
): Promise<GatewayProcess> {
  const log: LogLine[] = [];
  let child: ChildProcess | undefined;
  const directory = mkdtempSync(join(tmpdir(), 'mesh-gateway-'));
  test.after(() => rmSync(directory, { recursive: true }));
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, goodToken);
  let answersAfterMs = 0;
  const west = await startWest(test, new TestTrust(), async (settings, trust) => {
    const earlierLines = log.length;
    const issuer = trust.issuer('west');
    const identity = await startIdentity(test, {
      cluster: 'west',
      issuer,
      anchorsPem: trust.anchor.certificatePem,
      answersAfterMs,
    });
    const started = spawn(process.execPath, [main], {
      env: {
        ...settings,
        MESH_IDENTITY_ADDR: `${identity.host}:${identity.port}`,
        MESH_TRUST_BUNDLE_ADDR: `${identity.host}:${identity.port}`,
        MESH_TOKEN_FILE: tokenFile,
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    child = started;
    createInterface({ input: started.stdout }).on('line', (line) => log.push(JSON.parse(line) as LogLine));
    const exited = once(started, 'exit');
    test.after(() => started.kill('SIGKILL'));
    const serves = await eventually(
      'the gateway serves',
      () => log.slice(earlierLines).find(({ msg }) => msg === 'gateway serves'),
      {
        timeoutMs: 60_000,
      },
    );
    return {
      port: Number(serves['port']),
      adminPort: Number(serves['adminPort']),
      async stop() {
        started.kill('SIGTERM');
        await exited;
      },
      async crash() {
        started.kill('SIGKILL');
        await exited;
      },
    };
  });
  // Its getters stay getters: ports and processes change with a restart.
  return Object.defineProperties(west, {
    process: { get: () => child },
    log: { value: log },
    slowIdentity: {
      value: (ms: number) => {
        answersAfterMs = ms;
      },
    },
    workers: {
      value: () => log.filter(({ msg }) => msg === 'worker started').map(({ pid }) => Number(pid)),
    },
  }) as GatewayProcess;
}
