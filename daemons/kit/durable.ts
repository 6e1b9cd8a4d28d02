/** Files that a power cut leaves as they were or as they shall be, never in between: written beside, synchronized, renamed over. */
import { closeSync, fchmodSync, fsyncSync, linkSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { GatewayError } from '#core/result.ts';

export const GROUP_READS = 0o640;
export const OWNER_ONLY = 0o600;

/** STORE_FAILED with what the system said; for whatever a full or broken disk refuses. */
export function storeFailure(file: string, error: unknown): GatewayError {
  return new GatewayError('STORE_FAILED', { file, why: (error as NodeJS.ErrnoException).code ?? (error as Error).message }, { cause: error });
}

/** Complete on the disk when it returns; STORE_FAILED leaves the old file and nothing beside it. */
export function writeDurably(path: string, data: string | Uint8Array, mode = OWNER_ONLY): void {
  const beside = `${path}.new`;
  try {
    writeSynced(beside, data, mode);
    renameSync(beside, path);
    syncDirectory(path);
  } catch (error) {
    removeQuietly(beside);
    throw storeFailure(path, error);
  }
}

/** Writes and synchronizes the bytes of a file of its own; its name is not yet on the disk. */
export function writeSynced(path: string, data: string | Uint8Array, mode: number): void {
  const file = openSync(path, 'w', mode);
  try {
    fchmodSync(file, mode);
    writeAll(file, typeof data === 'string' ? Buffer.from(data) : data);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** A write may take only a part: a full disk does. */
export function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
}

/** The directory of `path`, so that what it names is on the disk. */
export function syncDirectory(path: string): void {
  const directory = openSync(dirname(path), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** True when it was there. */
export function removeQuietly(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Removes a file and the memory of it; nothing when it is not there. */
export function removeDurably(path: string): void {
  if (removeQuietly(path)) syncDirectory(path);
}

/** A second name for the same bytes, in place of what had that name. */
export function linkOver(path: string, second: string): void {
  removeQuietly(second);
  linkSync(path, second);
}

