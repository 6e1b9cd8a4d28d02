/**
 * The datagram by which two nodes know of each other: fixed fields, two short texts, HMAC-SHA256 over all of it. All numbers are
 * big-endian.
 *
 *   0 "VLHB" | 4 format | 5 role | 6 fitness | 7 load | 8 flags | 9 state version | 10 path | 11 media | 12 boot (8) | 20 counter (4) |
 *   24 term (4) | 28 heard boot (8) | 36 heard counter (4) | 40 heard age, ms (2) | 42 name length, name | version length, version | MAC (32)
 *
 * `heard` is what its sender last took from us: it proves to us that the datagram is no older than that (peer-watch.ts), and
 * tells whether the sender hears us at all.
 */
import { fromHex, toByteString, toHex, writeByteString } from '../bytes.ts';
import { type Result, fail, ok } from '../result.ts';

const MAGIC = 'VLHB';
const FORMAT = 1;
const HEAD_BYTES = 42;
const BOOT_BYTES = 8;
const MAC_BYTES = 32;
const MAX_TEXT_BYTES = 32;
/** Nothing longer is looked at. */
export const MAX_HEARTBEAT_BYTES = HEAD_BYTES + 2 * (1 + MAX_TEXT_BYTES) + MAC_BYTES;
const MAX_AGE_MS = 0xffff;
const MAX_PERCENT = 100;

const ROLES = ['standby', 'active', 'isolated', 'maintenance'] as const;
export type ClusterRole = (typeof ROLES)[number];

const FLAG_CANDIDATE = 1;
const FLAG_WITNESS = 2;
const FLAG_LEAVING = 4;
const ALL_FLAGS = FLAG_CANDIDATE | FLAG_WITNESS | FLAG_LEAVING;

const MEDIA_FIT = 1;
const MEDIA_OWN = 2;
const MEDIA_OTHER = 4;
const ALL_MEDIA = MEDIA_FIT | MEDIA_OWN | MEDIA_OTHER;

/** What its sender says of media addresses (media-places.ts). */
export interface MediaWord {
  /** Its own address is served by it, or would be. */
  readonly fit: boolean;
  /** It has its own address now. */
  readonly own: boolean;
  /** It has that of the receiver now. */
  readonly other: boolean;
}

export interface Heartbeat {
  readonly role: ClusterRole;
  /** 0 to 100. */
  readonly fitness: number;
  /** Percent of what it can carry. */
  readonly load: number;
  /** It is about to become active. */
  readonly candidate: boolean;
  /** It reaches the witness. */
  readonly witness: boolean;
  /** It gives the active role up, by order or for want of fitness: nobody has to wait for it. */
  readonly leaving: boolean;
  readonly media: MediaWord;
  /** Of what is replicated: a node with a lower one cannot read all of it. */
  readonly stateVersion: number;
  /** Index of the path that it was sent over. */
  readonly path: number;
  /** Lower-case hex: another one after each start of clusterd. */
  readonly boot: string;
  /** Grows with each datagram of a boot, over all paths. */
  readonly counter: number;
  readonly term: number;
  /** Null: nothing was heard of the receiver yet. */
  readonly heard: { readonly boot: string; readonly counter: number; readonly ageMs: number } | null;
  readonly name: string;
  readonly version: string;
}

export const NO_MEDIA: MediaWord = { fit: false, own: false, other: false };

/** HMAC-SHA256 of a byte string under the key of the pair, as lower-case hex. */
export type Mac = (text: string) => string;

const NO_BOOT = '0'.repeat(2 * BOOT_BYTES);

function writeUint32(into: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) into[at + i] = (value >>> (24 - 8 * i)) & 0xff;
}

const readUint32 = (bytes: Uint8Array, at: number): number => ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;

const printable = (text: string): string => text.replace(/[^\x21-\x7e]/g, '?').slice(0, MAX_TEXT_BYTES);
const limited = (value: number, most: number): number => Math.max(0, Math.min(most, Math.round(value)));

