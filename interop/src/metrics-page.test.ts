/** What the programs show is what docs/metrics.md says: it is generated from sources, and pages are what users read. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { send } from '@mesh/dataplane/testing/forwarding-rig';
import { listening } from '@mesh/testkit/servers';
import { startTwoClusters } from './testing/two-clusters.ts';

const reference = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
/** Name → kind and help. */
const documented = new Map(
  Array.from(
    reference.matchAll(/^\| `([a-z0-9_]+)` \| (\w+) \| (.*?) \| `/gm),
    ([, name = '', kind, help]) => [name, `${kind} ${help}`],
  ),
);

test('every metric of sidecar and gateway is documented, with its kind and meaning', async (t) => {
  const app = createServer((_, response) => response.end('ok'));
  const { port, caller, gateway, server } = await startTwoClusters(t, { app: await listening(t, app) });
  assert.equal((await send(port)).status, 200);
  for (const page of await Promise.all([caller.metrics(), gateway.metrics(), server.metrics()])) {
    const help = new Map(
      Array.from(page.matchAll(/^# HELP (\S+) (.*)$/gm), ([, name, text]) => [name, text]),
    );
    const shown = Array.from(page.matchAll(/^# TYPE (\S+) (\w+)$/gm), ([, name = '', kind]) => [
      name,
      `${kind} ${help.get(name)}`,
    ]);
    assert.ok(shown.length > 30, `${shown.length} metrics`);
    for (const [name = '', facts] of shown) assert.equal(documented.get(name), facts, name);
  }
});
