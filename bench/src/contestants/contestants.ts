/** All, in the order of tables. */
import type { Contestant } from './contestant.ts';
import { direct } from './direct.ts';
import { haproxy } from './haproxy.ts';
import { nginx } from './nginx.ts';
import { nodePair } from './node-pair.ts';
import { ours, oursWithGateway } from './ours.ts';

export const contestants: readonly Contestant[] = [
  ours,
  haproxy,
  nginx,
  nodePair,
  oursWithGateway(1),
  oursWithGateway(2),
  direct,
];
