/** The client that h2specd tests: one GET of the URL it is given, whatever comes of it. */
import { connect } from 'node:net';
import { systemClock } from '@mesh/clock/system';
import { connectHttp2 } from '@mesh/http2/client';
import { http2Limits } from '@mesh/http2/limits';
import { requestHead, send } from '@mesh/http2/testing/exchange';
import { LimitLedger } from '@mesh/limits/limits';

const { hostname, port, pathname, host } = new URL(process.argv[2] ?? 'http://127.0.0.1:1/');
const socket = connect(Number(port), hostname, () => {
  const connection = connectHttp2(socket, { clock: systemClock, limits: new LimitLedger(http2Limits) });
  const answer = send(connection, requestHead(pathname, { authority: host }));
  // A moment for frames behind the answer, which the suite sends to see what becomes of them.
  void answer.done.then(() => systemClock.after(1000, () => connection.destroy()));
});
socket.on('error', () => {});
