/** What every daemon counts of itself: how late its event loop is, memory, processor time, open files (`process.*`), and whether it knows who asks it (`rpc.peers-known`, 1 or 0). */
import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { systemClock } from './clock.ts';
import { peersAreKnown } from './peer-credentials.ts';

/** So often the loop is looked at; what it is late counts from there. */
const RESOLUTION_MS = 50;
/** Several may ask: within this time all are told the same. */
const WINDOW_MS = 9000;

const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delays.enable();
const startedAtWallMs = systemClock.wall();

let window = { at: systemClock.now(), p99Us: 0, maxUs: 0, openFiles: 0 };

/** Delays are over the last ten seconds or so. */
export function processFigures(): Record<string, number> {
  const now = systemClock.now();
  if (now - window.at >= WINDOW_MS || window.openFiles === 0) {
    const late = (ns: number): number => Math.max(0, Math.round(ns / 1000 - RESOLUTION_MS * 1000));
    window = { at: now, p99Us: delays.count === 0 ? 0 : late(delays.percentile(99)), maxUs: delays.count === 0 ? 0 : late(delays.max), openFiles: openFiles() };
    delays.reset();
  }
  const { user, system } = process.cpuUsage();
  return {
    'process.cpu-ms': Math.round((user + system) / 1000),
    'process.loop-delay-max-us': window.maxUs,
    'process.loop-delay-p99-us': window.p99Us,
    'process.open-files': window.openFiles,
    'process.pid': process.pid,
    'process.rss-bytes': process.memoryUsage.rss(),
    'process.started-at-wall-ms': startedAtWallMs,
    'rpc.peers-known': peersAreKnown() ? 1 : 0,
  };
}

function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch {
    return 0;
  }
}
