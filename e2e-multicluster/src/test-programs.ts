/**
 * Programs that scenarios run inside pods, as text for `node -e`: nothing but Node, so no bundle and no image.
 */

/**
 * Asks on behalf of a test, from inside a meshed pod: `GET /ask?url=U` gives the answer as JSON, `/tcp?host&port&send`
 * what a TCP peer answered, `/load?url&rate` starts a steady load and `/samples` ends it.
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
let pacer, samples = [], open = 0;
function load(url, rate) {
  pacer = setInterval(() => {
    const at = Date.now();
    open++;
    ask(url).then(({ status, headers, body }) => {
      open--;
      samples.push({ at, ms: Date.now() - at, status, cluster: headers['x-cluster'] ?? '', why: status === 200 ? '' : body });
    });
  }, 1000 / rate);
}
http.createServer(async (request, response) => {
  const url = new URL(request.url, 'http://probe');
  const of = (name) => url.searchParams.get(name) ?? '';
  let answer = { ok: true };
  if (url.pathname === '/ask') answer = await ask(of('url'), JSON.parse(of('headers') || '{}'));
  if (url.pathname === '/tcp') answer = await tcp(of('host'), Number(of('port')), of('send'));
  if (url.pathname === '/load') load(of('url'), Number(of('rate')));
  if (url.pathname === '/now') answer = samples.slice(-40);
  if (url.pathname === '/samples') {
    clearInterval(pacer);
    while (open > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    answer = samples;
    samples = [];
  }
  response.end(JSON.stringify(answer));
}).listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;

/** Says what it received: headers of this request, and how many connections and requests there were in all. */
export const echoProgram = `
const http = require('node:http');
let connections = 0, requests = 0;
const server = http.createServer((request, response) => {
  if (request.url === '/healthz') return response.end('ok');
  if (request.url === '/seen') return response.end(JSON.stringify({ connections, requests }));
  requests++;
  response.setHeader('x-cluster', process.env.CLUSTER);
  response.end(JSON.stringify({ cluster: process.env.CLUSTER, headers: request.headers }));
});
server.on('connection', () => { connections++; });
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
