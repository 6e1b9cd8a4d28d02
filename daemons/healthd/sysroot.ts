/**
 * /proc and /sys, under another root where tests and captured machines stand. Reads are small and synchronous: the kernel answers
 * from memory. What is missing or may not be read is undefined; that is no failure of ours.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statfsSync } from 'node:fs';
import type { Space } from '#core/health/measure/storage.ts';
import { linesOf } from '#core/health/linux/text.ts';

const MAX_BYTES = 512 * 1024;
/** In another root the space of its file systems stands in this file: `PATH SIZE FREE USED INODES INODES-FREE` a line. */
const SPACES_FILE = '/statfs';

export class Sysroot {
  readonly root: string;
  readonly #buffer = Buffer.allocUnsafe(MAX_BYTES);

  /** Empty: the machine itself. */
  constructor(root = '') {
    this.root = root.replace(/\/+$/, '');
  }

  text(path: string): string | undefined {
    let file: number;
    try {
      file = openSync(this.root + path, 'r');
    } catch {
      return undefined;
    }
    try {
      return this.#read(file);
    } catch {
      return undefined;
    } finally {
      closeSync(file);
    }
  }

  /** What `parse` makes of it; undefined without the file. */
  parsed<T>(path: string, parse: (text: string) => T): T | undefined {
    const text = this.text(path);
    return text === undefined ? undefined : parse(text);
  }

  /** Empty when it is not there. */
  list(path: string): readonly string[] {
    try {
      return readdirSync(this.root + path).sort();
    } catch {
      return [];
    }
  }

  space(path: string): Space | null {
    if (this.root !== '') return spaceIn(this.text(SPACES_FILE) ?? '', path);
    try {
      const { bsize, blocks, bfree, bavail, files, ffree } = statfsSync(path);
      return { sizeBytes: blocks * bsize, freeBytes: bavail * bsize, usedBytes: (blocks - bfree) * bsize, inodes: files, inodesFree: ffree };
    } catch {
      return null;
    }
  }

  /** A file of any size up to the bound, for what is no kernel text. */
  bytes(path: string): Buffer | undefined {
    try {
      const bytes = readFileSync(this.root + path);
      return bytes.length > MAX_BYTES ? undefined : bytes;
    } catch {
      return undefined;
    }
  }

  /** Files of /proc give themselves in pieces. */
  #read(file: number): string {
    let length = 0;
    for (let got = -1; got !== 0 && length < MAX_BYTES; length += got) got = readSync(file, this.#buffer, length, MAX_BYTES - length, null);
    return this.#buffer.toString('utf8', 0, length);
  }
}

function spaceIn(text: string, path: string): Space | null {
  const line = linesOf(text).find(each => each.startsWith(`${path} `));
  if (line === undefined) return null;
  const [sizeBytes = 0, freeBytes = 0, usedBytes = 0, inodes = 0, inodesFree = 0] = line.slice(path.length + 1).split(' ').map(Number);
  return { sizeBytes, freeBytes, usedBytes, inodes, inodesFree };
}
