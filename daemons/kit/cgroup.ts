/**
 * The cgroup (version 2) of this process and the ticks of the machine, as the kernel tells them. What is not there, or may not be read, is undefined: a
 * machine with version 1, a container, a unit that sees little of /proc.
 */
import { readFileSync } from 'node:fs';
import { parseCgroupPath, parseCounter, parseLimit, parseStallUs } from '#core/health/linux/cgroup.ts';
import { parseStat } from '#core/health/linux/cpu.ts';
import type { HostReading, MemoryReading } from '#core/media/strain-gauge.ts';

const MOUNT = '/sys/fs/cgroup';

export class CgroupReader {
  readonly #root: string;
  #directory: string | undefined;

  /** `root`: before every path; empty: the machine itself. */
  constructor(root = '') {
    this.#root = root.replace(/\/+$/, '');
  }

  /** Small synchronous reads: the kernel answers from memory. */
  read(): HostReading {
    const ticks = this.#parsed('/proc/stat', parseStat)?.all;
    this.#directory ??= this.#parsed('/proc/self/cgroup', parseCgroupPath);
    if (this.#directory === undefined) return { ticks };
    return { ticks, memory: this.#memory(), memoryStallUs: this.#stallUs('memory', 'some'), cpuStallUs: this.#stallUs('cpu', 'full') };
  }

  #memory(): MemoryReading | undefined {
    const currentBytes = this.#own('memory.current', text => parseLimit(text) ?? undefined);
    if (currentBytes === undefined) return undefined;
    const cacheBytes = this.#own('memory.stat', text => parseCounter(text, 'inactive_file')) ?? 0;
    const limit = (name: string): number | null => this.#own(name, parseLimit) ?? null;
    const [highHits, maxHits] = this.#own('memory.events', text => [parseCounter(text, 'high'), parseCounter(text, 'max')]) ?? [0, 0];
    if (highHits === undefined || maxHits === undefined) return undefined;
    return { workingBytes: Math.max(0, currentBytes - cacheBytes), highBytes: limit('memory.high'), maxBytes: limit('memory.max'), highHits, maxHits };
  }

  #stallUs(resource: 'memory' | 'cpu', kind: 'some' | 'full'): number | undefined {
    return this.#own(`${resource}.pressure`, text => parseStallUs(text, kind));
  }

  #own<T>(name: string, parse: (text: string) => T): T | undefined {
    return this.#parsed(`${MOUNT}${this.#directory}/${name}`, parse);
  }

  #parsed<T>(path: string, parse: (text: string) => T): T | undefined {
    let text: string;
    try {
      text = readFileSync(this.#root + path, 'utf8');
    } catch {
      return undefined;
    }
    return parse(text);
  }
}
