/**
 * IP addresses as values: one text for one address, so that addresses can be map keys, and the classes that the media and SIP
 * target rules need (faults.md 4). An IPv4-mapped IPv6 address *is* the IPv4 one everywhere (RFC 5118 4.9, RFC 4291 2.5.5.2).
 */

/** Octets in network order: 4 for IPv4, 16 for IPv6. Never an IPv4-mapped 16. */
export interface IpAddress {
  readonly family: 4 | 6;
  readonly octets: Uint8Array;
}

/** Longest text: 8 groups, a zone is not part of an address on the wire. */
const MAX_TEXT = 45;
const MAPPED_PREFIX = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** An address without port; brackets around IPv6 are tolerated. Undefined when it is none (names, zones, leading zeros). */
export function parseIp(text: string): IpAddress | undefined {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text;
  if (bare.length === 0 || bare.length > MAX_TEXT) return undefined;
  if (!bare.includes(':')) {
    const octets = bare === text ? ipv4Octets(bare) : undefined;
    return octets && { family: 4, octets: new Uint8Array(octets) };
  }
  const octets = ipv6Octets(bare);
  if (octets === undefined) return undefined;
  if (MAPPED_PREFIX.every((octet, i) => octets[i] === octet)) return { family: 4, octets: octets.slice(12) };
  return { family: 6, octets };
}

/** Decimal quad; undefined for octal-looking or short forms, which different hosts read differently. */
function ipv4Octets(text: string): number[] | undefined {
  const octets: number[] = [];
  let value = 0;
  let digits = 0;
  for (let i = 0; i <= text.length; i++) {
    const code = i === text.length ? 0x2e : text.charCodeAt(i);
    if (code === 0x2e) {
      if (digits === 0 || value > 255) return undefined;
      octets.push(value);
      value = digits = 0;
    } else {
      if (code < 0x30 || code > 0x39 || digits === 3 || (digits > 0 && value === 0)) return undefined;
      value = value * 10 + code - 0x30;
      digits++;
    }
  }
  return octets.length === 4 ? octets : undefined;
}

function ipv6Octets(text: string): Uint8Array | undefined {
  // RFC 3261's grammar lets `::` meet the colon before an embedded IPv4 address: `2001:db8:::192.0.2.1` (RFC 5118 4.10).
  const halves = (text.includes('.') ? text.replace(':::', '::') : text).split('::');
  if (halves.length > 2) return undefined;
  const head = groupOctets(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? groupOctets(halves[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const given = head.length + tail.length;
  if (halves.length === 1 ? given !== 16 : given > 14) return undefined;
  const octets = new Uint8Array(16);
  octets.set(head);
  octets.set(tail, 16 - tail.length);
  return octets;
}

/** Colon-separated groups; an IPv4 quad may close them when they end the address. */
function groupOctets(text: string, endsAddress: boolean): number[] | undefined {
  if (text === '') return [];
  const octets: number[] = [];
  const groups = text.split(':');
  for (const [i, group] of groups.entries()) {
    if (endsAddress && i === groups.length - 1 && group.includes('.')) {
      const quad = ipv4Octets(group);
      if (quad === undefined) return undefined;
      octets.push(...quad);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      const value = parseInt(group, 16);
      octets.push(value >> 8, value & 0xff);
    }
  }
  return octets;
}

/** The one text of an address: IPv4 dotted, IPv6 as RFC 5952 writes it. */
export function formatIp(address: IpAddress): string {
  if (address.family === 4) return address.octets.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (address.octets[2 * i]! << 8) | address.octets[2 * i + 1]!);
  const run = longestZeroRun(groups);
  const hex = (from: number, to: number): string => groups.slice(from, to).map(group => group.toString(16)).join(':');
  return run.length < 2 ? hex(0, 8) : `${hex(0, run.at)}::${hex(run.at + run.length, 8)}`;
}

function longestZeroRun(groups: readonly number[]): { at: number; length: number } {
  let best = { at: 0, length: 0 };
  for (let at = 0; at < groups.length; at++) {
    let length = 0;
    while (groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
    at += length;
  }
  return best;
}

/** One text for one address: `[2001:DB8::0:1]` -> `2001:db8::1`, `::ffff:192.0.2.1` -> `192.0.2.1`. Undefined when it is no address. */
export function normalizeIp(text: string): string | undefined {
  // Of IPv4 only the canonical form is read at all; asked several times for every message.
  if (!text.includes(':')) return ipv4Octets(text) === undefined ? undefined : text;
  const address = parseIp(text);
  return address && formatIp(address);
}

/** Host part of a URI, Via or SDP line as a key: an address in its one text, a name in lower case without its final dot. */
export function normalizeHost(host: string): string {
  return normalizeIp(host) ?? host.toLowerCase().replace(/\.$/, '');
}

/** `192.0.2.1` or `[2001:db8::1]`: as URIs and Via write a host (RFC 3261 25.1). */
export const bracketed = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);

export const isIp = (text: string): boolean => parseIp(text) !== undefined;

export interface Network {
  readonly address: IpAddress;
  readonly prefixBits: number;
}

/** `192.0.2.0/24`, `2001:db8::/32`, or a single address. Bits behind the prefix are ignored. */
export function parseNetwork(cidr: string): Network | undefined {
  const slash = cidr.indexOf('/');
  const text = slash < 0 ? cidr : cidr.slice(0, slash);
  const address = parseIp(text);
  if (address === undefined) return undefined;
  const mapped = address.family === 4 && text.includes(':');
  const width = address.octets.length * 8;
  if (slash < 0) return { address, prefixBits: width };
  const bits = cidr.slice(slash + 1);
  if (!/^\d{1,3}$/.test(bits)) return undefined;
  const prefixBits = Number(bits) - (mapped ? 96 : 0);
  return prefixBits < 0 || prefixBits > width ? undefined : { address, prefixBits };
}

/** False for a malformed address or network: what cannot be read is not inside. */
export function inNetwork(address: string, cidr: string): boolean {
  const ip = parseIp(address);
  const network = parseNetwork(cidr);
  return ip !== undefined && network !== undefined && contains(network, ip);
}

export function contains(network: Network, ip: IpAddress): boolean {
  if (network.address.family !== ip.family) return false;
  for (let bit = 0; bit < network.prefixBits; bit += 8) {
    const mask = (0xff << Math.max(0, 8 - (network.prefixBits - bit))) & 0xff;
    const i = bit >> 3;
    if (((network.address.octets[i]! ^ ip.octets[i]!) & mask) !== 0) return false;
  }
  return true;
}

/** The same address, however written. False when either is none. */
export function sameIp(a: string, b: string): boolean {
  const left = normalizeIp(a);
  return left !== undefined && left === normalizeIp(b);
}

export type AddressClass = (address: string | IpAddress) => boolean;

/** A set of addresses. False for what is no address. */
export function classOf(...cidrs: readonly string[]): AddressClass {
  const networks = cidrs.map(cidr => parseNetwork(cidr)!);
  return address => {
    const ip = typeof address === 'string' ? parseIp(address) : address;
    return ip !== undefined && networks.some(network => contains(network, ip));
  };
}

export const isLoopback = classOf('127.0.0.0/8', '::1/128');
export const isMulticast = classOf('224.0.0.0/4', 'ff00::/8');
export const isLinkLocal = classOf('169.254.0.0/16', 'fe80::/10');
/** Limited broadcast. A directed broadcast cannot be told from a host without its netmask. */
export const isBroadcast = classOf('255.255.255.255/32');
/** `0.0.0.0/8` and `::`: "this network", never a destination. */
export const isUnspecified = classOf('0.0.0.0/8', '::/128');
