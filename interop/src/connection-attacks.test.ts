/**
 * More connections than a listener takes: what is beyond is closed at once, silent or not, and counted on the page;
 * who was there before is served on.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { eventually } from '@mesh/testkit/eventually';
import { assertUnharmed, besideVictim } from '@mesh/testkit/victim';
import { startTwoClusters } from './testing/two-clusters.ts';
import { victimOf } from './testing/victim-request.ts';
import { startWitness } from './testing/witness.ts';

const most = 40;
const attackers = 5 * most;

/** What each says before it falls silent: half of a handshake, half of a request. */
const hello = '\x16\x03\x01';
const head = 'GET / HTTP/1.1\r\n';

test('connections beyond the cap of a listener are closed at once, and only those', async (t) => {
  const witness = await startWitness(t);
  const settings = { MESH_MAX_CONNECTIONS: String(most), MESH_DETECT_TIMEOUT: '60s' };
  const path = await startTwoClusters(t, {
    app: witness.port,
    environment: settings,
    gatewayEnvironment: { MESH_MAX_CONNECTIONS: String(most) },
  });
  for (const [name, port, openings, metrics] of [
    ['inbound', path.server.ports.inbound, ['', hello, head], path.server.metrics],
    ['outbound', path.caller.ports.outbound, ['', head], path.caller.metrics],
    ['gateway', path.gateway.port, ['', hello], path.gateway.metrics],
  ] as const) {
    await t.test(name, async (t) => {
      const request = victimOf(t, path);
      await request();
      const open = new Set<Socket>();
      t.after(() => {
        for (const socket of open) socket.destroy();
      });
      const attack = async (): Promise<void> => {
        for (let at = 0; at < attackers; at++) {
          const socket = connect({ host: '127.0.0.1', port });
          socket.on('error', () => {});
          socket.once('close', () => open.delete(socket));
          open.add(socket);
          socket.resume();
          socket.write(openings[at % openings.length] ?? '');
        }
        await eventually('the rest is closed', () => open.size < most);
      };
      assertUnharmed(await besideVictim(request, attack));
      // One is the victim's, or the proxy's that carries it.
      assert.ok(
        open.size >= most / 2,
        `${open.size} of the attackers are left, though there is room for ${most}`,
      );
      const hits = /^mesh_limit_hits_total\{limit="accepted_connections"\} (\d+)$/m.exec(await metrics());
      assert.ok(Number(hits?.[1]) >= attackers - most, `counted: ${hits?.[1]}`);
      for (const socket of open) socket.destroy();
      await eventually('there is room again', async () => {
        const socket = connect({ host: '127.0.0.1', port });
        socket.on('error', () => {});
        const stays = await new Promise((resolve) => {
          socket.once('close', () => resolve(false));
          socket.resume();
          setTimeout(resolve, 50, true);
        });
        socket.destroy();
        return stays;
      });
    });
  }
});
