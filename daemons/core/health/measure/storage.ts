/** File systems, disks, arrays and drives. */
import type { DiskStat, MdArray, Mount } from '../linux/disks.ts';
import type { RaidUnit } from '../linux/controllers.ts';
import type { Smart } from '../linux/smart.ts';
import { Gathering, type Measured, percentOf, rateOf, shown } from '../model.ts';

export interface Space {
  readonly sizeBytes: number;
  /** For who is not root. */
  readonly freeBytes: number;
  readonly usedBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
}

export interface MountedSpace {
  readonly mount: Mount;
  /** Null: it did not answer. */
  readonly space: Space | null;
  /** It took writes since we look. */
  readonly wasWritable: boolean;
}

export function measureMounts(mounts: readonly MountedSpace[]): Measured {
  const found = new Gathering();
  // There is always one: an empty list is one that could not be read.
  if (mounts.length > 0) found.complete.push('disk.full', 'disk.inodes', 'disk.read-only');
  for (const { mount, space, wasWritable } of mounts) {
    const subject = `disk:${mount.path}`;
    const labels = { mount: mount.path };
    // As df counts: what root alone may use is not free.
    const used = space === null ? null : percentOf(space.usedBytes, space.usedBytes + space.freeBytes);
    found.sample('viewlink_disk_size_bytes', labels, space?.sizeBytes);
    found.sample('viewlink_disk_free_bytes', labels, space?.freeBytes);
    found.sample('viewlink_disk_used_ratio', labels, used === null ? null : used / 100);
    found.sample('viewlink_disk_read_only', labels, mount.readOnly ? 1 : 0);
    found.observe('disk.full', subject, mount.readOnly && !wasWritable ? 0 : used, space === null ? 'it does not answer' : `${shown(used!)} % of ${shown(space.sizeBytes / 1e9)} GB used`);
    if (space === null) found.observe('disk.inodes', subject, null, '');
    else if (space.inodes > 0) {
      const inodes = percentOf(space.inodes - space.inodesFree, space.inodes);
      found.sample('viewlink_disk_inodes_used_ratio', labels, inodes / 100);
      found.observe('disk.inodes', subject, inodes, inodes < 50 ? '' : `${shown(inodes)} % of its inodes used`);
    }
    if (wasWritable) found.observe('disk.read-only', subject, mount.readOnly ? 1 : 0, mount.readOnly ? `${mount.device} takes no more writes` : '');
  }
  return found;
}

export function measureDisks(now: readonly DiskStat[], before: readonly DiskStat[], elapsedS: number): Measured {
  const found = new Gathering();
  const old = new Map(before.map(disk => [disk.name, disk]));
  for (const disk of now) {
    const labels = { disk: disk.name };
    found.sample('viewlink_disk_read_bytes_total', labels, disk.readBytes);
    found.sample('viewlink_disk_written_bytes_total', labels, disk.writtenBytes);
    const busyMs = rateOf(old.get(disk.name)?.busyMs, disk.busyMs, elapsedS);
    found.sample('viewlink_disk_busy_ratio', labels, busyMs === null ? null : Math.min(1, busyMs / 1000));
  }
  return found;
}

export function measureArrays(arrays: readonly MdArray[]): Measured {
  const found = new Gathering();
  for (const { name, level, active, wanted, working, failed, repair } of arrays) {
    const labels = { array: name };
    const missing = active ? Math.max(0, wanted - working) : Math.max(1, wanted);
    found.sample('viewlink_raid_members', labels, wanted);
    found.sample('viewlink_raid_members_working', labels, working);
    found.sample('viewlink_raid_repair_ratio', labels, repair === null || repair.percent === null ? null : repair.percent / 100);
    const state = !active ? 'not running' : missing === 0 ? `all ${wanted} members work` : `${working} of ${wanted} members work`;
    const broken = failed.length === 0 ? '' : `, failed: ${failed.join(' ')}`;
    const running = repair === null ? '' : `, ${repair.what}${repair.percent === null ? '' : ` at ${shown(repair.percent)} %`}`;
    found.observe('raid.degraded', `raid:${name}`, missing, `${level}: ${state}${broken}${running}`);
  }
  return found;
}

export function measureController(tool: string, units: readonly RaidUnit[]): Measured {
  const found = new Gathering();
  for (const { name, good, state } of units) found.observe('raid.controller', `raid:${tool} ${name}`, good ? 0 : 1, state);
  return found;
}

export function measureDrives(drives: readonly Smart[]): Measured {
  const found = new Gathering();
  for (const { device, model, passed, temperatureC, wearPercent, badBlocks, powerOnHours } of drives) {
    const labels = { drive: device };
    const subject = `drive:${device}`;
    found.sample('viewlink_drive_healthy', labels, passed === null ? null : passed ? 1 : 0);
    found.sample('viewlink_drive_temperature_celsius', labels, temperatureC);
    found.sample('viewlink_drive_wear_ratio', labels, wearPercent === null ? null : wearPercent / 100);
    found.sample('viewlink_drive_bad_blocks', labels, badBlocks);
    found.sample('viewlink_drive_power_on_seconds', labels, powerOnHours === null ? null : powerOnHours * 3600);
    found.observe('smart.failing', subject, passed === null ? null : passed ? 0 : 1, `${model ?? 'a drive'} ${passed === null ? 'does not judge itself' : passed ? 'says it is well' : 'says that it fails'}`);
    if (temperatureC !== null) found.observe('disk.temperature', subject, temperatureC, `${shown(temperatureC)} C`);
    if (wearPercent !== null) found.observe('ssd.wear', subject, wearPercent, `${shown(wearPercent)} % of its life used`);
    if (badBlocks !== null) found.observe('smart.bad-blocks', subject, badBlocks, badBlocks === 0 ? '' : `${badBlocks} sectors lost`);
  }
  return found;
}
