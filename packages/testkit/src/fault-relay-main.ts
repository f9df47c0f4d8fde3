/**
 * The relay as a process of its own, so that its work does not slow down what is measured:
 *
 *   node packages/testkit/src/fault-relay-main.ts '{"host":"127.0.0.1","port":8080,"listenPort":0}' '{"delayMs":40}'
 *
 * Prints one line with its port, then follows commands, one JSON object per line of its input:
 * `{"set":{"delayMs":10}}`, `{"toClient":{"bandwidth":1e6}}`, `{"toServer":{…}}`, `{"reset":true}`. Ends with its input.
 */
import { createInterface } from 'node:readline';
import { seededRandom } from '@mesh/clock/seeded';
import { systemClock } from '@mesh/clock/system';
import type { Impairment } from './delay-line.ts';
import { FaultRelay, type FaultRelayOptions } from './fault-relay.ts';

interface Command {
  set?: Partial<Impairment>;
  toServer?: Partial<Impairment>;
  toClient?: Partial<Impairment>;
  reset?: boolean;
}

const [target = '{}', impairment = '{}'] = process.argv.slice(2);
const options = JSON.parse(target) as Pick<FaultRelayOptions, 'host' | 'port' | 'listenPort' | 'bufferBytes'>;
const relay = new FaultRelay({ ...options, clock: systemClock, random: seededRandom(1) });
relay.set(JSON.parse(impairment) as Partial<Impairment>);
await relay.start();
process.stdout.write(`${relay.port}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as Command;
  if (command.set !== undefined) relay.set(command.set);
  if (command.toServer !== undefined) relay.setDirection('toServer', command.toServer);
  if (command.toClient !== undefined) relay.setDirection('toClient', command.toClient);
  if (command.reset === true) relay.reset();
}
await relay.kill();
