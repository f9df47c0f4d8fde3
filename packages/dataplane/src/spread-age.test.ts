import assert from 'node:assert/strict';
import type { TLSSocket } from 'node:tls';
import { test } from 'node:test';
import { createAnchor, createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { systemClock } from '@mesh/clock/system';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { CredentialStore } from '@mesh/trust/credentials';
import { dialTls } from '@mesh/trust/dial';
import { identityName } from '@mesh/trust/names';
import { controlLimits, ControlServer } from './control-server.ts';
import { SpreadAge } from './spread-age.ts';

void test('connections that came together leave one by one, over a tenth of their age', () => {
  const ages = new SpreadAge(3_600_000);
  const ends = Array.from({ length: 1000 }, () => ages.next()).sort((one, other) => one - other);
  assert.ok((ends[0] as number) >= 3_240_000 && ends.at(-1) === 3_600_000);
  // A thousand in six minutes: never more than ten in a second.
  for (let index = 10; index < ends.length; index++)
    assert.ok((ends[index] as number) - (ends[index - 10] as number) > 1000, `around ${ends[index]}`);
});

void test('a control server asks its callers to connect anew at different times', async (t) => {
  const clock = new FakeClock(systemClock.wall());
  const anchor = createAnchor({ clock });
  const issuer = createIssuer({ anchor, cluster: 'east', clock });
  const identity = identityName({ serviceAccount: 'cart', namespace: 'shop', cluster: 'east' });
  const credentials = new CredentialStore(
    issueCredentials({ issuer, anchorsPem: anchor.certificatePem, identity, clock }),
  );
  const server = new ControlServer({
    port: 0,
    host: '127.0.0.1',
    cluster: 'east',
    trustSuffix: 'mesh.local',
    credentials,
    clock,
    log: silentLogger,
    metrics: { call() {}, connections() {}, refused() {} },
    limits: controlLimits(),
    maxAgeMs: 10_000,
    services: [],
  });
  await server.start();
  t.after(() => server.stop());
  const callers: { socket: TLSSocket; bytes: number }[] = [];
  for (let index = 0; index < 4; index++) {
    const socket = await dialTls({
      host: '127.0.0.1',
      port: server.port,
      identity,
      alpn: ['h2'],
      credentials,
      clock,
      timeoutMs: 5000,
    });
    t.after(() => socket.destroy());
    const caller = { socket, bytes: 0 };
    socket.on('data', (chunk: Buffer) => (caller.bytes += chunk.length));
    callers.push(caller);
    await eventually('its SETTINGS', () => caller.bytes > 0);
  }
  const before = callers.map(({ bytes }) => bytes);
  clock.advance(9700);
  await eventually('some are told to leave', () => callers[1]?.bytes !== before[1]);
  const told = callers.map(({ bytes }, index) => bytes > (before[index] as number));
  assert.deepEqual(told, [false, true, false, true]);
});
