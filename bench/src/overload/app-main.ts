/**
 * An application with a capacity: on the first port so many requests at a time, each taking so long, the others wait. On the
 * second port it turns everybody away at once, which is what the load generator is compared with.
 */
import { createServer } from 'node:http';
import { systemClock as clock } from '@mesh/clock/system';
import { appPorts } from '../contestants/contestant.ts';
import { workers, workMs } from './capacity.ts';

const waiting: (() => void)[] = [];
let busy = 0;

function next(): void {
  while (busy < workers && waiting.length > 0) {
    busy++;
    const answer = waiting.shift();
    clock.after(workMs, () => {
      busy--;
      answer?.();
      next();
    });
  }
}

createServer((_, response) => {
  waiting.push(() => response.end('served'));
  next();
}).listen(appPorts.http[0], '0.0.0.0');

createServer((_, response) => {
  response.writeHead(503, { 'content-length': 0 }).end();
}).listen(appPorts.http[1], '0.0.0.0');
