/**
 * The packet filter as text for nft(8), written out of the configuration: one table of ours, replaced as a whole or not at all. What
 * is not declared is dropped. A packet meets, in this order:
 *
 *   our own loopback          passes
 *   management to its ports   passes: no ban and no other rule locks out who mends things
 *   shut out for a while      dropped, also inside what was established
 *   SIP over UDP              passes from where it is expected, so many a second from each address
 *   established               passes
 *   echo, neighbours          passes, a few
 *   SIP over TCP, media,      pass from where the configuration expects them; of SIP so many new connections a second
 *   outlets, API
 *   the other node            passes to what a pair needs
 *   whatever else             dropped and counted
 */
import { pairOf } from '../config/cluster-schema.ts';
import type { GatewayConfig } from '../config/schema.ts';
import { banElements, type ShutOut } from './ban-file.ts';
import { matches, type NetworkSet, networkSet, portText, type PortRange, setLines } from './nft-text.ts';
import { apiPorts, mediaNetworks, mediaPorts, outletPorts, pairAddresses, sipNetworks, sipPorts, upstreamNetworks } from './reach.ts';

export const FIREWALL_TABLE = 'inet viewlink';
/** Addresses shut out or counted at once. */
export const MAX_BANNED = 8192;
const MAX_COUNTED = 65_535;
/** Without these IPv6 does not work at all (RFC 4890 4.4). */
const NEIGHBOURS = 'nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert, mld-listener-query, mld-listener-report, mld2-listener-report';
const ERRORS4 = 'destination-unreachable, time-exceeded, parameter-problem';
const ERRORS6 = 'destination-unreachable, packet-too-big, time-exceeded, parameter-problem';

/** Text that makes our table anew. `shutOut`: who is, with milliseconds that are left. With the firewall off: text that takes it away. */
export function firewallText(config: GatewayConfig, shutOut: readonly ShutOut[]): string {
  // A table that is not there cannot be deleted: it is made first.
  const gone = [`table ${FIREWALL_TABLE} {}`, `delete table ${FIREWALL_TABLE}`];
  if (!config.host.firewall) return `${gone.join('\n')}\n`;
  return [...gone, `table ${FIREWALL_TABLE} {`, ...sets(config), ...banSets(shutOut), ...counting(), ...signalling(config), ...input(config), ...forward(), ...output(config), ...untracked(config), '}', ''].join('\n');
}

/** Text that replaces who is shut out, and nothing else. */
export function banText(shutOut: readonly ShutOut[]): string {
  return (['4', '6'] as const)
    .flatMap(family => {
      const elements = banElements(shutOut, family);
      return [`flush set ${FIREWALL_TABLE} banned${family}`, ...(elements.length === 0 ? [] : [`add element ${FIREWALL_TABLE} banned${family} { ${elements.join(', ')} }`])];
    })
    .concat('')
    .join('\n');
}

interface Groups {
  readonly management: NetworkSet;
  readonly sip: NetworkSet;
  readonly media: NetworkSet;
  readonly viewers: NetworkSet;
  readonly api: NetworkSet;
  readonly pair: NetworkSet;
  readonly reachable: NetworkSet;
}

function groupsOf(config: GatewayConfig): Groups {
  const { host, api } = config;
  const pushed = config.outlets.pushes.flatMap(({ url }) => /^rtmp:\/\/(\[[^\]]+\]|[^/:]+)/.exec(url)?.[1] ?? []);
  const witness = config.cluster.witness.address === '' ? [] : [config.cluster.witness.address];
  return {
    management: networkSet(host.management),
    sip: sipNetworks(config),
    media: mediaNetworks(config),
    viewers: networkSet(host.viewers),
    api: networkSet([...host.api, ...api.metricsNetworks]),
    pair: networkSet(pairAddresses(config)),
    reachable: networkSet([...host.services, ...(pairOf(config) === undefined ? config.cluster.pairFrom : []), ...upstreamNetworks(config), ...pairAddresses(config), ...witness, ...pushed]),
  };
}

const sets = (config: GatewayConfig): readonly string[] => Object.entries(groupsOf(config)).flatMap(([name, group]) => setLines(name, group as NetworkSet));

function banSets(shutOut: readonly ShutOut[]): readonly string[] {
  return ([['4', 'ipv4_addr'], ['6', 'ipv6_addr']] as const).flatMap(([family, type]) => {
    const elements = banElements(shutOut, family);
    return [`  set banned${family} {`, `    type ${type}`, '    flags interval, timeout', `    size ${MAX_BANNED}`, ...(elements.length === 0 ? [] : [`    elements = { ${elements.join(', ')} }`]), '  }'];
  });
}

const counting = (): readonly string[] => ([['4', 'ipv4_addr'], ['6', 'ipv6_addr']] as const).flatMap(([family, type]) => [`  set rates${family} {`, `    type ${type}`, '    flags dynamic, timeout', '    timeout 1m', `    size ${MAX_COUNTED}`, '  }']);

