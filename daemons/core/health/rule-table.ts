/**
 * Every rule with its defaults. A rule has a warning and a critical limit (null: none); what passes it for `holdS` raises an
 * alarm, what is back by `clearBy` for `clearS` clears it. `above`: more is worse.
 */
export interface RuleDefaults {
  readonly help: string;
  readonly unit: string;
  readonly direction: 'above' | 'below';
  readonly warning: number | null;
  readonly critical: number | null;
  /** Distance back from a limit that counts as better. */
  readonly clearBy: number;
  readonly holdS: number;
  readonly clearS: number;
}

type Limits = readonly [warning: number | null, critical: number | null];

const rule = (help: string, unit: string, [warning, critical]: Limits, clearBy: number, holdS: number, clearS: number, direction: 'above' | 'below' = 'above'): RuleDefaults => ({ help, unit, direction, warning, critical, clearBy, holdS, clearS });
/** Something is so or it is not. */
const fact = (help: string, severity: 'warning' | 'critical', holdS: number, clearS: number): RuleDefaults => rule(help, '', severity === 'critical' ? [null, 1] : [1, null], 0.5, holdS, clearS);

export const RULES = {
  'cpu.busy': rule('processor time in use', '%', [90, null], 10, 300, 120),
  'cpu.steal': rule('processor time that the hypervisor takes away', '%', [20, null], 5, 300, 300),
  'cpu.pressure': rule('time in which something waited for a processor', '%', [60, null], 15, 120, 120),
  'memory.used': rule('memory in use', '%', [85, 95], 3, 60, 120),
  'memory.pressure': rule('time in which everything waited for memory', '%', [5, 20], 2, 60, 120),
  'io.pressure': rule('time in which everything waited for disks', '%', [40, null], 10, 120, 120),
  'disk.full': rule('space of a file system in use', '%', [85, 95], 2, 30, 60),
  'disk.inodes': rule('inodes of a file system in use', '%', [85, 95], 2, 30, 60),
  'disk.read-only': fact('a file system that was writable takes no more writes', 'critical', 0, 30),
  'disk.temperature': rule('temperature of a drive', 'C', [60, 70], 5, 60, 300),
  'raid.degraded': fact('members of an array that are missing', 'critical', 5, 30),
  'raid.controller': fact('a RAID controller reports a drive that is not good', 'critical', 0, 60),
  'smart.failing': fact('a drive says of itself that it fails', 'critical', 0, 600),
  'smart.bad-blocks': rule('sectors that a drive could not keep', 'sectors', [1, 100], 1, 0, 600),
  'ssd.wear': rule('life of an SSD that is used', '%', [80, 95], 1, 0, 600),
  'nic.down': fact('an interface that is switched on has no link', 'critical', 5, 10),
  'nic.errors': rule('packets with errors', '1/s', [1, 100], 0.5, 60, 120),
  'nic.drops': rule('packets dropped by an interface', '1/s', [100, null], 50, 60, 120),
  'nic.busy': rule('share of the speed of a link in use', '%', [85, 95], 5, 60, 60),
  'bond.degraded': fact('a member of a bond has no link', 'warning', 5, 30),
  'udp.dropped': rule('datagrams dropped because a socket was full', '1/s', [10, 1000], 5, 30, 120),
  'softnet.dropped': rule('packets dropped because a processor was late', '1/s', [10, 1000], 5, 30, 120),
  temperature: rule('temperature without a limit of its own', 'C', [80, 90], 5, 60, 120),
  'temperature.margin': rule('distance to what the maker calls critical', 'C', [8, 3], 4, 60, 120, 'below'),
  'fan.stopped': fact('a fan stands still', 'critical', 10, 60),
  'power.failed': fact('a power supply or a voltage is not good', 'critical', 5, 60),
  'clock.unsynchronised': fact('nothing keeps the clock right', 'warning', 900, 60),
  'clock.offset': rule('distance of the clock to its source', 'ms', [500, 5000], 100, 60, 120),
  'clock.stepped': rule('the clock was set by so much', 's', [5, 3600], 1, 0, 600),
  'files.open': rule('open files of the machine', '%', [80, 95], 5, 30, 60),
  'daemon.down': fact('a daemon does not answer', 'critical', 10, 10),
  'daemon.restarts': rule('starts of a daemon in ten minutes beside the first', '', [1, 5], 0.5, 0, 60),
  'daemon.loop-delay': rule('how late the event loop of a daemon is, p99', 'ms', [100, 1000], 30, 60, 120),
  'daemon.memory': rule('resident memory of a daemon', 'MiB', [1536, 1920], 100, 60, 120),
  'daemon.files': rule('open files of a daemon against its limit', '%', [80, 95], 5, 30, 60),
  // Not of daemon.*: what is open here is not told to platforms above.
  'roles.unchecked': fact('a daemon does not know who asks it: everybody at its socket may do everything', 'warning', 5, 10),
  'api.unbound': fact('an address of the HTTP API cannot be bound, and is tried again', 'warning', 5, 5),
  'webhook.dropped': fact('events that a webhook never got', 'warning', 0, 60),
  'store.failing': fact('a database cannot be written', 'critical', 5, 30),
  'store.restored': fact('a database was damaged at the last start', 'warning', 0, 30),
  'upstream.offline': fact('not registered at a platform above', 'critical', 60, 30),
  'device.offline': fact('a device that was there is gone', 'warning', 120, 30),
  'devices.mass-offline': rule('devices that went at once', '', [20, null], 10, 15, 60),
  'media.loss': rule('packets that sources lost on their way here, of one media instance', '%', [1, 5], 0.5, 60, 120),
  'channel.loss': rule('packets of one source that never came', '%', [5, 20], 2, 60, 120),
  'media.frozen': rule('watched sources whose picture stands still', '%', [20, 50], 10, 60, 120),
  'media.ports': rule('media ports that are free', '%', [10, 2], 5, 30, 60, 'below'),
  'media.refuses': fact('a media instance takes no new source', 'warning', 30, 60),
  // It was so for a while before it said so.
  'media.strained': rule('what a media instance gives up for want of memory or processor: 1 viewers of outlets, 2 transcodes, 3 new sessions', '', [1, 3], 0.5, 0, 5),
  'transcode.failed': fact('a transcoder does not run', 'warning', 30, 60),
  'certificate.expiry': rule('days that a certificate is valid', 'd', [30, 7], 1, 0, 0, 'below'),
  'config.pending': rule('a configuration waits for its confirmation', '', [null, null], 0.5, 0, 0),
  'config.changed-outside': fact('the configuration was written past configd', 'warning', 60, 10),
  'config.not-in-step': fact('the other node of the pair is there and has another configuration', 'warning', 15, 5),
  'config.held': fact('the configuration of the other node cannot be used by this release', 'critical', 5, 5),
  'config.aside': fact('both nodes changed the configuration while they were apart, and revisions were set aside', 'warning', 0, 0),
} as const satisfies Readonly<Record<string, RuleDefaults>>;

export type RuleName = keyof typeof RULES;
export const RULE_NAMES = Object.keys(RULES) as readonly RuleName[];
