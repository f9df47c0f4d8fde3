/** `npm run endurance -- churn`: an hour in which everything comes and goes. */
import { fileURLToPath } from 'node:url';
import { main } from '../endurance-program.ts';
import { churn } from './churn.ts';
import { isGood, markdown, reportOf } from './report.ts';

await main(fileURLToPath(import.meta.url), {
  name: 'churn',
  options: {
    minutes: { default: 60, most: 240 },
    rate: { default: 100, most: 1000 },
    seed: { default: 1, most: 1e9 },
  },
  async run(options, environment, facts) {
    const results = reportOf(await churn(options, environment), { ...facts, options });
    return { results, markdown: markdown(results), good: isGood(results) };
  },
});