function signalling({ host }: GatewayConfig): readonly string[] {
  const over = `limit rate over ${host.sipPacketsPerS}/second burst ${2 * host.sipPacketsPerS} packets`;
  return ['  chain signalling {', `    update @rates4 { ip saddr ${over} } counter drop`, `    update @rates6 { ip6 saddr ${over} } counter drop`, '    accept', '  }'];
}

/** `transport dport PORTS` for each source that may come; nothing without ports. */
function admit(name: keyof Groups, group: NetworkSet, transport: 'udp' | 'tcp', ports: readonly PortRange[], verdict = 'accept'): readonly string[] {
  const text = portText(ports);
  return text === undefined ? [] : matches('saddr', name, group).map(from => `    ${from} ${transport} dport ${text} ${verdict}`);
}

function input(config: GatewayConfig): readonly string[] {
  const { management, sip, media, viewers, api, pair } = groupsOf(config);
  const both = (make: (transport: 'udp' | 'tcp') => readonly string[]): readonly string[] => [...make('udp'), ...make('tcp')];
  return [
    '  chain input {',
    '    type filter hook input priority filter; policy drop;',
    '    iif lo accept',
    ...admit('management', management, 'tcp', config.host.managementPorts.map(port => ({ first: port, last: port }))),
    '    ip saddr @banned4 counter drop',
    '    ip6 saddr @banned6 counter drop',
    // Before what is established: a flood of datagrams is one flow, and established with the first answer.
    ...admit('sip', sip, 'udp', sipPorts(config, 'udp'), 'jump signalling'),
    '    ct state established,related accept',
    `    icmpv6 type { ${NEIGHBOURS} } accept`,
    `    icmp type { ${ERRORS4} } limit rate 100/second accept`,
    `    icmpv6 type { ${ERRORS6} } limit rate 100/second accept`,
    ...(config.host.ping ? ['    icmp type echo-request limit rate 20/second accept', '    icmpv6 type echo-request limit rate 20/second accept'] : []),
    ...admit('sip', sip, 'tcp', sipPorts(config, 'tcp'), 'jump signalling'),
    ...both(transport => admit('media', media, transport, [mediaPorts(config, transport)])),
    ...both(transport => admit('viewers', viewers, transport, outletPorts(config, transport))),
    ...admit('api', api, 'tcp', apiPorts(config)),
    ...betweenNodes(config, pair),
    '    counter comment "not declared"',
    '  }',
  ];
}

/** Heartbeats, state, and the protocol that moves the addresses (VRRP is an IP protocol of its own). */
function betweenNodes(config: GatewayConfig, pair: NetworkSet): readonly string[] {
  const { cluster } = config;
  const known = pairOf(config);
  const { v4, v6 } = networkSet(known === undefined ? cluster.pairFrom : [known.peer.link]);
  const link = [...v4.map(address => `ip saddr ${address}`), ...v6.map(address => `ip6 saddr ${address}`)];
  const single = (port: number): readonly PortRange[] => [{ first: port, last: port }];
  return [...admit('pair', pair, 'udp', single(cluster.heartbeatPort)), ...admit('pair', pair, 'tcp', [...single(cluster.heartbeatPort), ...single(cluster.redisPort)]), ...link.map(from => `    ${from} tcp dport { ${cluster.gatePort} } accept`), ...matches('saddr', 'pair', pair).map(from => `    ${from} meta l4proto 112 accept`)];
}

/** We are nobody's way through. */
const forward = (): readonly string[] => ['  chain forward {', '    type filter hook forward priority filter; policy drop;', '  }'];

function output(config: GatewayConfig): readonly string[] {
  if (config.host.egress === 'open') return [];
  const { sip, media, reachable } = groupsOf(config);
  const to = (name: keyof Groups, group: NetworkSet): readonly string[] => matches('daddr', name, group).map(match => `    ${match} accept`);
  return [
    '  chain output {',
    '    type filter hook output priority filter; policy drop;',
    '    oif lo accept',
    '    ct state established,related accept',
    `    icmpv6 type { ${NEIGHBOURS} } accept`,
    `    icmp type { ${ERRORS4} } accept`,
    `    icmpv6 type { ${ERRORS6} } accept`,
    ...to('sip', sip),
    ...to('media', media),
    ...to('reachable', reachable),
    '    counter comment "not declared"',
    '  }',
  ];
}

/** Media is judged by its address alone: a row in the table of connections for each stream would only cost. */
function untracked(config: GatewayConfig): readonly string[] {
  const ports = portText([mediaPorts(config, 'udp')])!;
  return ['  chain arriving {', '    type filter hook prerouting priority raw; policy accept;', `    udp dport ${ports} notrack`, '  }', '  chain leaving {', '    type filter hook output priority raw; policy accept;', `    udp sport ${ports} notrack`, '  }'];
}
