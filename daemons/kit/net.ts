/**
 * Which of our addresses a packet to a peer would carry, without sending one.
 */
import { readFileSync } from 'node:fs';
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { contains, formatIp, isIp, isLoopback, normalizeIp, parseIp, parseNetwork } from '#core/ip.ts';
import type { Clock } from './clock.ts';

/** Interfaces and routes change rarely; asking costs system calls. */
const REFRESH_MS = 5000;
const MAX_CACHED = 10_000;

/** An address as we write it everywhere: IPv4-mapped IPv6 is IPv4, no zone. */
export function plainAddress(address: string): string {
  const zone = address.indexOf('%');
  const bare = zone < 0 ? address : address.slice(0, zone);
  return bare.includes(':') ? (normalizeIp(bare) ?? bare) : bare;
}

export const isWildcard = (address: string): boolean => address === '0.0.0.0' || address === '::';
export const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);

interface Route {
  readonly cidr: string;
  readonly prefixBits: number;
  readonly metric: number;
  readonly device: string;
}

export class LocalAddresses {
  readonly #clock: Clock;
  #interfaces: Readonly<Record<string, NetworkInterfaceInfo[] | undefined>> = {};
  #routes: Route[] = [];
  #readAt = -Infinity;
  readonly #cache = new Map<string, string | undefined>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Source address toward `remote`; undefined when there is no route of its family. */
  sourceFor(remote: string): string | undefined {
    this.#refresh();
    if (!this.#cache.has(remote)) {
      if (this.#cache.size >= MAX_CACHED) this.#cache.clear();
      this.#cache.set(remote, this.#choose(remote));
    }
    return this.#cache.get(remote);
  }

  #refresh(): void {
    const now = this.#clock.now();
    if (now - this.#readAt < REFRESH_MS) return;
    this.#readAt = now;
    this.#interfaces = networkInterfaces();
    this.#routes = [...readIp4Routes(), ...readIp6Routes()];
    this.#cache.clear();
  }

  /** As the kernel does: an address of our own answers for itself, then the interface's own network, then the best route. */
  #choose(remote: string): string | undefined {
    if (isLoopback(remote)) return familyOf(remote) === 6 ? '::1' : '127.0.0.1';
    const ip = parseIp(remote);
    if (ip === undefined) return undefined;
    const own = Object.values(this.#interfaces).flatMap(infos => infos ?? []).filter(info => familyOf(info.address) === ip.family);
    const same = own.find(info => plainAddress(info.address) === remote);
    if (same !== undefined) return plainAddress(same.address);
    const near = own.filter(info => info.cidr !== null && isNear(info.cidr, remote)).sort((a, b) => bitsOf(b.cidr) - bitsOf(a.cidr))[0];
    if (near !== undefined) return plainAddress(near.address);
    const route = this.#routes.filter(candidate => isNear(candidate.cidr, remote)).sort((a, b) => b.prefixBits - a.prefixBits || a.metric - b.metric)[0];
    const info = route === undefined ? undefined : this.#interfaces[route.device]?.find(candidate => familyOf(candidate.address) === ip.family && !candidate.address.startsWith('fe80:'));
    return info === undefined ? undefined : plainAddress(info.address);
  }
}

const bitsOf = (cidr: string | null): number => Number(cidr?.slice(cidr.indexOf('/') + 1) ?? 0);

function isNear(cidr: string, address: string): boolean {
  const network = parseNetwork(cidr);
  const ip = parseIp(address);
  return network !== undefined && ip !== undefined && contains(network, ip);
}

const readTable = (path: string): string[][] => {
  try {
    return readFileSync(path, 'latin1').split('\n').map(line => line.trim().split(/\s+/));
  } catch {
    return [];
  }
};

/** proc(5): addresses in hexadecimal, least significant octet first. */
function readIp4Routes(): Route[] {
  return readTable('/proc/self/net/route').flatMap(([device, destination, , , , , metric, mask]) => {
    if (device === undefined || destination === undefined || !/^[0-9A-F]{8}$/.test(destination) || mask === undefined) return [];
    const address = (destination.match(/../g) ?? []).reverse().map(octet => parseInt(octet, 16)).join('.');
    const prefixBits = parseInt(mask, 16).toString(2).replaceAll('0', '').length;
    return [{ cidr: `${address}/${prefixBits}`, prefixBits, metric: Number(metric), device }];
  });
}

function readIp6Routes(): Route[] {
  return readTable('/proc/self/net/ipv6_route').flatMap(([destination, bits, , , , metric, , , , device]) => {
    if (device === undefined || device === 'lo' || destination === undefined || bits === undefined || metric === undefined) return [];
    const octets = Uint8Array.from((destination.match(/../g) ?? []).map(octet => parseInt(octet, 16)));
    const prefixBits = parseInt(bits, 16);
    return octets.length === 16 ? [{ cidr: `${formatIp({ family: 6, octets })}/${prefixBits}`, prefixBits, metric: parseInt(metric, 16), device }] : [];
  });
}

/** An address by which others may reach this machine: the first that is not loopback, else loopback. */
export function ownAddress(): string {
  const own = Object.values(networkInterfaces()).flatMap(infos => infos ?? []).find(info => info.family === 'IPv4' && !info.internal);
  return own?.address ?? '127.0.0.1';
}

/** Of an interface of this machine, now. */
export function isOwnAddress(address: string): boolean {
  const own = plainAddress(address);
  return Object.values(networkInterfaces()).some(infos => infos?.some(info => plainAddress(info.address) === own) === true);
}

/** Host names are refused: the gateway asks no DNS, so that nothing leaves the declared addresses (faults.md 5). */
export function requireIp(address: string): string {
  if (!isIp(address)) throw new TypeError(`not an IP address: ${address}`);
  return plainAddress(address);
}
