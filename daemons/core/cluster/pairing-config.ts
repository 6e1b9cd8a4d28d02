/** What a pairing makes of the configuration of each node. */
import type { GatewayConfig } from '../config/schema.ts';
import type { EditStep, Json } from '../config/json.ts';
import { localSteps } from '../config/local-keys.ts';
import { sameValue } from '../config/diff.ts';
import type { ClusterNodeConfig } from '../config/cluster-schema.ts';

/** How the node that stood alone stands in the pair. */
export interface PairTerms {
  readonly own: ClusterNodeConfig;
  /** SIP address of the pair with its prefix. */
  readonly sipAddress: string;
  readonly interface: string;
}

const bare = (placed: string): string => placed.replace(/\/\d+$/, '');

/** A gateway that stood alone becomes a pair with `peer`. Where it listened for SIP on its own address, it listens on that of the pair. */
export function pairSteps(config: GatewayConfig, { own, sipAddress, interface: device }: PairTerms, peer: ClusterNodeConfig, key: string): readonly EditStep[] {
  const moved = config.sip.listen.map(entry => (entry.address === own.lan ? { ...entry, address: bare(sipAddress) } : entry));
  return [
    { op: 'set', path: 'node.name', value: own.name },
    { op: 'set', path: 'cluster.nodes', value: [own, peer].map(({ name, link, lan, mediaAddress }) => ({ name, link, lan, ...(mediaAddress !== '' && { mediaAddress }) })) },
    { op: 'set', path: 'cluster.sipAddress', value: sipAddress },
    { op: 'set', path: 'cluster.interface', value: device },
    ...(config.cluster.key === undefined ? [{ op: 'set', path: 'cluster.key', value: key } as const] : []),
    ...(sameValue(moved, config.sip.listen) ? [] : [{ op: 'set', path: 'sip.listen', value: moved as unknown as Json } as const]),
  ];
}

/** What makes the document of the other node that of this one, which is called `name` from now on. */
export const newNodeSteps = (theirs: Json, own: Json, name: string, device: string | undefined): readonly EditStep[] => [
  ...localSteps(theirs, own),
  { op: 'set', path: 'node.name', value: name },
  ...(device === undefined ? [] : [{ op: 'set', path: 'cluster.interface', value: device } as const]),
];
