/** What a connect that fails is called, and when: the answer to requests that wait for it depends on that. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { createAnchor, createIssuer } from '@mesh/ca/authority';
import { issueCredentials } from '@mesh/ca/credentials';
import { systemClock } from '@mesh/clock/system';
import { LimitLedger } from '@mesh/limits/limits';
import { eventually } from '@mesh/testkit/eventually';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { listen } from '@mesh/testkit/servers';
import { silentPort } from '@mesh/testkit/silent-port';
import { TlsAcceptor } from '@mesh/trust/accept';
import { CredentialStore } from '@mesh/trust/credentials';
import { identityName } from '@mesh/trust/names';
import { ConnectError, type ConnectFaultKind, SocketConnector } from './connector.ts';
import { dataplaneLimits } from './limits.ts';

const timeoutMs = 1000;
const identityOf = (serviceAccount: string): string =>
  identityName({ serviceAccount, namespace: 'shop', cluster: 'east' });

/** Certificates of one anchor, valid by a clock that otherwise stands still. */
function trust(): { clock: FakeClock; store: (serviceAccount: string) => CredentialStore } {
  const clock = new FakeClock(systemClock.wall());
  const anchor = createAnchor({ clock });
  const issuer = createIssuer({ anchor, cluster: 'east', clock });
  return {
    clock,
    store: (serviceAccount) =>
      new CredentialStore(
        issueCredentials({
          issuer,
          anchorsPem: anchor.certificatePem,
          identity: identityOf(serviceAccount),
          clock,
        }),
      ),
  };
}

/** A server that proves to be `serviceAccount`, by `signer`. */
async function proving(test: TestContext, signer: ReturnType<typeof trust>, serviceAccount: string) {
  const acceptor = new TlsAcceptor({
    credentials: signer.store(serviceAccount),
    clock: signer.clock,
    alpn: [],
  });
  test.after(() => acceptor.close());
  const { port } = await listen(test, (socket) => acceptor.accept(socket, () => {}));
  return port;
}

interface Failing {
  readonly what: string;
  /** Resolves to the port that is dialled, as the cart of `mesh`; calls `reached` when a ClientHello comes. */
  readonly arrange: (
    test: TestContext,
    mesh: ReturnType<typeof trust>,
    reached: () => void,
  ) => Promise<number>;
  readonly kind: ConnectFaultKind;
  readonly says: RegExp;
  readonly afterMs?: number;
  /** No ClientHello comes. */
  readonly unreached?: true;
}

const failing: readonly Failing[] = [
  {
    what: 'an address that never answers',
    arrange: (test) => silentPort(test),
    kind: 'timeout',
    says: /^127\.0\.0\.1:\d+: no connection within 1000 ms$/,
    afterMs: timeoutMs,
    unreached: true,
  },
  {
    what: 'a server that accepts and says nothing',
    arrange: async (test, _, reached) => (await listen(test, (socket) => socket.once('data', reached))).port,
    kind: 'timeout',
    says: /no TLS connection within 1000 ms/,
    afterMs: timeoutMs,
  },
  {
    what: 'a port where nobody listens',
    arrange: async (test) => {
      const { port, server } = await listen(test, () => {});
      await new Promise((resolve) => server.close(resolve));
      return port;
    },
    kind: 'refused',
    says: /ECONNREFUSED/,
  },
  {
    what: 'a server that hangs up in the handshake',
    arrange: async (test) => (await listen(test, (socket: Socket) => socket.destroy())).port,
    kind: 'refused',
    says: /closed|ECONNRESET/,
  },
  {
    what: 'a server that proves to be somebody else',
    arrange: (test, mesh) => proving(test, mesh, 'payments'),
    kind: 'identity',
    says: /the server is payments\.shop/,
  },
  {
    what: 'a server of a foreign anchor',
    arrange: (test) => proving(test, trust(), 'cart'),
    kind: 'identity',
    says: /SELF_SIGNED_CERT|UNABLE_TO|anchors/,
  },
];

for (const { what, arrange, kind, says, afterMs, unreached } of failing) {
  void test(`${what}: ${kind}${afterMs === undefined ? '' : `, after ${afterMs} ms`}`, async (t) => {
    const mesh = trust();
    const { clock } = mesh;
    let begun = unreached === true;
    const port = await arrange(t, mesh, () => {
      begun = true;
    });
    const limits = new LimitLedger(dataplaneLimits, { connect_ms: timeoutMs });
    const connector = new SocketConnector({
      clock,
      credentials: mesh.store('frontend'),
      limits,
      suffix: 'mesh.local',
    });
    let fault: unknown;
    const target = { host: '127.0.0.1', port, identity: identityOf('cart'), gateway: false };
    connector.connect(target, []).catch((thrown: unknown) => {
      fault = thrown;
    });
    if (afterMs !== undefined) {
      await eventually('the handshake began', () => begun);
      await clock.advanceAsync(afterMs - 1);
      assert.equal(fault, undefined);
      clock.advance(1);
    }
    await eventually('it failed', () => fault !== undefined);
    assert.ok(fault instanceof ConnectError);
    assert.equal(fault.kind, kind);
    assert.equal(limits.hits('connect_ms'), kind === 'timeout' ? 1 : 0);
    assert.match(fault.message, says);
    await eventually('no timer is left', () => clock.pending === 0);
  });
}

/** Each look at it is 43.3 ms after the one before. */
class SteppingClock extends FakeClock {
  #looks = 0;

  override now(): number {
    return super.now() + 43.3 * this.#looks++;
  }
}

void test('what TCP took is not there for TLS any more, and the message says whole milliseconds', async (t) => {
  const clock = new SteppingClock(systemClock.wall());
  let begun = false;
  const { port } = await listen(t, (socket) => socket.once('data', () => (begun = true)));
  const connector = new SocketConnector({
    clock,
    credentials: trust().store('frontend'),
    limits: new LimitLedger(dataplaneLimits, { connect_ms: timeoutMs }),
    suffix: 'mesh.local',
  });
  const target = { host: '127.0.0.1', port, identity: identityOf('cart'), gateway: false };
  const failed = assert.rejects(connector.connect(target, []), /no TLS connection within 957 ms$/);
  await eventually('the handshake began', () => begun);
  clock.advance(957);
  await failed;
});
