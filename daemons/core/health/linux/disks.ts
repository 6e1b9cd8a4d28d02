/** /proc/diskstats, /proc/self/mountinfo and /proc/mdstat (Documentation/admin-guide/iostats.rst, md.rst). */
import { fieldsOf, linesOf, numberOf } from './text.ts';

const MAX_DISKS = 256;
const MAX_MOUNTS = 64;
const MAX_ARRAYS = 64;
const SECTOR_BYTES = 512;

export interface DiskStat {
  readonly name: string;
  readonly reads: number;
  readonly readBytes: number;
  readonly writes: number;
  readonly writtenBytes: number;
  /** Time with something to do. */
  readonly busyMs: number;
}

/** Whole disks and arrays; no partitions, loops and memory disks. */
const WHOLE = /^([shv]d[a-z]{1,3}|xvd[a-z]{1,3}|nvme\d+n\d+|mmcblk\d+|md\d+)$/;

export function parseDiskstats(text: string): readonly DiskStat[] {
  const disks: DiskStat[] = [];
  for (const line of linesOf(text)) {
    const fields = fieldsOf(line);
    const name = fields[2];
    if (name === undefined || !WHOLE.test(name) || disks.length >= MAX_DISKS) continue;
    const [reads, , sectorsRead, , writes, , sectorsWritten, , , busyMs] = fields.slice(3, 13).map(numberOf);
    if (reads === undefined || sectorsRead === undefined || writes === undefined || sectorsWritten === undefined || busyMs === undefined) continue;
    disks.push({ name, reads, readBytes: sectorsRead * SECTOR_BYTES, writes, writtenBytes: sectorsWritten * SECTOR_BYTES, busyMs });
  }
  return disks;
}

export interface Mount {
  readonly device: string;
  readonly path: string;
  readonly type: string;
  readonly readOnly: boolean;
  /** It takes no writes after an error: read-only, it was not meant to be. */
  readonly yields: boolean;
}

const ON_DISK = new Set(['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'f2fs', 'vfat', 'zfs']);

/**
 * /proc/self/mountinfo (proc(5)): file systems on disks, each device once, by its shortest path (bind mounts repeat it). What counts
 * is what the file system itself can do: under ProtectSystem=strict every mount of ours is read-only. Octal escapes are undone.
 *
 *     36 35 98:0 / /var rw,noatime shared:1 - ext4 /dev/md2 rw,errors=remount-ro
 */
export function parseMountinfo(text: string): readonly Mount[] {
  const mounts = new Map<string, Mount>();
  for (const line of linesOf(text)) {
    const [own, ofSuper] = line.split(' - ', 2);
    const path = fieldsOf(own ?? '')[4];
    const [type, device, options] = fieldsOf(ofSuper ?? '');
    if (device === undefined || path === undefined || type === undefined || options === undefined || !ON_DISK.has(type)) continue;
    const unescaped = path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
    const before = mounts.get(device);
    if (before !== undefined ? before.path.length <= unescaped.length : mounts.size >= MAX_MOUNTS) continue;
    mounts.set(device, { device, path: unescaped, type, readOnly: options.split(',').includes('ro'), yields: options.split(',').includes('errors=remount-ro') });
  }
  return [...mounts.values()];
}

export interface MdArray {
  readonly name: string;
  readonly level: string;
  readonly active: boolean;
  /** Members that there should be, and that work. */
  readonly wanted: number;
  readonly working: number;
  readonly failed: readonly string[];
  readonly spares: readonly string[];
  /** `recovery`, `resync`, `check` ... with its per cent; null when nothing runs. */
  readonly repair: { readonly what: string; readonly percent: number | null } | null;
}

/**
 *     md0 : active raid1 sdb1[1](F) sda1[0]
 *           976630464 blocks super 1.2 [2/1] [U_]
 *           [=>...................]  recovery =  9.1% (88921088/976630464) finish=71.3min speed=207360K/sec
 */
export function parseMdstat(text: string): readonly MdArray[] {
  const arrays: { head: string; body: string }[] = [];
  for (const line of linesOf(text)) {
    if (/^md\w+ : /.test(line)) {
      if (arrays.length >= MAX_ARRAYS) break;
      arrays.push({ head: line, body: '' });
    } else if (/^\s/.test(line) && arrays.length > 0) arrays[arrays.length - 1]!.body += `${line}\n`;
  }
  return arrays.flatMap(({ head, body }) => arrayOf(head, body) ?? []);
}

function arrayOf(head: string, body: string): MdArray | undefined {
  const words = fieldsOf(head);
  const level = words.find(word => /^(raid\d+|linear|multipath)$/.test(word));
  const counts = /\[(\d{1,4})\/(\d{1,4})\]/.exec(body);
  const members = words.flatMap(word => /^([^[\s]{1,64})\[\d+\](\([A-Z]\))?$/.exec(word)?.slice(1, 3).map(part => part ?? '') ?? []);
  const marked = (mark: string): readonly string[] => members.flatMap((member, i) => (i % 2 === 0 && members[i + 1] === mark ? [member] : []));
  const active = words[2] === 'active';
  if (level === undefined && active) return undefined;
  const wanted = counts === null ? members.length / 2 : Number(counts[1]);
  return { name: words[0]!, level: level ?? 'unknown', active, wanted, working: counts === null ? (active ? wanted : 0) : Number(counts[2]), failed: marked('(F)'), spares: marked('(S)'), repair: repairOf(body) };
}

function repairOf(body: string): MdArray['repair'] {
  const running = /\b(recovery|resync|reshape|check|repair)\s*=\s*(\d{1,3}(?:\.\d+)?)%/.exec(body);
  if (running !== null) return { what: running[1]!, percent: Number(running[2]) };
  const waiting = /\b(recovery|resync|reshape|check|repair)\s*=\s*(DELAYED|PENDING|REMOTE)/.exec(body);
  return waiting === null ? null : { what: `${waiting[1]!} ${waiting[2]!.toLowerCase()}`, percent: null };
}
