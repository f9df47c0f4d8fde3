/** Succeeds when a URL answers 200; run inside a pod. */
const response = await fetch(process.argv[2] ?? '', { signal: AbortSignal.timeout(2000) });
const text = await response.text();
if (!response.ok) {
  process.stderr.write(`${response.status} ${text}\n`);
  process.exitCode = 1;
}
