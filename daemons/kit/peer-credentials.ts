/** Who is at the other end of a unix socket, as the kernel says (SO_PEERCRED). The other half is native/peer-credentials.c. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Socket } from 'node:net';

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  /** Its primary group. */
  readonly gid: number;
}

interface PeerAddon {
  peerOf(fd: number, words: Int32Array): number;
}

const ADDON_PATH = './native/build/peer-credentials.node';
/** First uid inside, first uid outside, how many: all of them are as they are. */
const WHOLE_MAP = /^\s*0\s+0\s+4294967295\s*$/;

let loaded: PeerAddon | null | undefined;

function addon(): PeerAddon | null {
  if (loaded !== undefined) return loaded;
  try {
    loaded = createRequire(import.meta.url)(ADDON_PATH) as PeerAddon;
  } catch {
    loaded = null;
  }
  return loaded;
}

/**
 * Whether this process can tell its peers apart: not without the addon, and not in a user namespace of its own
 * (PrivateUsers=), where everybody else looks like nobody.
 */
export const peersAreKnown = (): boolean => (known ??= addon() !== null && seesEveryUser());
let known: boolean | undefined;

function seesEveryUser(): boolean {
  try {
    return WHOLE_MAP.test(readFileSync('/proc/self/uid_map', 'utf8'));
  } catch {
    return false;
  }
}

/** Null when the kernel does not say. */
export function peerOf(socket: Socket): PeerCredentials | null {
  const fd = (socket as unknown as { readonly _handle?: { readonly fd?: number } | null })._handle?.fd;
  const words = new Int32Array(3);
  if (fd === undefined || fd < 0 || addon()?.peerOf(fd, words) !== 0) return null;
  return { pid: words[0]!, uid: words[1]! >>> 0, gid: words[2]! >>> 0 };
}
