/** `npm run endurance -- dead-peers`: how soon a gateway is left that dies under load. */
import { fileURLToPath } from 'node:url';
import { main } from '../endurance-program.ts';
import { deadPeers } from './dead-peers.ts';
import { isGood, markdown, type Report } from './report.ts';

await main(fileURLToPath(import.meta.url), {
  name: 'dead-peers',
  options: {
    repeats: { default: 5, most: 100 },
    rate: { default: 200, most: 1000 },
  },
  async run(options, environment, facts) {
    const results: Report = { ...facts, options, found: await deadPeers(options, environment) };
    return { results, markdown: markdown(results), good: isGood(results) };
  },
});
