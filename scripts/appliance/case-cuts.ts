/**
 * Power cuts by the hundred, without a virtual machine: the real daemons work on a disk of their own, and at random moments that disk is
 * copied between two of its writes (a reflink). The copy is what a cut would have left, for what the kernel has in memory is not in it.
 *
 *   daemons -> ext4 -> loop device -> file in XFS -> copied at once: e2fsck, databases, configd on it
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Author, ConfigdRequests } from '#contracts/configd.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { systemRandom } from '#kit/random.ts';
import { connectRpc } from '#kit/rpc.ts';
import { DaemonProcess } from '../lab/daemon-process.ts';
import { LAB_ID, LAB_PASSWORD, LabGateway } from '../lab/gateway.ts';
import { healthdRpc, startHealthd } from '../lab/healthd.ts';
import { CameraSimulator } from '../simulators/camera/simulator.ts';
import { pause } from '../simulators/common/names.ts';
import { Platform } from '../simulators/platform/platform.ts';
import { lookAt } from './after-cut.ts';
import type { Case, CaseContext } from './case.ts';
import { camerasSeen, CITY_ID, CITY_LOCAL_ID } from './surroundings.ts';
import { copyOf, judge, nothingTold, type Told, untilHeard, writeFromOutside } from './told.ts';
import { run } from './vm.ts';

const AUTHOR: Author = { user: 'root', via: 'cli', address: null };
const PASSWORD = 'city-secret';
const CHANNELS = 8;
const SHORTEST_MS = 100;
const LONGEST_MS = 3000;
const BETWEEN_ALARMS_MS = 20;
const BETWEEN_COMMITS_MS = 50;
const HEARD_LIMIT_MS = 120_000;
/** Each an alarm that stands, for somebody to see. */
const SILENT = 24;
/** Where alarms of priority 1 are too many: nothing of the kind happens before. */
const MAX_WAITING = 20_000;

export default {
  name: 'cuts',
  help: 'power cuts by the hundred on a disk without a machine: the same loads, the same questions',
  withoutImage: true,
  async run(context) {
    const { cuts, say, check } = context;
    await using closer = new Closer();
    const disk = openDisk(context, closer);
    const platform = closer.use(await Platform.open({ id: CITY_ID, password: PASSWORD, address: '127.0.0.1' }));
    const silent = Array.from({ length: SILENT }, (_, i) => ({ name: `silent-${i}`, id: `330200000020000000${String(i).padStart(2, '0')}`, address: '127.0.0.1', port: 5999, localId: `33020000002000000${900 + i}`, password: 'nobody', alarms: false }));
    const config = {
      upstreams: [{ name: 'city', id: CITY_ID, address: '127.0.0.1', port: platform.port, localId: CITY_LOCAL_ID, password: PASSWORD, retryS: 1 }, ...silent],
      devices: { subscribe: { catalog: true } },
      health: { limits: [{ rule: 'upstream.offline', holdS: 1 }] },
    };
    const lab = closer.use(await LabGateway.open({ directory: disk.at, config }));
    closer.use(await DaemonProcess.start({ name: 'configd', entry: 'daemons/configd/main.ts', args: ['--config', lab.configPath, '--state', join(disk.at, 'state/configd')], readyEvent: 'configd.ready', logPath: join(context.work, 'configd.log') }));
    closer.use(await startHealthd(lab));
    const camera = closer.use(await CameraSimulator.open({ id: '34020000001180000001', platform: { id: LAB_ID, address: '127.0.0.1', port: lab.sipPort }, password: LAB_PASSWORD, channels: CHANNELS }));
    await camera.registered();
    await camerasSeen(platform, CHANNELS);
    const told = nothingTold();
    const ending = new AbortController();
    // The platform hears nothing meanwhile, so that every alarm waits on the disk.
    platform.noticePolicy = () => 'drop';
    const writers = Promise.all([writeFromOutside(camera, told, ending.signal, BETWEEN_ALARMS_MS), commit(lab, told, ending.signal), see(lab, told, ending.signal)]);
    let failed: unknown;
    writers.catch((error: unknown) => (failed = error));
    await until(() => failed !== undefined || told.alarms.size > 0 && told.revision > 0 && told.seen.size > 0 && told.catalogueChanges > 0);
    for (let cut = 1; failed === undefined && cut <= cuts && told.alarms.size < MAX_WAITING; cut++) {
      await pause(clock, SHORTEST_MS + systemRandom.int(LONGEST_MS - SHORTEST_MS));
      const before = copyOf(told);
      disk.copy();
      const line = judge(before, lookAt({ image: disk.cut, at: disk.at, config: 'gateway.yaml', state: 'state', configd: 'state/configd', socket: join(disk.at, 'run/configd.sock') }), platform, context);
      if (cut % 10 === 0 || cut === cuts) say(`cut ${cut}: ${line}`);
    }
    ending.abort();
    await writers;
    platform.noticePolicy = undefined;
    const missing = await untilHeard(platform, told.alarms, HEARD_LIMIT_MS);
    check(missing.length === 0, `${cuts} cuts: nothing lost, nothing damaged; the platform hears again, and all ${told.alarms.size} alarms are there ${missing.join(', ')}`);
  },
} satisfies Case;

