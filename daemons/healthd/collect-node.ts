/** The machine: what is read every second, and what every ten. */
import { type ProcStat, parseLoadavg, parsePressure, parseStat } from '#core/health/linux/cpu.ts';
import { type DiskStat, parseDiskstats, parseMdstat, parseMountinfo } from '#core/health/linux/disks.ts';
import { parseFileNr, parseMeminfo } from '#core/health/linux/memory.ts';
import { type Bond, type NetDev, parseBonding, parseNetDev, parseSnmpUdp, parseSoftnet } from '#core/health/linux/net.ts';
import { parseNumber } from '#core/health/linux/text.ts';
import { type Drops, measureBonds, measureDrops, measureNics, measureTraffic, type Nic } from '#core/health/measure/network.ts';
import { measureCpu, measureLoad, measureMemory, measurePressure } from '#core/health/measure/node.ts';
import { measureArrays, measureDisks, measureMounts, type MountedSpace } from '#core/health/measure/storage.ts';
import { Gathering, type Measured } from '#core/health/model.ts';
import type { Ms } from '#core/units.ts';
import { SensorReader } from './collect-sensors.ts';
import type { Sysroot } from './sysroot.ts';

const IFF_UP = 1;

/** Totals, and when they were read. */
interface Reading {
  readonly at: Ms;
  readonly stat: ProcStat | undefined;
  readonly disks: readonly DiskStat[];
  readonly nics: readonly NetDev[];
}

export class NodeCollector {
  readonly #sysroot: Sysroot;
  readonly #sensors: SensorReader;
  #second: Reading | undefined;
  #tenSeconds: Reading | undefined;
  #drops: Drops | undefined;
  /** File systems that took writes since we look. */
  readonly #writable = new Set<string>();

  constructor(sysroot: Sysroot) {
    this.#sysroot = sysroot;
    this.#sensors = new SensorReader(sysroot);
  }

  /** Samples only: a second is too short to judge by. */
  everySecond(now: Ms): Measured {
    const found = new Gathering();
    const before = this.#second;
    const reading = (this.#second = this.#read(now));
    found.add(measureCpu(reading.stat, before?.stat));
    found.add(measureTraffic(reading.nics));
    found.add(measureDisks(reading.disks, before?.disks ?? [], before === undefined ? 0 : (now - before.at) / 1000));
    return { samples: found.samples, observations: [] };
  }

  everyTenSeconds(now: Ms): Measured {
    const sysroot = this.#sysroot;
    const found = new Gathering();
    const before = this.#tenSeconds;
    const reading = (this.#tenSeconds = this.#read(now));
    const elapsedS = before === undefined ? 0 : (now - before.at) / 1000;
    found.observations.push(...measureCpu(reading.stat, before?.stat).observations);
    found.add(measureLoad(sysroot.parsed('/proc/loadavg', parseLoadavg), reading.stat?.cores.length ?? 0));
    found.add(measurePressure({ cpu: this.#pressure('cpu'), memory: this.#pressure('memory'), io: this.#pressure('io') }));
    found.add(measureMemory(sysroot.parsed('/proc/meminfo', parseMeminfo), sysroot.parsed('/proc/sys/fs/file-nr', parseFileNr)));
    found.add(measureMounts(this.#mounts()));
    found.add(measureArrays(sysroot.parsed('/proc/mdstat', parseMdstat) ?? []));
    found.add(measureNics(reading.nics.map(counters => this.#nic(counters)), new Map(before?.nics.map(nic => [nic.name, nic])), elapsedS));
    found.add(measureBonds(this.#bonds()));
    const drops = { softnet: sysroot.parsed('/proc/net/softnet_stat', parseSoftnet), udp: sysroot.parsed('/proc/net/snmp', parseSnmpUdp) };
    found.add(measureDrops(drops, this.#drops, elapsedS));
    this.#drops = drops;
    found.add(this.#sensors.read());
    return found;
  }

  #read(at: Ms): Reading {
    const sysroot = this.#sysroot;
    return {
      at,
      stat: sysroot.parsed('/proc/stat', parseStat),
      disks: sysroot.parsed('/proc/diskstats', parseDiskstats) ?? [],
      nics: sysroot.parsed('/proc/net/dev', parseNetDev) ?? [],
    };
  }

  #bonds(): ReadonlyMap<string, Bond> {
    const bonds = this.#sysroot.list('/proc/net/bonding').map(name => [name, this.#sysroot.parsed(`/proc/net/bonding/${name}`, parseBonding)] as const);
    return new Map(bonds.flatMap(([name, bond]) => (bond === undefined ? [] : [[name, bond] as const])));
  }

  #pressure(resource: string): ReturnType<typeof parsePressure> {
    return this.#sysroot.parsed(`/proc/pressure/${resource}`, parsePressure);
  }

  #mounts(): MountedSpace[] {
    return (this.#sysroot.parsed('/proc/self/mountinfo', parseMountinfo) ?? []).map(mount => {
      if (!mount.readOnly) this.#writable.add(mount.path);
      return { mount, space: this.#sysroot.space(mount.path), wasWritable: mount.yields || this.#writable.has(mount.path) };
    });
  }

  #nic(counters: NetDev): Nic {
    const directory = `/sys/class/net/${counters.name}`;
    const number = (name: string): number | undefined => this.#sysroot.parsed(`${directory}/${name}`, parseNumber);
    const names = this.#sysroot.list(directory);
    const flags = parseInt(this.#sysroot.text(`${directory}/flags`) ?? '', 16);
    // An interface that is off refuses to be asked for its carrier.
    const [carrier, speed] = [number('carrier'), number('speed')];
    return { counters, on: (flags & IFF_UP) !== 0, carrier: carrier === undefined ? null : carrier === 1, speedMbps: speed === undefined || speed <= 0 ? null : speed, physical: names.includes('device') || names.includes('bonding') };
  }
}
