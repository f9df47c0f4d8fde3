/** `npm run endurance -- overload`: three times what an application can do. */
import { fileURLToPath } from 'node:url';
import { main } from '../endurance-program.ts';
import { overload } from './overload.ts';
import { isGood, markdown, reportOf } from './report.ts';

await main(fileURLToPath(import.meta.url), {
  name: 'overload',
  options: { rounds: { default: 6, most: 100 }, seconds: { default: 10, most: 600 } },
  async run(options, environment, facts) {
    const results = reportOf(await overload(options, environment), { ...facts, options });
    return { results, markdown: markdown(results), good: isGood(results) };
  },
});
