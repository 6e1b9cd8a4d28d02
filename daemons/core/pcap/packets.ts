/** IP packets around what was recorded above IP (RFC 791, 8200, 768, 9293), with the checksums a dissector looks at. */
import { type IpAddress, parseIp } from '../ip.ts';

export interface Place {
  readonly address: string;
  readonly port: number;
}

const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;
const UDP_HEADER_BYTES = 8;
const TCP_HEADER_BYTES = 20;
const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const HOP_LIMIT = 64;
const VERSION_4_WITH_20_BYTES = 0x45;
const WINDOW = 0xffff;
/** What one IP packet can carry over its longest transport header. */
export const MAX_UDP_PAYLOAD = 65_535 - IPV4_HEADER_BYTES - UDP_HEADER_BYTES;

const UNSPECIFIED: Readonly<Record<4 | 6, IpAddress>> = { 4: { family: 4, octets: new Uint8Array(4) }, 6: { family: 6, octets: new Uint8Array(16) } };

/** Both ends in one family: what cannot be read, or is of the other one, is the unspecified address. */
function addressesOf(from: Place, to: Place): readonly [IpAddress, IpAddress] {
  const [source, target] = [parseIp(from.address), parseIp(to.address)];
  const family = target?.family ?? source?.family ?? 4;
  const inFamily = (address: IpAddress | undefined): IpAddress => (address?.family === family ? address : UNSPECIFIED[family]);
  return [inFamily(source), inFamily(target)];
}

function put16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

function put32(bytes: Uint8Array, at: number, value: number): void {
  put16(bytes, at, value >>> 16);
  put16(bytes, at + 2, value);
}

/** RFC 1071, not yet inverted; an odd last octet counts as the upper half. */
function sumOf(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let at = 0; at + 1 < bytes.length; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  if (bytes.length % 2 !== 0) sum += bytes[bytes.length - 1]! << 8;
  return sum;
}

function checksumOf(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}

function ipPacket(source: IpAddress, target: IpAddress, protocol: number, segment: Uint8Array): Uint8Array {
  const headerBytes = source.family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  const packet = new Uint8Array(headerBytes + segment.length);
  packet.set(segment, headerBytes);
  if (source.family === 6) {
    packet[0] = 0x60;
    put16(packet, 4, segment.length);
    packet[6] = protocol;
    packet[7] = HOP_LIMIT;
    packet.set(source.octets, 8);
    packet.set(target.octets, 24);
    return packet;
  }
  packet[0] = VERSION_4_WITH_20_BYTES;
  put16(packet, 2, packet.length);
  packet[8] = HOP_LIMIT;
  packet[9] = protocol;
  packet.set(source.octets, 12);
  packet.set(target.octets, 16);
  put16(packet, 10, checksumOf(sumOf(packet.subarray(0, IPV4_HEADER_BYTES))));
  return packet;
}

/** Over the addresses, the protocol and the length too (RFC 768, 9293 3.1, 8200 8.1). */
function transportChecksum(source: IpAddress, target: IpAddress, protocol: number, segment: Uint8Array): number {
  return checksumOf(sumOf(segment, sumOf(source.octets, sumOf(target.octets, protocol + segment.length))));
}

/** One datagram; a payload over MAX_UDP_PAYLOAD is cut. */
export function udpPacket(from: Place, to: Place, payload: Uint8Array): Uint8Array {
  const [source, target] = addressesOf(from, to);
  const kept = payload.subarray(0, MAX_UDP_PAYLOAD);
  const segment = new Uint8Array(UDP_HEADER_BYTES + kept.length);
  put16(segment, 0, from.port);
  put16(segment, 2, to.port);
  put16(segment, 4, segment.length);
  segment.set(kept, UDP_HEADER_BYTES);
  // A sum of 0 is sent as its other zero: 0 means none.
  put16(segment, 6, transportChecksum(source, target, PROTOCOL_UDP, segment) || 0xffff);
  return ipPacket(source, target, PROTOCOL_UDP, segment);
}

export const TCP_FLAG = { syn: 0x02, push: 0x08, ack: 0x10 } as const;

export interface TcpSegment {
  readonly sequence: number;
  readonly acknowledged: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

export function tcpPacket(from: Place, to: Place, { sequence, acknowledged, flags, payload }: TcpSegment): Uint8Array {
  const [source, target] = addressesOf(from, to);
  const segment = new Uint8Array(TCP_HEADER_BYTES + payload.length);
  put16(segment, 0, from.port);
  put16(segment, 2, to.port);
  put32(segment, 4, sequence);
  put32(segment, 8, acknowledged);
  segment[12] = (TCP_HEADER_BYTES / 4) << 4;
  segment[13] = flags;
  put16(segment, 14, WINDOW);
  segment.set(payload, TCP_HEADER_BYTES);
  put16(segment, 16, transportChecksum(source, target, PROTOCOL_TCP, segment));
  return ipPacket(source, target, PROTOCOL_TCP, segment);
}
