/**
 * A steady, open-loop load: TARGET is asked RATE times a second whatever the answers take, and latency counts from
 * the moment a request was due. Every 200 ms one JSON line reports the requests that finished:
 * `{"load":[[dueMs, latencyMs, status, cluster], …]}` with dueMs on the wall clock and status 0 for no answer.
 */
import { Agent, get } from 'node:http';

const target = process.env['TARGET'] ?? 'http://frontend/cart';
const rate = Number(process.env['RATE'] ?? 100);
const timeoutMs = Number(process.env['TIMEOUT_MS'] ?? 5000);
const header = process.env['CLUSTER_HEADER'] ?? 'x-cart-cluster';

const agent = new Agent({ keepAlive: true, maxSockets: 256 });
type Sample = [dueMs: number, latencyMs: number, status: number, cluster: string];
let finished: Sample[] = [];

function ask(due: number): void {
  let done = false;
  const finish = (status: number, cluster: string): void => {
    if (done) return;
    done = true;
    finished.push([Math.round(due * 10) / 10, Math.round((Date.now() - due) * 10) / 10, status, cluster]);
  };
  const request = get(target, { agent, timeout: timeoutMs }, (response) => {
    response.resume();
    response.on('end', () => finish(response.statusCode ?? 0, String(response.headers[header] ?? '')));
    response.on('error', () => finish(0, ''));
  });
  request.on('timeout', () => request.destroy());
  request.on('error', () => finish(0, ''));
}

const started = Date.now();
let sent = 0;
const pacer = setInterval(() => {
  const dueBy = ((Date.now() - started) * rate) / 1000;
  for (; sent < dueBy; sent++) ask(started + (sent * 1000) / rate);
}, 5);
const reporter = setInterval(() => {
  if (finished.length === 0) return;
  process.stdout.write(`${JSON.stringify({ load: finished })}\n`);
  finished = [];
}, 200);
process.once('SIGTERM', () => {
  clearInterval(pacer);
  clearInterval(reporter);
  process.exit(0);
});
