/** STUN (RFC 8489) as far as an ICE lite agent needs it: binding requests in, success responses out. Total and bounded. */
import { concatBytes, toByteString } from '../bytes.ts';
import { parseIp } from '../ip.ts';
import { type Result, fail, ok } from '../result.ts';

/** A connectivity check is around 100 bytes. */
export const MAX_STUN_BYTES = 1280;
const HEADER_BYTES = 20;
const MAGIC = 0x2112a442;
const MAX_ATTRIBUTES = 32;
const BINDING_REQUEST = 0x0001;
const BINDING_SUCCESS = 0x0101;
const ATTRIBUTE = { username: 0x0006, integrity: 0x0008, xorMappedAddress: 0x0020, useCandidate: 0x0025, fingerprint: 0x8028 } as const;
const INTEGRITY_BYTES = 20;
/** RFC 8489 14.7. */
const FINGERPRINT_XOR = 0x5354554e;

/** HMAC-SHA-1 under one key: 20 bytes. */
export type Sha1Mac = (bytes: Uint8Array) => Uint8Array;

export interface BindingRequest {
  readonly transactionId: Uint8Array;
  /** `receiver:sender`. */
  readonly username: string;
  /** Offset of MESSAGE-INTEGRITY. */
  readonly integrityAt: number;
  /** The controlling side takes this path (RFC 8445 7.1.2). */
  readonly useCandidate: boolean;
}

/** First byte 0 or 1 and the magic cookie tell STUN from DTLS and SRTP on one port (RFC 7983). */
export function isStun(bytes: Uint8Array): boolean {
  return bytes.length >= HEADER_BYTES && bytes[0]! < 4 && uint32(bytes, 4) === MAGIC;
}

export function parseBindingRequest(bytes: Uint8Array): Result<BindingRequest> {
  if (!isStun(bytes)) return fail(0, 'not STUN');
  if (bytes.length > MAX_STUN_BYTES) return fail(MAX_STUN_BYTES, 'too long');
  if (uint16(bytes, 0) !== BINDING_REQUEST) return fail(0, 'no binding request');
  const end = HEADER_BYTES + uint16(bytes, 2);
  if (end !== bytes.length || end % 4 !== 0) return fail(2, 'length does not fit');
  let username: string | undefined;
  let integrityAt = -1;
  let useCandidate = false;
  let count = 0;
  for (let at = HEADER_BYTES; at < end; ) {
    if (at + 4 > end || ++count > MAX_ATTRIBUTES) return fail(at, 'attributes do not fit');
    const [type, length] = [uint16(bytes, at), uint16(bytes, at + 2)];
    const next = at + 4 + Math.ceil(length / 4) * 4;
    if (next > end) return fail(at, 'attribute longer than the message');
    if (type === ATTRIBUTE.username) username ??= toByteString(bytes, at + 4, at + 4 + length);
    else if (type === ATTRIBUTE.useCandidate) useCandidate = true;
    else if (type === ATTRIBUTE.integrity) {
      if (length !== INTEGRITY_BYTES) return fail(at, 'MESSAGE-INTEGRITY is not 20 bytes');
      integrityAt = at;
      // What stands behind it is not covered by it, FINGERPRINT aside (RFC 8489 14.5).
      break;
    }
    at = next;
  }
  if (username === undefined || integrityAt < 0) return fail(HEADER_BYTES, 'USERNAME or MESSAGE-INTEGRITY is missing');
  return ok({ transactionId: bytes.slice(8, HEADER_BYTES), username, integrityAt, useCandidate });
}

/** MESSAGE-INTEGRITY fits: over everything before it, with a length that ends with it. */
export function integrityFits(bytes: Uint8Array, integrityAt: number, mac: Sha1Mac): boolean {
  const covered = bytes.slice(0, integrityAt);
  writeUint16(covered, 2, integrityAt + 4 + INTEGRITY_BYTES - HEADER_BYTES);
  const expected = mac(covered);
  let difference = 0;
  for (let i = 0; i < INTEGRITY_BYTES; i++) difference |= expected[i]! ^ bytes[integrityAt + 4 + i]!;
  return difference === 0;
}

/** Success response with the address that the request came from. Undefined for an address that is none. */
export function bindingSuccess(transactionId: Uint8Array, address: string, port: number, mac: Sha1Mac): Uint8Array | undefined {
  const ip = parseIp(address);
  if (ip === undefined) return undefined;
  const cookie = Uint8Array.of(0x21, 0x12, 0xa4, 0x42);
  const key = concatBytes(cookie, transactionId);
  const mapped = Uint8Array.of(0, ip.family === 4 ? 1 : 2, (port >> 8) ^ 0x21, (port & 0xff) ^ 0x12, ...ip.octets.map((octet, i) => octet ^ key[i]!));
  const head = new Uint8Array(HEADER_BYTES);
  writeUint16(head, 0, BINDING_SUCCESS);
  head.set(key, 4);
  let message = concatBytes(head, attribute(ATTRIBUTE.xorMappedAddress, mapped));
  writeUint16(message, 2, message.length + 4 + INTEGRITY_BYTES - HEADER_BYTES);
  message = concatBytes(message, attribute(ATTRIBUTE.integrity, mac(message)));
  writeUint16(message, 2, message.length + 8 - HEADER_BYTES);
  const check = (crc32(message) ^ FINGERPRINT_XOR) >>> 0;
  return concatBytes(message, attribute(ATTRIBUTE.fingerprint, Uint8Array.of(check >>> 24, check >>> 16, check >>> 8, check)));
}

/** A binding request as a client sends it: for tests and for looking at. */
export function bindingRequest(transactionId: Uint8Array, username: string, useCandidate: boolean, mac: Sha1Mac): Uint8Array {
  const head = new Uint8Array(HEADER_BYTES);
  writeUint16(head, 0, BINDING_REQUEST);
  head.set([0x21, 0x12, 0xa4, 0x42], 4);
  head.set(transactionId, 8);
  const name = Uint8Array.from(username, character => character.charCodeAt(0));
  const message = concatBytes(head, attribute(ATTRIBUTE.username, name), ...(useCandidate ? [attribute(ATTRIBUTE.useCandidate, new Uint8Array(0))] : []));
  writeUint16(message, 2, message.length + 4 + INTEGRITY_BYTES - HEADER_BYTES);
  return concatBytes(message, attribute(ATTRIBUTE.integrity, mac(message)));
}

function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + Math.ceil(value.length / 4) * 4);
  writeUint16(bytes, 0, type);
  writeUint16(bytes, 2, value.length);
  bytes.set(value, 4);
  return bytes;
}

const uint16 = (bytes: Uint8Array, at: number): number => (bytes[at]! << 8) | bytes[at + 1]!;
const uint32 = (bytes: Uint8Array, at: number): number => ((uint16(bytes, at) << 16) | uint16(bytes, at + 2)) >>> 0;
function writeUint16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

const CRC = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** CRC-32 of ITU V.42, as RFC 8489 14.7 names it. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC[(crc ^ byte) & 0xff]!;
  return (crc ^ 0xffffffff) >>> 0;
}
