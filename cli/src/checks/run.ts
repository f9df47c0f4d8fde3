/**
 * Runs checks in order and says what is wrong, why, and what to do. A failed check marked `fatal` ends the run,
 * because what follows could only fail for the same reason.
 */
import { describeError, MeshError } from '@mesh/errors/mesh-error';
import type { Output } from '../output.ts';

export interface Check {
  description: string;
  /** A failure is shown but does not fail the run. */
  warning?: boolean;
  fatal?: boolean;
  /** Throws what is wrong; a MeshError's remedy is shown as the hint. */
  run(): Promise<void>;
}

export interface Category {
  name: string;
  checks: readonly Check[];
}

interface Result {
  description: string;
  result: 'success' | 'warning' | 'error';
  error?: string;
  hint?: string;
}

/** Exit code: 1 when a check that is no warning failed. */
export async function runChecks(
  categories: readonly Category[],
  { output, format }: { output: Output; format: string },
): Promise<number> {
  if (!['table', 'short', 'json'].includes(format)) {
    throw new MeshError('cli-usage', `--output ${JSON.stringify(format)} is not known`, {
      remedy: 'Use one of: table, short, json',
    });
  }
  const results: { categoryName: string; checks: Result[] }[] = [];
  let success = true;
  let stopped = false;
  for (const { name, checks } of categories) {
    if (stopped) break;
    const done: Result[] = [];
    results.push({ categoryName: name, checks: done });
    let headed = false;
    const head = (): void => {
      if (headed || format === 'json') return;
      headed = true;
      output.print(output.paint('bold', name));
      output.print('-'.repeat(name.length));
    };
    if (format === 'table') head();
    for (const check of checks) {
      const result = await runCheck(check);
      done.push(result);
      if (result.result === 'error') success = false;
      if (format === 'table' || (format === 'short' && result.result !== 'success')) {
        head();
        show(output, result);
      }
      if (result.result === 'error' && check.fatal === true) {
        stopped = true;
        break;
      }
    }
    if (headed) output.print('');
  }
  if (format === 'json') output.print(JSON.stringify({ success, categories: results }, undefined, 2));
  else
    output.print(
      `Status check results are ${success ? output.paint('green', '√') : output.paint('red', '×')}`,
    );
  return success ? 0 : 1;
}

async function runCheck({ description, warning, run }: Check): Promise<Result> {
  try {
    await run();
    return { description, result: 'success' };
  } catch (thrown) {
    const failed = { description, result: warning === true ? 'warning' : 'error' } as const;
    return thrown instanceof MeshError
      ? { ...failed, error: thrown.message, hint: thrown.remedy }
      : { ...failed, error: describeError(thrown) };
  }
}

function show(output: Output, { description, result, error, hint }: Result): void {
  const signs = {
    success: output.paint('green', '√'),
    warning: output.paint('yellow', '‼'),
    error: output.paint('red', '×'),
  };
  output.print(`${signs[result]} ${description}`);
  for (const line of (error ?? '').split('\n')) if (line !== '') output.print(`    ${line}`);
  if (hint !== undefined) output.print(`    hint: ${hint}`);
}
