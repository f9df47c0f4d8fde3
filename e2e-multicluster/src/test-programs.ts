/**
 * Programs that scenarios run inside pods, as text for `node -e`: nothing but Node, so no bundle and no image.
 */

/**
 * Asks on behalf of a test, from inside a meshed pod: `GET /ask?url=U` gives the answer as JSON, `/tcp?host&port&send`
 * what a TCP peer answered, `/load?url&rate` starts a steady load of one or more URLs in turn (separated by spaces),
 * `/samples` ends it and gives the latest requests, `/outcome` ends it and gives its sums.
 */
export const probeProgram = `
const http = require('node:http'), net = require('node:net');
const agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
function ask(url, headers = {}) {
  return new Promise((resolve) => {
    const failed = (error) => resolve({ status: 0, headers: {}, body: String(error) });
    const request = http.get(url, { agent, headers, timeout: 8000 }, (response) => {
      let body = '';
      response.on('data', (chunk) => { body += chunk; });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
      response.on('error', failed);
    });
    request.on('timeout', () => request.destroy(new Error('no answer within 8 s')));
    request.on('error', failed);
  });
}
function tcp(host, port, send) {
  return new Promise((resolve) => {
    let got = '';
    const socket = net.connect(port, host, () => socket.end(send));
    socket.setTimeout(8000, () => socket.destroy(new Error('nothing within 8 s')));
    socket.on('data', (chunk) => { got += chunk; });
    socket.on('error', (error) => resolve({ error: String(error), got }));
    socket.on('close', () => resolve({ got }));
  });
}
let pacer, samples = [], failures = [], total = 0, slowest = 0, open = 0;
function send(url, at) {
  open++;
  ask(url).then(({ status, headers, body }) => {
    open--;
    const ms = Date.now() - at;
    const sample = { at, ms, status, cluster: headers['x-cluster'] ?? '', why: status === 200 ? '' : body };
    total++;
    slowest = Math.max(slowest, ms);
    if (status !== 200 && failures.length < 100) failures.push({ ...sample, url });
    samples.push(sample);
    if (samples.length > 20000) samples = samples.slice(10000);
  });
}
function load(urls, rate) {
  const start = Date.now();
  let sent = 0;
  pacer = setInterval(() => {
    for (const due = ((Date.now() - start) * rate) / 1000; sent < due; sent++) {
      send(urls[sent % urls.length], start + (sent * 1000) / rate);
    }
  }, 5);
}
async function end() {
  clearInterval(pacer);
  while (open > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  const ended = { samples, failures, total, slowest };
  samples = [], failures = [], total = 0, slowest = 0;
  return ended;
}
http.createServer(async (request, response) => {
  const url = new URL(request.url, 'http://probe');
  const of = (name) => url.searchParams.get(name) ?? '';
  let answer = { ok: true };
  if (url.pathname === '/ask') answer = await ask(of('url'), JSON.parse(of('headers') || '{}'));
  if (url.pathname === '/tcp') answer = await tcp(of('host'), Number(of('port')), of('send'));
  if (url.pathname === '/load') load(of('url').split(' '), Number(of('rate')));
  if (url.pathname === '/now') answer = samples.slice(-40);
  if (url.pathname === '/samples') answer = (await end()).samples;
  if (url.pathname === '/outcome') {
    const { failures, total, slowest } = await end();
    answer = { failures, total, slowest };
  }
  response.end(JSON.stringify(answer));
}).listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;

/** Says what it received: headers of this request, and how many requests there were in all, and bytes that were none. */
export const echoProgram = `
const http = require('node:http');
let garbage = 0, requests = 0;
const server = http.createServer((request, response) => {
  if (request.url === '/healthz') return response.end('ok');
  if (request.url === '/seen') return response.end(JSON.stringify({ garbage, requests }));
  requests++;
  response.setHeader('x-cluster', process.env.CLUSTER);
  response.end(JSON.stringify({ cluster: process.env.CLUSTER, headers: request.headers }));
});
server.on('clientError', (_, socket) => { garbage++; socket.destroy(); });
server.listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;

/** A line protocol where the server speaks first, which no detection could tell from silence. */
export const tcpProgram = `
const net = require('node:net');
net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.write('hello from ' + process.env.CLUSTER + '\\n');
  socket.on('error', () => {});
  socket.pipe(socket);
}).listen(9100);
process.on('SIGTERM', () => process.exit(0));
`;
