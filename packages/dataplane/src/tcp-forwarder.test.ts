import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { silentLogger } from '@mesh/telemetry/log';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { dialTcp, listen } from '@mesh/testkit/servers';
import { ConnectError, type Connector, connectTcp } from './connector.ts';
import { OpaqueExpiry } from './opaque-expiry.ts';
import { forwardTcp } from './tcp-forwarder.ts';
import { rig, type RigOptions, spec } from './testing/forwarding-rig.ts';

/** A forwarder of opaque connections; `closed` has what each that ended ended with. */
async function setup(
  test: TestContext,
  { validMs, ...options }: RigOptions & { validMs?: number } = {},
  clock: FakeClock = new FakeClock(),
) {
  const { pool, peers, limits, registry } = await rig(test, { clock, ...options });
  const expiry = new OpaqueExpiry({ clock, log: silentLogger, registry, limits });
  const closed: string[] = [];
  const { port } = await listen(test, (socket) => {
    forwardTcp(socket, {
      clock,
      pool,
      peers,
      expiry,
      clientUntil: validMs === undefined ? Number.POSITIVE_INFINITY : clock.wall() + validMs,
      onClose: (fault) => closed.push(fault),
    });
  });
  const servers = async (count: number): Promise<{ ports: number[]; open: Socket[][] }> => {
    const open: Socket[][] = [];
    const ports: number[] = [];
    for (let index = 0; index < count; index++) {
      const sockets: Socket[] = [];
      open.push(sockets);
      ports.push(
        (await listen(test, (socket) => sockets.push(socket.on('data', (data) => socket.write(data))))).port,
      );
    }
    return { ports, open };
  };
  const echo = async (word: string): Promise<Socket> => {
    const socket = await dialTcp(test, port);
    socket.write(word);
    const [data] = (await once(socket, 'data')) as [Buffer];
    assert.equal(data.toString(), word);
    return socket;
  };
  return { clock, pool, limits, registry, expiry, closed, servers, echo, dial: () => dialTcp(test, port) };
}

void test('connections are spread by how many are open, not by how many there were', async (test) => {
  const { pool, servers, echo, closed } = await setup(test);
  const { ports, open } = await servers(2);
  pool.apply(
    ports.map((port) => spec(port)),
    { replace: true },
  );
  const sockets: Socket[] = [];
  for (let index = 0; index < 20; index++) sockets.push(await echo(`${index}`));
  const [one, other] = [...pool.members()];
  assert.equal(pool.inFlight, 20);
  assert.ok(
    (one?.inFlight ?? 0) >= 7 && (other?.inFlight ?? 0) >= 7,
    `${one?.inFlight} and ${other?.inFlight}`,
  );
  // All of the first server's end: the next ones are its.
  for (const socket of open[0] ?? []) socket.end();
  await eventually('they are gone', () => one?.inFlight === 0);
  const before = open[0]?.length ?? 0;
  for (let index = 0; index < 5; index++) sockets.push(await echo(`again ${index}`));
  assert.ok((open[0]?.length ?? 0) - before >= 4);
  for (const socket of sockets) socket.end();
  await eventually('all are gone', () => pool.inFlight === 0);
  assert.deepEqual(new Set(closed), new Set(['']));
});

void test('the time to connect is what an endpoint costs', async (test) => {
  const clock = new FakeClock();
  const connector: Connector = {
    connect: async (target) => {
      clock.advance(200);
      return await connectTcp(target, { clock, timeoutMs: 1000 });
    },
  };
  const { pool, servers, echo } = await setup(test, { connector }, clock);
  const { ports } = await servers(1);
  pool.apply([spec(ports[0] ?? 0)], { replace: true });
  (await echo('hello')).end();
  const [member] = [...pool.members()];
  assert.equal(member?.rttMs, 200);
});

void test('a connection that is refused goes to another endpoint, and stays away from the first', async (test) => {
  const { clock, pool, servers, echo } = await setup(test);
  const { ports } = await servers(1);
  pool.apply([spec(1), spec(ports[0] ?? 0)], { replace: true });
  for (let index = 0; index < 10; index++) (await echo(`${index}`)).end();
  assert.equal(pool.ready, 1);
  assert.equal(clock.now(), 0);
});

void test('an endpoint whose proxy refuses is dialled again with growing pauses, not as fast as it refuses', async (test) => {
  let dialled = 0;
  const connector: Connector = {
    connect: () => {
      dialled++;
      return Promise.reject(new ConnectError('10.0.0.1:4143: ECONNREFUSED', { kind: 'refused' }));
    },
  };
  const { clock, pool, dial, closed } = await setup(test, { connector, failfastMs: 3000 });
  pool.apply([spec(3306, { identity: 'cart', transportPort: 4143 })], { replace: true });
  await dial();
  await eventually('it is refused', () => dialled === 1 && pool.ready === 0 && pool.waiting === 1);
  for (let step = 0; step < 700 && closed.length === 0; step++) {
    clock.advance(10);
    await setImmediate();
  }
  assert.match(closed[0] ?? '', /ECONNREFUSED/);
  assert.ok(dialled >= 4 && dialled <= 7, `${dialled} times`);
});

