import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parsePortRange, type RedirectOptions, renderRedirect } from './redirect-rules.ts';

const options: RedirectOptions = {
  proxyUid: 2102,
  inboundPort: 4143,
  outboundPort: 4140,
  skipInboundPorts: [
    { from: 4190, to: 4191 },
    { from: 9000, to: 9000 },
  ],
  skipOutboundPorts: [{ from: 443, to: 443 }],
  skipOutboundNetworks: ['10.9.0.0/16'],
};

void test('rules skip before they redirect, and jump when complete', () => {
  assert.equal(
    renderRedirect(options, ''),
    `*nat
:MESH_INBOUND - [0:0]
:MESH_OUTBOUND - [0:0]
-A MESH_INBOUND -p tcp --dport 4190:4191 -j RETURN
-A MESH_INBOUND -p tcp --dport 9000 -j RETURN
-A MESH_INBOUND -p tcp -j REDIRECT --to-ports 4143
-A MESH_OUTBOUND -m owner --uid-owner 2102 -j RETURN
-A MESH_OUTBOUND -o lo -j RETURN
-A MESH_OUTBOUND -p tcp --dport 443 -j RETURN
-A MESH_OUTBOUND -d 10.9.0.0/16 -j RETURN
-A MESH_OUTBOUND -p tcp -j REDIRECT --to-ports 4140
-A PREROUTING -p tcp -j MESH_INBOUND
-A OUTPUT -p tcp -j MESH_OUTBOUND
COMMIT
`,
  );
});

void test('a second run adds no second jump', () => {
  const saved = '*nat\n-A PREROUTING -p tcp -j MESH_INBOUND\n-A OUTPUT -p tcp -j MESH_OUTBOUND\nCOMMIT\n';
  const rules = renderRedirect(options, saved);
  assert.doesNotMatch(rules, /PREROUTING|-A OUTPUT/);
  assert.match(renderRedirect(options, saved.replace('MESH_INBOUND', 'OTHER')), /-A PREROUTING/);
});

void test('port ranges', () => {
  assert.deepEqual(parsePortRange('80'), { from: 80, to: 80 });
  assert.deepEqual(parsePortRange('4000-4100'), { from: 4000, to: 4100 });
  for (const text of ['0', '70000', '5-4', '80,81', 'http', '', '80-', '-80']) {
    assert.equal(parsePortRange(text), undefined, text);
  }
});
