import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAnchor, createIssuer } from './authority.ts';
import { issueCredentials } from './credentials.ts';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { joinAnchors, judgeBundle, sameAnchors } from '@mesh/trust/bundle';
import { trustLimits } from '@mesh/trust/limits';
import { certificateDers, toPem } from '@mesh/trust/pem';

const clock = new FakeClock(Date.parse('2026-01-01'));
const [a, b] = [createAnchor({ clock }), createAnchor({ clock })];
const current = issueCredentials({
  issuer: createIssuer({ anchor: a, cluster: 'east', clock }),
  anchorsPem: a.certificatePem,
  identity: 'cart.shop.serviceaccount.identity.mesh.east.mesh.local',
  clock,
});
const leaf = toPem(certificateDers(current.chainPem)[0] ?? Buffer.alloc(0));
const broken = toPem(Buffer.from('no certificate at all'));
const many = Array.from({ length: trustLimits.tls_trust_anchors.default + 1 }, () => b.certificatePem).join(
  '',
);

const bundles: readonly [what: string, pem: string, kind: string, detail: RegExp | undefined][] = [
  ['an anchor is added', a.certificatePem + b.certificatePem, 'accepted', undefined],
  ['the same', a.certificatePem, 'accepted', undefined],
  ['our anchor is gone', b.certificatePem, 'needs-renewal', /none of the anchors|anchor/],
  ['nothing', '', 'refused', /no certificate/],
  ['text', 'anchors', 'refused', /no certificate/],
  ['too many', a.certificatePem + many, 'refused', /at most 16/],
  ['a leaf among them', a.certificatePem + leaf, 'refused', /no certificate authority/],
  ['a broken one among them', a.certificatePem + broken, 'refused', /^([0-9A-F]{2}:){31}[0-9A-F]{2}: /],
];

test('a bundle is taken unless it is broken or would have our own certificate refused', () => {
  for (const [what, pem, kind, detail] of bundles) {
    const verdict = judgeBundle(pem, { current, now: clock.wall() });
    assert.equal(verdict.kind, kind, what);
    if (detail !== undefined) assert.match('detail' in verdict ? verdict.detail : '', detail, what);
  }
});

test('sets are compared and joined by their certificates', () => {
  const [one, other] = [
    a.certificatePem + b.certificatePem,
    `# note\n${b.certificatePem}\n${a.certificatePem}`,
  ];
  assert.ok(sameAnchors(one, other));
  assert.ok(!sameAnchors(one, a.certificatePem));
  assert.ok(sameAnchors(joinAnchors(a.certificatePem, one), one));
  assert.equal(certificateDers(joinAnchors(one, other)).length, 2);
});
