import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import test from 'node:test';
import { createAnchor, createIssuer } from '@mesh/ca/authority';
import { type LoadedIssuer, verifyIssuer } from '@mesh/ca/issuer-check';
import { LimitLedger } from '@mesh/limits/limits';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { checkChain, parseAnchors } from '@mesh/trust/chain';
import { createKeyAndCsr } from '@mesh/trust/csr';
import { identityName, tokenAudience } from '@mesh/trust/names';
import { Certifier, type CertifierOptions, type CertifyRequest, type TokenVerdict } from './certify.ts';
import { identityLimits } from './limits.ts';

const clock = new FakeClock();
const anchor = createAnchor({ clock });
const signer = createIssuer({ anchor, cluster: 'east', clock });
const loaded = verifyIssuer(
  {
    certificatePem: signer.certificatePem,
    keyPem: signer.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    anchorsPem: anchor.certificatePem,
  },
  { cluster: 'east', now: clock.wall() },
);
assert.ok('chainPem' in loaded);
const issuer: LoadedIssuer = loaded;

const identityIn = (cluster: string, serviceAccount = 'cart', namespace = 'shop'): string =>
  identityName({ serviceAccount, namespace, cluster });
const identity = identityIn('east');

const verdict = (overrides: Partial<TokenVerdict> = {}): TokenVerdict => ({
  authenticated: true,
  audiences: [tokenAudience],
  user: {
    username: 'system:serviceaccount:shop:cart',
    extra: {
      'authentication.kubernetes.io/pod-uid': ['uid-1'],
      'authentication.kubernetes.io/pod-name': ['cart-1'],
    },
  },
  ...overrides,
});

function certifier(overrides: Partial<CertifierOptions> = {}): Certifier {
  return new Certifier({
    cluster: 'east',
    suffix: 'mesh.local',
    clock,
    limits: new LimitLedger(identityLimits),
    lifetimeMs: 3_600_000,
    reviewToken: async () => verdict(),
    issuer: () => issuer,
    ...overrides,
  });
}

async function requestFor(name: string, overrides: Partial<CertifyRequest> = {}): Promise<CertifyRequest> {
  const { csrDer } = await createKeyAndCsr(name);
  return {
    identity: name,
    token: Buffer.from('header.payload.signature'),
    certificateSigningRequest: csrDer,
    ...overrides,
  };
}

test('a leaf for exactly the identity of the token, under the issuer', async () => {
  const asked: [string, string[]][] = [];
  const issued: string[] = [];
  const result = await certifier({
    reviewToken: async (token, audiences) => {
      asked.push([token, audiences]);
      return verdict();
    },
    onIssued: (entry) => issued.push(`${entry.identity} ${entry.pod} ${entry.serial}`),
  }).certify(await requestFor(identity, { token: Buffer.from('the-token\n') }));
  assert.ok('leaf' in result, JSON.stringify(result));
  assert.deepEqual(asked, [['the-token', [tokenAudience]]]);
  assert.deepEqual(issued, [`${identity} cart-1 ${result.serial}`]);
  assert.equal(new X509Certificate(result.leaf).subjectAltName, `DNS:${identity}`);
  assert.ok(Math.abs(result.validUntil - clock.wall() - 3_600_000) <= 1000);
  const checked = checkChain({
    chain: [result.leaf, ...result.intermediates],
    anchors: parseAnchors(anchor.certificatePem),
    now: clock.wall(),
    role: 'client',
  });
  assert.ok('peer' in checked, JSON.stringify(checked));
});

interface Negative {
  what: string;
  code: string;
  message: RegExp;
  request?: Partial<CertifyRequest>;
  csrFor?: string;
  verdict?: TokenVerdict;
  options?: Partial<CertifierOptions>;
}

const user = (username: string): Partial<TokenVerdict> => ({ user: { username } });

