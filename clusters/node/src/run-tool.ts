import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { MeshError } from '@mesh/errors/mesh-error';
import { nodeLimits } from './limits.ts';

interface ToolOptions {
  /** Text for the tool's standard input. */
  input?: string;
}

/** Where Debian keeps network tools; an ordinary user's PATH often lacks the sbin directories. */
export const toolPath = '/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Runs a system tool to its end and gives its standard output.
 * @throws MeshError tool-failed with the tool's own words
 */
export async function runTool(command: readonly string[], { input = '' }: ToolOptions = {}): Promise<string> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: toolPath, LC_ALL: 'C' },
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  let code: unknown;
  try {
    [code] = await once(child, 'close');
  } catch (cause) {
    throw new MeshError('tool-failed', `cannot run ${program}`, {
      cause,
      remedy: 'apt-get install iproute2 iptables util-linux',
    });
  }
  if (code !== 0) {
    const words = Buffer.concat(err)
      .toString('utf8')
      .trim()
      .slice(0, nodeLimits.node_tool_output_bytes.default);
    throw new MeshError(
      'tool-failed',
      `${command.join(' ').slice(0, 200)} failed (${String(code)}): ${words}`,
    );
  }
  return Buffer.concat(out).toString('utf8');
}
