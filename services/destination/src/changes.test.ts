import assert from 'node:assert/strict';
import test from 'node:test';
import { targetTopics } from './changes.ts';
import { profileTopics } from './profile.ts';
import { ModelCluster } from './testing/model-cluster.ts';

test('a pod that changes concerns itself, its address and endpoints of its namespace, not all that its namespace does', () => {
  const marked: string[] = [];
  const cluster = new ModelCluster((topic) => marked.push(topic));
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  marked.length = 0;
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1' });
  const concerned = (topics: readonly string[]): boolean => topics.some((topic) => marked.includes(topic));
  assert.deepEqual(marked, ['pods:shop', 'pod:shop/cart-1', 'address:10.0.0.1']);
  assert.ok(concerned(targetTopics('shop', 'cart')));
  const profile = (host: string): readonly string[] =>
    profileTopics(cluster, { host, port: 80 }, 'cluster.local');
  assert.ok(concerned(profile('10.0.0.1')));
  assert.ok(!concerned(profile('10.96.0.1')));
  assert.ok(!concerned(profile('cart.shop.svc.cluster.local')));

  marked.length = 0;
  cluster.namespaces.put({ metadata: { name: 'shop', annotations: { 'mesh.io/opaque-ports': '80' } } });
  for (const topics of [profile('10.0.0.1'), profile('10.96.0.1'), targetTopics('shop', 'cart')]) {
    assert.ok(concerned(topics), topics.join(' '));
  }
});

test('a node that changes its zone concerns endpoints and the pods on it, and no other profile', () => {
  const marked: string[] = [];
  const cluster = new ModelCluster((topic) => marked.push(topic));
  cluster.service({ name: 'cart', clusterIP: '10.96.0.1' });
  cluster.pod({ name: 'cart-1', ip: '10.0.0.1', node: 'node-1' });
  cluster.pod({ name: 'cart-2', ip: '10.0.0.2', node: 'node-2' });
  marked.length = 0;
  cluster.nodes.put({ metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': 'a' } } });
  const concerned = (topics: readonly string[]): boolean => topics.some((topic) => marked.includes(topic));
  const profile = (host: string): boolean =>
    concerned(profileTopics(cluster, { host, port: 80 }, 'cluster.local'));
  assert.deepEqual([profile('10.0.0.1'), profile('10.0.0.2'), profile('10.96.0.1')], [true, false, false]);
  assert.ok(concerned(targetTopics('shop', 'cart')));
});