const negatives: readonly Negative[] = [
  { what: 'empty identity', code: 'invalidArgument', message: /no identity/, request: { identity: '' } },
  {
    what: 'foreign name',
    code: 'invalidArgument',
    message: /no identity/,
    request: { identity: 'www.example.com' },
  },
  {
    what: 'identity with a trailing dot',
    code: 'invalidArgument',
    message: /no identity/,
    request: { identity: `${identity}.` },
  },
  {
    what: 'identity of another cluster',
    code: 'permissionDenied',
    message: /cluster west, this is east/,
    request: { identity: identityIn('west') },
    csrFor: identityIn('west'),
  },
  {
    what: 'empty CSR',
    code: 'invalidArgument',
    message: /PKCS/,
    request: { certificateSigningRequest: Buffer.alloc(0) },
  },
  {
    what: 'CSR for another name',
    code: 'invalidArgument',
    message: /is for dns:admin/,
    csrFor: identityIn('east', 'admin'),
  },
  {
    what: 'huge CSR',
    code: 'invalidArgument',
    message: /5000 bytes/,
    request: { certificateSigningRequest: Buffer.alloc(5000) },
  },
  { what: 'no token', code: 'unauthenticated', message: /no token/, request: { token: Buffer.alloc(0) } },
  {
    what: 'huge token',
    code: 'invalidArgument',
    message: /9000 bytes/,
    request: { token: Buffer.alloc(9000, 'a') },
  },
  {
    what: 'token with line breaks',
    code: 'unauthenticated',
    message: /printable/,
    request: { token: Buffer.from('a\r\nx-header: b') },
  },
  {
    what: 'token not accepted or expired',
    code: 'unauthenticated',
    message: /expired/,
    verdict: { authenticated: false },
  },
  { what: 'empty verdict', code: 'unauthenticated', message: /not accept/, verdict: {} },
  {
    what: 'other audience',
    code: 'unauthenticated',
    message: /audience identity\.mesh\.io/,
    verdict: verdict({ audiences: ['https://kubernetes.default.svc'] }),
  },
  {
    what: 'API server without audiences',
    code: 'unauthenticated',
    message: /audience/,
    verdict: { authenticated: true, user: { username: 'system:serviceaccount:shop:cart' } },
  },
  {
    what: 'other ServiceAccount',
    code: 'permissionDenied',
    message: /shop\/admin/,
    verdict: verdict(user('system:serviceaccount:shop:admin')),
  },
  {
    what: 'other namespace',
    code: 'permissionDenied',
    message: /bank\/cart/,
    verdict: verdict(user('system:serviceaccount:bank:cart')),
  },
  {
    what: 'a user',
    code: 'permissionDenied',
    message: /not of a ServiceAccount/,
    verdict: verdict(user('alice')),
  },
  { what: 'a node', code: 'permissionDenied', message: /not of/, verdict: verdict(user('system:node:n1')) },
  {
    what: 'no user',
    code: 'permissionDenied',
    message: /not of/,
    verdict: { authenticated: true, audiences: [tokenAudience] },
  },
  {
    what: 'five parts',
    code: 'permissionDenied',
    message: /not of/,
    verdict: verdict(user('system:serviceaccount:shop:cart:x')),
  },
  {
    what: 'dotted ServiceAccount',
    code: 'permissionDenied',
    message: /DNS label/,
    verdict: verdict(user('system:serviceaccount:shop:ca.rt')),
  },
  {
    what: 'API server down',
    code: 'unavailable',
    message: /could not be asked/,
    options: {
      reviewToken: () => Promise.reject(new Error('connect ECONNREFUSED with header.payload.signature')),
    },
  },
  { what: 'no issuer', code: 'unavailable', message: /issuer/, options: { issuer: () => undefined } },
];

for (const negative of negatives) {
  test(`refused as ${negative.code}: ${negative.what}`, async () => {
    const subject = certifier({
      ...(negative.verdict === undefined
        ? {}
        : { reviewToken: async () => negative.verdict as TokenVerdict }),
      ...negative.options,
    });
    const { csrDer } = await createKeyAndCsr(negative.csrFor ?? identity);
    const result = await subject.certify({
      identity,
      token: Buffer.from('header.payload.signature'),
      certificateSigningRequest: csrDer,
      ...negative.request,
    });
    assert.ok('code' in result, 'was issued');
    assert.equal(result.code, negative.code, result.message);
    assert.match(result.message, negative.message);
    assert.doesNotMatch(result.message, /header\.payload/);
  });
}

test('the eleventh certificate of a pod within a minute is refused, others and later ones are not', async () => {
  const limits = new LimitLedger(identityLimits);
  let uid = 'one';
  const subject = certifier({
    limits,
    reviewToken: async () =>
      verdict({
        user: {
          username: 'system:serviceaccount:shop:cart',
          extra: { 'authentication.kubernetes.io/pod-uid': [uid] },
        },
      }),
  });
  const request = await requestFor(identity);
  for (let count = 0; count < 10; count++) assert.ok('leaf' in (await subject.certify(request)));
  const refused = await subject.certify(request);
  assert.ok('code' in refused);
  assert.equal(refused.code, 'resourceExhausted');
  assert.match(refused.message, /identity_pod_certificates_per_minute/);
  assert.equal(limits.hits('identity_pod_certificates_per_minute'), 1);
  uid = 'two';
  assert.ok('leaf' in (await subject.certify(request)));
  uid = 'one';
  clock.advance(6_001);
  assert.ok('leaf' in (await subject.certify(request)));
  assert.ok('code' in (await subject.certify(request)));
});

test('all pods of one identity share a limit', async () => {
  let pod = 0;
  const subject = certifier({
    limits: new LimitLedger(identityLimits, { identity_certificates_per_minute: 3 }),
    reviewToken: async () =>
      verdict({
        user: {
          username: 'system:serviceaccount:shop:cart',
          extra: { 'authentication.kubernetes.io/pod-uid': [`pod-${pod++}`] },
        },
      }),
  });
  const request = await requestFor(identity);
  for (let count = 0; count < 3; count++) assert.ok('leaf' in (await subject.certify(request)));
  const refused = await subject.certify(request);
  assert.ok('code' in refused && refused.reason === 'identity-rate');
});

test('token reviews in progress are bounded', async () => {
  const waiting: (() => void)[] = [];
  const limits = new LimitLedger(identityLimits, { identity_token_reviews: 2 });
  const subject = certifier({
    limits,
    reviewToken: () => new Promise((resolve) => waiting.push(() => resolve(verdict()))),
  });
  const request = await requestFor(identity);
  const first = [subject.certify(request), subject.certify(request)];
  const third = await subject.certify(request);
  assert.ok('code' in third && third.reason === 'reviews');
  for (const answer of waiting) answer();
  for (const result of await Promise.all(first)) assert.ok('leaf' in result);
});
