/** Pieces of nftables(8) text: sets of networks, ranges of ports. Everything that goes in has been parsed, nothing is quoted. */
import { type IpAddress, type Network, formatIp, parseNetwork } from '../ip.ts';

/** Networks by family; `any`: at least one of them is the whole of it. */
export interface NetworkSet {
  readonly v4: readonly string[];
  readonly v6: readonly string[];
  readonly any4: boolean;
  readonly any6: boolean;
}

/** What cannot be read is left out: the schema has refused it. */
export function networkSet(cidrs: readonly string[]): NetworkSet {
  const networks = cidrs.flatMap(cidr => parseNetwork(cidr) ?? []);
  const of = (family: 4 | 6): Network[] => networks.filter(network => network.address.family === family);
  const text = (family: 4 | 6): string[] => [...new Set(of(family).filter(network => network.prefixBits > 0).map(networkText))].sort();
  const whole = (family: 4 | 6): boolean => of(family).some(network => network.prefixBits === 0);
  return { v4: text(4), v6: text(6), any4: whole(4), any6: whole(6) };
}

export const ANYWHERE: NetworkSet = { v4: [], v6: [], any4: true, any6: true };

/** `10.1.0.0/16`, a single address without its prefix; bits behind the prefix are zero. */
export function networkText({ address, prefixBits }: Network): string {
  const masked: IpAddress = { family: address.family, octets: address.octets.map((octet, i) => octet & (0xff << Math.max(0, Math.min(8, 8 * (i + 1) - prefixBits)))) };
  return prefixBits === address.octets.length * 8 ? formatIp(masked) : `${formatIp(masked)}/${prefixBits}`;
}

/** Two sets, NAME4 and NAME6. */
export function setLines(name: string, { v4, v6 }: NetworkSet): readonly string[] {
  return ([['4', 'ipv4_addr', v4], ['6', 'ipv6_addr', v6]] as const).flatMap(([suffix, type, elements]) => [
    `  set ${name}${suffix} {`,
    `    type ${type}`,
    '    flags interval',
    '    auto-merge',
    ...(elements.length === 0 ? [] : [`    elements = { ${elements.join(', ')} }`]),
    '  }',
  ]);
}

/** What precedes a verdict for packets from (or to) a set; nothing where the set is empty. */
export function matches(direction: 'saddr' | 'daddr', name: string, { v4, v6, any4, any6 }: NetworkSet): readonly string[] {
  return [
    ...(any4 ? ['meta nfproto ipv4'] : v4.length > 0 ? [`ip ${direction} @${name}4`] : []),
    ...(any6 ? ['meta nfproto ipv6'] : v6.length > 0 ? [`ip6 ${direction} @${name}6`] : []),
  ];
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** `{ 5060, 30000-39999 }`: sorted, met ones joined; undefined when there is none. */
export function portText(ranges: readonly PortRange[]): string | undefined {
  const joined: { first: number; last: number }[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = joined.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else joined.push({ first, last: Math.min(last, 65_535) });
  }
  return joined.length === 0 ? undefined : `{ ${joined.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(', ')} }`;
}
