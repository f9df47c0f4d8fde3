/** Runs inside a network namespace whose every packet is then dropped; prints how a connection ends there. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setUserTimeout, tcpPath, type TcpPath } from '../socket-options.ts';

const server = createServer((socket) => socket.on('error', () => {}));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
await once(client, 'connect');
setUserTimeout(client, 600);
execFileSync('iptables', ['-A', 'INPUT', '-j', 'DROP']);
client.write('is anybody there?');
let last: TcpPath | undefined;
const look = setInterval(() => {
  last = tcpPath(client) ?? last;
}, 50);
client.on('error', (error: NodeJS.ErrnoException) => {
  clearInterval(look);
  process.stdout.write(JSON.stringify({ code: error.code, ...last }), () => process.exit());
});
