/** Rules between the fields of a pair, and between it and the rest. */
import type { FieldProblem } from './field-problem.ts';
import type { GatewayConfig } from './schema.ts';

export function* checkCluster({ node, cluster }: GatewayConfig): Generator<FieldProblem> {
  const { nodes, key, sipAddress } = cluster;
  if (nodes.length === 0) return;
  if (nodes.length === 1) return void (yield { path: ['cluster', 'nodes'], why: 'a pair has two nodes' });
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  for (const field of ['name', 'link', 'lan'] as const) if (a[field] === b[field]) yield { path: ['cluster', 'nodes', 1, field], why: `the other node has ${a[field]} too` };
  for (const [i, { link, lan }] of nodes.entries()) if (link === lan) yield { path: ['cluster', 'nodes', i, 'link'], why: 'the same as lan: heartbeats need two ways' };
  if (!nodes.some(({ name }) => name === node.name)) yield { path: ['node', 'name'], why: `cluster.nodes has no ${node.name}` };
  if (key === undefined) yield { path: ['cluster', 'key'], why: 'a pair needs a key' };
  if (sipAddress === '') yield { path: ['cluster', 'sipAddress'], why: 'a pair needs an address that moves' };
}