void test('connections beyond the cap are closed at once and counted; room is made by those that end', async (test) => {
  const { pool, limits, servers, echo, dial, closed } = await setup(test, {
    limits: { in_flight_requests: 2 },
  });
  const { ports } = await servers(1);
  pool.apply([spec(ports[0] ?? 0)], { replace: true });
  const [first] = [await echo('one'), await echo('two')];
  const shed = await dial();
  await eventually('it is closed', () => shed.destroyed || shed.readableEnded || closed.length > 0);
  assert.match(closed[0] ?? '', /too many connections to cart:80 are open/);
  assert.equal(limits.hits('in_flight_requests'), 1);
  first?.end();
  await eventually('there is room', () => pool.inFlight === 1);
  (await echo('three')).end();
});

void test('a service without endpoints closes the connection and says why', async (test) => {
  const { pool, dial, closed } = await setup(test);
  pool.empty(true);
  await dial();
  await eventually('it is closed', () => closed.length === 1);
  assert.equal(closed[0], 'cart:80 has no endpoints');
});

const expired = (registry: { render(): string }): string[] =>
  registry.render().match(/^mesh_opaque_expired_total.*/gm) ?? [];

void test('a connection that is quiet ends shortly before its certificate, without an error at either end', async (test) => {
  const minute = 60_000;
  const { clock, pool, registry, servers, echo, closed } = await setup(test, { validMs: 600 * minute });
  const { ports, open } = await servers(1);
  pool.apply([spec(ports[0] ?? 0)], { replace: true });
  const client = await echo('hello');
  const faults: Error[] = [];
  for (const socket of [client, ...(open[0] ?? [])]) socket.on('error', (fault) => faults.push(fault));
  clock.advance(590 * minute - 1000);
  client.write('still here');
  assert.equal(String((await once(client, 'data'))[0]), 'still here', 'hours old, and untouched');
  clock.advance(4000);
  assert.deepEqual(expired(registry), []);
  const ended = [client, open[0]?.[0] as Socket].map((socket) => once(socket, 'end'));
  clock.advance(4000);
  await Promise.all(ended);
  await eventually('both are gone', () => closed.length === 1);
  assert.deepEqual(faults, []);
  assert.deepEqual(expired(registry), ['mesh_opaque_expired_total{moment="quiet"} 1']);
});

void test('a connection that is never quiet ends with its certificate; what was read arrives first', async (test) => {
  const { clock, pool, registry, servers, echo } = await setup(test, { validMs: 100_000 });
  const { ports } = await servers(1);
  pool.apply([spec(ports[0] ?? 0)], { replace: true });
  const client = await echo('hello');
  for (let second = 1; second < 100; second++) {
    client.write(`${second}`);
    assert.equal(String((await once(client, 'data'))[0]), `${second}`);
    clock.advance(1000);
  }
  assert.deepEqual(expired(registry), []);
  client.write('last');
  assert.equal(String((await once(client, 'data'))[0]), 'last');
  const ended = once(client, 'end');
  clock.advance(1000);
  await ended;
  assert.deepEqual(expired(registry), ['mesh_opaque_expired_total{moment="busy"} 1']);
});

void test('ends that do not close after their certificate are cut', async (test) => {
  const { clock, pool, limits, closed, dial } = await setup(test, { validMs: 10_000 });
  let accepted: Socket | undefined;
  const deaf = await listen(test, (socket) => {
    socket.allowHalfOpen = true;
    accepted = socket.on('data', () => {});
  });
  pool.apply([spec(deaf.port)], { replace: true });
  const client = await dial();
  client.allowHalfOpen = true;
  client.resume();
  await eventually('it is connected', () => accepted);
  clock.advance(10_000);
  await once(client, 'end');
  assert.deepEqual(closed, []);
  clock.advance(limits.values.opaque_linger_ms);
  await eventually('it is cut', () => closed.length === 1);
  assert.equal(limits.hits('opaque_linger_ms'), 1);
});

void test('a connection that no certificate proves lives as long as its ends want', async (test) => {
  const { clock, expiry, pool, registry, servers, echo } = await setup(test);
  const { ports } = await servers(1);
  pool.apply([spec(ports[0] ?? 0)], { replace: true });
  const client = await echo('hello');
  assert.equal(expiry.size, 0);
  clock.advance(3 * 24 * 3_600_000);
  client.write('still here');
  assert.equal(String((await once(client, 'data'))[0]), 'still here');
  assert.deepEqual(expired(registry), []);
});