export function encodeHeartbeat(beat: Heartbeat, mac: Mac): Uint8Array {
  const name = printable(beat.name);
  const version = printable(beat.version);
  const bytes = new Uint8Array(HEAD_BYTES + 2 + name.length + version.length + MAC_BYTES);
  writeByteString(MAGIC, bytes, 0);
  const flags = (beat.candidate ? FLAG_CANDIDATE : 0) | (beat.witness ? FLAG_WITNESS : 0) | (beat.leaving ? FLAG_LEAVING : 0);
  bytes.set([FORMAT, ROLES.indexOf(beat.role), limited(beat.fitness, MAX_PERCENT), limited(beat.load, MAX_PERCENT), flags, beat.stateVersion, beat.path, mediaBits(beat.media)], 4);
  bytes.set(fromHex(beat.boot)!, 12);
  writeUint32(bytes, 20, beat.counter);
  writeUint32(bytes, 24, beat.term);
  bytes.set(fromHex(beat.heard?.boot ?? NO_BOOT)!, 28);
  writeUint32(bytes, 36, beat.heard?.counter ?? 0);
  const ageMs = limited(beat.heard?.ageMs ?? MAX_AGE_MS, MAX_AGE_MS);
  bytes.set([ageMs >> 8, ageMs & 0xff], 40);
  const end = writeText(version, bytes, writeText(name, bytes, HEAD_BYTES));
  bytes.set(fromHex(mac(toByteString(bytes, 0, end)))!, end);
  return bytes;
}

const mediaBits = ({ fit, own, other }: MediaWord): number => (fit ? MEDIA_FIT : 0) | (own ? MEDIA_OWN : 0) | (other ? MEDIA_OTHER : 0);

function writeText(text: string, into: Uint8Array, at: number): number {
  into[at] = text.length;
  return writeByteString(text, into, at + 1);
}

/** What comes from the network. Nothing but the length is believed before the MAC was seen to be right. */
export function parseHeartbeat(bytes: Uint8Array, mac: Mac): Result<Heartbeat> {
  const end = bytes.length - MAC_BYTES;
  if (bytes.length > MAX_HEARTBEAT_BYTES || end < HEAD_BYTES + 2) return fail(0, 'not the length of a heartbeat');
  if (toByteString(bytes, 0, 4) !== MAGIC) return fail(0, 'not a heartbeat');
  if (!sameText(toHex(bytes.subarray(end)), mac(toByteString(bytes, 0, end)))) return fail(end, 'not signed with our key');
  if (bytes[4] !== FORMAT) return fail(4, `heartbeat of format ${bytes[4]}`);
  return readFields(bytes, end);
}

function readFields(bytes: Uint8Array, end: number): Result<Heartbeat> {
  const role = ROLES[bytes[5]!];
  if (role === undefined) return fail(5, 'unknown role');
  for (const at of [6, 7]) if (bytes[at]! > MAX_PERCENT) return fail(at, 'more than 100 %');
  const flags = bytes[8]!;
  if ((flags & ~ALL_FLAGS) !== 0) return fail(8, 'unknown flag');
  const media = bytes[11]!;
  if ((media & ~ALL_MEDIA) !== 0) return fail(11, 'unknown flag');
  const name = readText(bytes, HEAD_BYTES, end);
  if (name === undefined) return fail(HEAD_BYTES, 'unreadable name');
  const versionAt = HEAD_BYTES + 1 + name.length;
  const version = readText(bytes, versionAt, end);
  if (version === undefined || versionAt + 1 + version.length !== end) return fail(versionAt, 'unreadable version');
  const heardBoot = toHex(bytes.subarray(28, 28 + BOOT_BYTES));
  return ok({
    role, fitness: bytes[6]!, load: bytes[7]!, stateVersion: bytes[9]!, path: bytes[10]!, name, version,
    candidate: (flags & FLAG_CANDIDATE) !== 0, witness: (flags & FLAG_WITNESS) !== 0, leaving: (flags & FLAG_LEAVING) !== 0,
    media: { fit: (media & MEDIA_FIT) !== 0, own: (media & MEDIA_OWN) !== 0, other: (media & MEDIA_OTHER) !== 0 },
    boot: toHex(bytes.subarray(12, 12 + BOOT_BYTES)), counter: readUint32(bytes, 20), term: readUint32(bytes, 24),
    heard: heardBoot === NO_BOOT ? null : { boot: heardBoot, counter: readUint32(bytes, 36), ageMs: (bytes[40]! << 8) | bytes[41]! },
  });
}

function readText(bytes: Uint8Array, at: number, end: number): string | undefined {
  const length = bytes[at]!;
  if (length > MAX_TEXT_BYTES || at + 1 + length > end) return undefined;
  const text = toByteString(bytes, at + 1, at + 1 + length);
  return /^[\x21-\x7e]*$/.test(text) ? text : undefined;
}

/** Takes as long for a wrong first character as for a wrong last one. */
function sameText(a: string, b: string): boolean {
  let different = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) different |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return different === 0;
}
