import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { systemClock } from '@mesh/clock/system';
import { readConfig, text } from '@mesh/config/environment';
import { describeError } from '@mesh/errors/mesh-error';
import { World } from './world.ts';
import type { WorldPlan } from './world-plan.ts';

const worldConfig = {
  MESH_WORLD_PLAN: text({ doc: 'File with the plan of the world, written by the supervisor.' }),
};

const say = (words: object): void => {
  process.stdout.write(`${JSON.stringify(words)}\n`);
};

function fail(thrown: unknown): never {
  process.stderr.write(`${describeError(thrown)}\n`);
  process.exit(1);
}

async function main(): Promise<void> {
  const config = readConfig(worldConfig, process.env);
  const plan = JSON.parse(readFileSync(config.MESH_WORLD_PLAN, 'utf8')) as WorldPlan;
  const world = new World(plan, systemClock, say);
  const lines = createInterface({ input: process.stdin });
  // The supervisor holds the other end. However it dies, we end, and as process 1 take everything with us.
  lines.on('close', () => process.exit(0));
  const fabric = world.createFabric();
  lines.on('line', (line) => {
    const [verb, name = ''] = line.split(' ');
    void fabric
      .then(async () => {
        if (verb === 'start') world.startNode(name);
        else if (verb === 'cut') await world.cut(name);
        else if (verb === 'heal') await world.heal(name);
      })
      .catch(fail);
  });
  await fabric;
}

process.on('SIGTERM', () => process.exit(0));
process.on('SIGINT', () => {});
main().catch(fail);
