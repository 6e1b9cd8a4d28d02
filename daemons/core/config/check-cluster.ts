/** Rules between the fields of a pair, and between it and the rest. */
import type { FieldProblem } from './field-problem.ts';
import type { GatewayConfig } from './schema.ts';
import { withoutPrefix } from './cluster-schema.ts';

export function* checkCluster({ node, cluster, media }: GatewayConfig): Generator<FieldProblem> {
  const { nodes, key, sipAddress } = cluster;
  if (nodes.length === 0) return;
  if (nodes.length === 1) return void (yield { path: ['cluster', 'nodes'], why: 'a pair has two nodes' });
  const [a, b] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  for (const field of ['name', 'link', 'lan'] as const) if (a[field] === b[field]) yield { path: ['cluster', 'nodes', 1, field], why: `the other node has ${a[field]} too` };
  for (const [i, { link, lan }] of nodes.entries()) if (link === lan) yield { path: ['cluster', 'nodes', i, 'link'], why: 'the same as lan: heartbeats need two ways' };
  if (!nodes.some(({ name }) => name === node.name)) yield { path: ['node', 'name'], why: `cluster.nodes has no ${node.name}` };
  if (key === undefined) yield { path: ['cluster', 'key'], why: 'a pair needs a key' };
  if (sipAddress === '') yield { path: ['cluster', 'sipAddress'], why: 'a pair needs an address that moves' };
  yield* checkMediaAddresses({ cluster, media });
}

/** One for each node, or none: where media is carried is not a question of which node is active. */
function* checkMediaAddresses({ cluster: { nodes, sipAddress }, media }: Pick<GatewayConfig, 'cluster' | 'media'>): Generator<FieldProblem> {
  const placed = nodes.map(({ mediaAddress }) => withoutPrefix(mediaAddress));
  if (placed.every(address => address === '')) return;
  const missing = placed.indexOf('');
  if (missing >= 0) return void (yield { path: ['cluster', 'nodes', missing, 'mediaAddress'], why: 'the other node has one: both need one, or none' });
  if (placed[0] === placed[1]) yield { path: ['cluster', 'nodes', 1, 'mediaAddress'], why: `the other node has ${placed[0]!} too` };
  const others = [withoutPrefix(sipAddress), ...nodes.flatMap(({ lan, link }) => [lan, link])];
  for (const [i, address] of placed.entries()) if (others.includes(address)) yield { path: ['cluster', 'nodes', i, 'mediaAddress'], why: `${address} has another use already` };
  for (const field of ['downstreamAddress', 'upstreamAddress'] as const) if (media[field] !== '') yield { path: ['media', field], why: 'each node has its own: cluster.nodes says so' };
}