interface CutDisk {
  readonly at: string;
  readonly cut: string;
  copy(): void;
}

function openDisk({ work }: CaseContext, closer: Closer): CutDisk {
  const [outside, under, at] = ['outside.xfs', 'under', 'disk'].map(name => join(work, name)) as [string, string, string];
  for (const folder of [under, at]) mkdirSync(folder);
  run('truncate', ['-s', '4G', outside]);
  run('mkfs.xfs', ['-q', '-m', 'reflink=1', outside]);
  const mount = (...args: readonly [string, string]): void => {
    run('mount', ['-o', 'loop', ...args]);
    // Logs of daemons are open yet.
    closer.defer(() => run('umount', ['--lazy', args[1]]));
  };
  mount(outside, under);
  const [inside, cut] = [join(under, 'disk.img'), join(under, 'cut.img')];
  run('truncate', ['-s', '1G', inside]);
  run('mke2fs', ['-q', '-t', 'ext4', inside]);
  mount(inside, at);
  return { at, cut, copy: () => void execFileSync('cp', ['--reflink=always', inside, cut]) };
}

async function commit(lab: LabGateway, told: Told, ending: AbortSignal): Promise<void> {
  await using configd = await connectRpc<ConfigdRequests>(join(lab.directory, 'run/configd.sock'));
  for (let n = 1; !ending.aborted; n++) {
    await configd.call('edit', { author: AUTHOR, steps: [{ op: 'set', path: 'devices.ptzHoldS', value: n % 3600 }] });
    const { revision, refusals } = await configd.call('commit', { author: AUTHOR, reason: `write ${n}`, confirmMinutes: null }, { timeoutMs: 60_000 });
    if (revision === null) throw new Error(JSON.stringify(refusals));
    told.revision = revision;
    await pause(clock, BETWEEN_COMMITS_MS);
  }
}

/** One alarm of healthd after another is seen by somebody. */
async function see(lab: LabGateway, told: Told, ending: AbortSignal): Promise<void> {
  await using healthd = await healthdRpc(lab);
  for (; !ending.aborted; await pause(clock, 1000)) {
    const open = (await healthd.call('alarms', { activeOnly: true, limit: 100 })).find(({ acknowledged }) => acknowledged === null);
    if (open === undefined) continue;
    await healthd.call('acknowledge', { alarmId: open.alarmId, author: AUTHOR });
    told.seen.add(open.alarmId);
  }
}

async function until(holds: () => boolean): Promise<void> {
  for (const limit = clock.now() + HEARD_LIMIT_MS; !holds(); await pause(clock, 50)) if (clock.now() > limit) throw new Error('the load does not begin');
}
