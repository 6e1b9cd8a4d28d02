/** Processor, memory, pressure and files of the machine. */
import type { CpuTicks, Loadavg, Pressure, ProcStat } from '../linux/cpu.ts';
import type { FileNr, Meminfo } from '../linux/memory.ts';
import { Gathering, type Measured, percentOf, shown } from '../model.ts';

const share = (now: CpuTicks, before: CpuTicks, key: 'busy' | 'iowait' | 'steal'): number => percentOf(Math.max(0, now[key] - before[key]), now.total - before.total);

/** Over the time between two readings. */
export function measureCpu(now: ProcStat | undefined, before: ProcStat | undefined): Measured {
  const found = new Gathering();
  if (now === undefined || before === undefined || now.all.total <= before.all.total) return found;
  const [busy, iowait, steal] = [share(now.all, before.all, 'busy'), share(now.all, before.all, 'iowait'), share(now.all, before.all, 'steal')];
  const busiest = now.cores.reduce((most, core, i) => Math.max(most, before.cores[i] === undefined ? 0 : share(core, before.cores[i], 'busy')), 0);
  found.sample('viewlink_cpu_busy_ratio', {}, busy / 100);
  found.sample('viewlink_cpu_busiest_core_ratio', {}, busiest / 100);
  found.sample('viewlink_cpu_iowait_ratio', {}, iowait / 100);
  found.sample('viewlink_cpu_steal_ratio', {}, steal / 100);
  found.observe('cpu.busy', 'cpu', busy, `${shown(busy)} % of ${now.cores.length} cores busy`);
  found.observe('cpu.steal', 'cpu', steal, steal < 0.05 ? '' : `${shown(steal)} % taken by the hypervisor`);
  return found;
}

export function measureLoad(load: Loadavg | undefined, cores: number): Measured {
  const found = new Gathering();
  found.sample('viewlink_load1', {}, load?.load1);
  found.sample('viewlink_cpu_cores', {}, cores);
  return found;
}

export interface Pressures {
  readonly cpu: Pressure | undefined;
  readonly memory: Pressure | undefined;
  readonly io: Pressure | undefined;
}

export function measurePressure(pressures: Pressures): Measured {
  const found = new Gathering();
  for (const [resource, pressure] of Object.entries(pressures) as [keyof Pressures, Pressure | undefined][]) {
    if (pressure === undefined) continue;
    const { some60, full60 } = pressure;
    found.sample('viewlink_pressure_ratio', { resource, kind: 'some' }, some60 / 100);
    found.sample('viewlink_pressure_ratio', { resource, kind: 'full' }, full60 === null ? null : full60 / 100);
    const value = resource === 'cpu' ? some60 : full60;
    const what = resource === 'cpu' ? 'something waited for a core' : resource === 'memory' ? 'everything waited for memory' : 'everything waited for a disk';
    found.observe(`${resource}.pressure`, resource === 'io' ? 'disks' : resource, value, value === null || value < 1 ? (resource === 'io' ? 'nothing waits for them' : '') : `${what} ${shown(value)} % of the last minute`);
  }
  return found;
}

export function measureMemory(memory: Meminfo | undefined, files: FileNr | undefined): Measured {
  const found = new Gathering();
  if (memory !== undefined) {
    const used = percentOf(memory.totalBytes - memory.availableBytes, memory.totalBytes);
    found.sample('viewlink_memory_total_bytes', {}, memory.totalBytes);
    found.sample('viewlink_memory_available_bytes', {}, memory.availableBytes);
    found.sample('viewlink_swap_used_bytes', {}, memory.swapTotalBytes - memory.swapFreeBytes);
    found.observe('memory.used', 'memory', used, `${shown(used)} % of ${shown(memory.totalBytes / 2 ** 30)} GiB used`);
  }
  if (files !== undefined) {
    const used = percentOf(files.open, files.limit);
    found.sample('viewlink_files_open', {}, files.open);
    found.observe('files.open', 'files', used, `${files.open} files open`);
  }
  return found;
}
