/** All, in the order of tables. */
import type { Contestant } from './contestant.ts';
import { direct } from './direct.ts';
import { envoy } from './envoy.ts';
import { haproxy } from './haproxy.ts';
import { linkerd } from './linkerd.ts';
import { nginx } from './nginx.ts';
import { nodePair } from './node-pair.ts';
import { ours, oursWithGateway } from './ours.ts';

export const contestants: readonly Contestant[] = [
  ours,
  haproxy,
  nginx,
  nodePair,
  envoy(process.env['ENVOY']),
  linkerd(process.env['LINKERD2_PROXY']),
  oursWithGateway(1),
  oursWithGateway(2),
  direct,
];
