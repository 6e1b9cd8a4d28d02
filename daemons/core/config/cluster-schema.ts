/** Configuration of a pair of nodes (design.md 8). The same on both; which of the two this one is, `node.name` says. */
import { z } from 'zod';
import { isIp, normalizeIp, parseNetwork } from '../ip.ts';

const MAX_TEXT = 255;

const name = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, 'expected 1 to 32 letters, digits, - or _');
const ip = z.string().max(MAX_TEXT).refine(isIp, 'expected an IPv4 or IPv6 address');
const port = z.int().min(1).max(65535);
const placed = z.string().max(MAX_TEXT).refine(text => text === '' || (/\/\d{1,3}$/.test(text) && isIp(text.replace(/\/\d+$/, '')) && parseNetwork(text) !== undefined), 'expected an address with its prefix, such as 10.1.0.9/24');

const node = z.strictObject({
  name: name.describe('its node.name'),
  link: ip.describe('its address on the link between the two: heartbeats and state'),
  lan: ip.describe('its address on the service network: heartbeats and VRRP'),
  mediaAddress: placed.default('').describe('its media address with prefix, on the service network: both nodes carry media, and a dead one leaves its address and its sessions to the other; empty on both: media goes over the SIP address, on the active node alone'),
});

export const clusterSchema = z.strictObject({
  name: name.default('gateway').describe('of the pair, as platforms see it'),
  nodes: z.array(node).max(2).default([]).describe('both nodes of the pair; empty: this gateway stands alone'),
  key: z.string().regex(/^[\x21-\x7e]{32,256}$/, 'expected 32 to 256 printable characters').optional().describe('secret of the pair: signs heartbeats, opens the state').meta({ secret: 'whole' }),
  interface: z.string().regex(/^[A-Za-z0-9_.-]{1,15}$/, 'expected the name of a network interface').default('eth0').describe('interface of the service network, where the addresses below go; each node has its own'),
  sipAddress: placed.default('').describe('SIP address of the pair with prefix, on the active node; sip.listen names it too'),
  routerId: z.int().min(1).max(253).default(51).describe('VRRP router ID of the SIP address; the next two numbers are those of the media addresses of the first and the second node; all three unique on the service network'),
  heartbeatPort: port.default(7600).describe('UDP port of heartbeats on both networks, and TCP port on the service network'),
  redisPort: port.default(7601).describe('TCP port of the replicated state, on the link'),
  gatePort: port.default(7602).describe('TCP port on the link between the daemons of both nodes, over TLS; also where a new node is paired'),
  pairFrom: z.array(z.string().max(MAX_TEXT).refine(text => parseNetwork(text) !== undefined, 'expected a network such as 10.98.0.0/24')).max(8).default([]).describe('with host.firewall, while this gateway stands alone: networks that the other node may be paired from, e.g. that of the link'),
  witness: z
    .strictObject({
      address: z.string().max(MAX_TEXT).refine(text => text === '' || isIp(text), 'expected an IPv4 or IPv6 address, or empty').default('').describe('somebody on the service network who is always there, e.g. its gateway; empty: none'),
      port: port.default(22).describe('a TCP connection to this port is tried; one that is refused is an answer too'),
    })
    .prefault({})
    .describe('a node that reaches neither the other one nor the witness is never active; where both reach it and not each other, the one that it answers at the SIP address is'),
  holdDownS: z.int().min(1).max(3600).default(60).describe('a node that lost the active role does not take it again within this time while the other one has it; nor does its media address, with running sessions on it, come back to it sooner'),
});

export type ClusterConfig = z.infer<typeof clusterSchema>;
export type ClusterNodeConfig = ClusterConfig['nodes'][number];

/** Each node has a media address of its own, so that both carry media. */
export const bothCarryMedia = ({ nodes }: ClusterConfig): boolean => nodes.length === 2 && nodes.every(({ mediaAddress }) => mediaAddress !== '');

/** As the kernel and whoever comes from there write it: IPv6 has many spellings. */
const plain = (address: string): string => normalizeIp(address) ?? address;

export const withoutPrefix = (placed: string): string => plain(placed.replace(/\/\d+$/, ''));

/** As platforms see us: whichever node is active. */
export const systemName = ({ node, cluster }: { readonly node: { readonly name: string }; readonly cluster: ClusterConfig }): string => (cluster.nodes.length === 0 ? node.name : cluster.name);

/** This node and the other one, addresses as the kernel writes them; undefined: there is no pair. */
export function pairOf({ node: { name: own }, cluster }: { readonly node: { readonly name: string }; readonly cluster: ClusterConfig }): { readonly own: ClusterNodeConfig; readonly peer: ClusterNodeConfig; readonly index: number } | undefined {
  const index = cluster.nodes.findIndex(each => each.name === own);
  const peer = cluster.nodes[1 - index];
  return index < 0 || peer === undefined ? undefined : { own: plainNode(cluster.nodes[index]!), peer: plainNode(peer), index };
}

const plainNode = ({ link, lan, mediaAddress, ...node }: ClusterNodeConfig): ClusterNodeConfig => ({ ...node, link: plain(link), lan: plain(lan), mediaAddress: mediaAddress.replace(/^[^/]+/, plain) });
