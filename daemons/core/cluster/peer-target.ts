/** The first line on a connection from the other node: which daemon of this node it is for. `viewlink-peer/1 NAME LF` */
import { type Result, fail, ok } from '../result.ts';

const HEAD = 'viewlink-peer/1 ';
const LINE_END = 0x0a;
const DIGITS = 3;
const NAME = new RegExp(`^(?:apid|configd|clusterd|mediad-[1-9]\\d{0,${DIGITS - 1}})$`);
const MAX_NAME = 'mediad-'.length + DIGITS;
/** With its end. */
export const MAX_TARGET_BYTES = HEAD.length + Math.max(MAX_NAME, 'clusterd'.length) + 1;

/** Daemons that the other node may speak to. */
export const peerTargets = (instances: number): readonly string[] => [...Array.from({ length: instances }, (_, i) => `mediad-${i + 1}`), 'configd', 'clusterd', 'apid'];

export const formatTarget = (name: string): string => `${HEAD}${name}\n`;

export interface PeerTarget {
  readonly name: string;
  /** Where the line ends: what follows is for the daemon. */
  readonly length: number;
}

/** Undefined: more of it has to come. Whoever is not in `known` cannot be asked for. */
export function parseTarget(bytes: Uint8Array, known: readonly string[]): Result<PeerTarget> | undefined {
  const end = bytes.subarray(0, MAX_TARGET_BYTES).indexOf(LINE_END);
  const text = String.fromCharCode(...bytes.subarray(0, end < 0 ? MAX_TARGET_BYTES : end));
  for (let i = 0; i < Math.min(text.length, HEAD.length); i++) if (text[i] !== HEAD[i]) return fail(i, 'not from another node');
  if (end < 0) return bytes.length < MAX_TARGET_BYTES ? undefined : fail(MAX_TARGET_BYTES, 'a line without an end');
  const name = text.slice(HEAD.length);
  if (!NAME.test(name) || !known.includes(name)) return fail(Math.min(end, HEAD.length), 'no such daemon for other nodes');
  return ok({ name, length: end + 1 });
}
