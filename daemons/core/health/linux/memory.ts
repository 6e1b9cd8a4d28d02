/** /proc/meminfo, /proc/sys/fs/file-nr. */
import { fieldsOf, numberOf, pairsOf } from './text.ts';

export interface Meminfo {
  readonly totalBytes: number;
  readonly availableBytes: number;
  readonly swapTotalBytes: number;
  readonly swapFreeBytes: number;
}

export function parseMeminfo(text: string): Meminfo | undefined {
  const pairs = pairsOf(text, /:/);
  const bytes = (key: string): number | undefined => {
    const kilobytes = numberOf(/^(\d+) kB$/.exec(pairs.get(key) ?? '')?.[1]);
    return kilobytes === undefined ? undefined : kilobytes * 1024;
  };
  const totalBytes = bytes('MemTotal');
  const availableBytes = bytes('MemAvailable') ?? bytes('MemFree');
  if (totalBytes === undefined || totalBytes === 0 || availableBytes === undefined) return undefined;
  return { totalBytes, availableBytes: Math.min(availableBytes, totalBytes), swapTotalBytes: bytes('SwapTotal') ?? 0, swapFreeBytes: bytes('SwapFree') ?? 0 };
}

export interface FileNr {
  readonly open: number;
  readonly limit: number;
}

export function parseFileNr(text: string): FileNr | undefined {
  const [allocated, free, limit] = fieldsOf(text).map(numberOf);
  // Kernels of 64 bits say 2^63-1: there is no limit, and a double cannot hold it.
  if (allocated === undefined || free === undefined) return undefined;
  return { open: Math.max(0, allocated - free), limit: limit ?? Number.MAX_SAFE_INTEGER };
}
