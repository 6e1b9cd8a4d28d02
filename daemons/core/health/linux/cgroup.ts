/** What a cgroup of version 2 says of itself (Documentation/admin-guide/cgroup-v2.rst). A file that is not there, or torn: undefined. */
import { linesOf, numberOf, pairsOf } from './text.ts';

const MAX_PRESSURE_TEXT = 4096;

/** /proc/self/cgroup: `0::/PATH`; undefined where there is none of version 2. */
export function parseCgroupPath(text: string): string | undefined {
  const line = linesOf(text).find(each => each.startsWith('0::/'));
  const path = line?.slice('0::'.length).trimEnd();
  return path === undefined || path.split('/').includes('..') ? undefined : path;
}

/** memory.high, memory.max; null: no limit. */
export function parseLimit(text: string): number | null | undefined {
  const word = text.trim();
  return word === 'max' ? null : numberOf(word);
}

/** One counter of memory.events or memory.stat. */
export function parseCounter(text: string, name: string): number | undefined {
  return numberOf(pairsOf(text, / /).get(name));
}

/** memory.pressure, cpu.pressure: microseconds in which something waited (`some`), or something did and nothing ran (`full`), since the group was made. */
export function parseStallUs(text: string, kind: 'some' | 'full'): number | undefined {
  return numberOf(new RegExp(`^${kind} .*\\btotal=(\\d+)`, 'm').exec(text.slice(0, MAX_PRESSURE_TEXT))?.[1]);
}
