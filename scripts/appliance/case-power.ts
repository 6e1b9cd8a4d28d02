/**
 * The plug is pulled at random moments while alarms come in, the configuration is committed and the catalogue changes. Whatever was
 * acknowledged before the cut is there after it, and no database is damaged.
 *
 * Most cuts are taken as they happen: the machine stands still between two instructions, its disk is copied, and it goes on; the copy is
 * what a cut at that moment would have left, for the guest has its caches in memory. After the last cuts it really starts again.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { readAlarm } from '#core/gb/alarm.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { systemRandom } from '#kit/random.ts';
import type { CameraSimulator } from '../simulators/camera/simulator.ts';
import { pause } from '../simulators/common/names.ts';
import type { Platform } from '../simulators/platform/platform.ts';
import { lookAt } from './after-cut.ts';
import { BOOT_LIMIT_MS, daemonsAnswer, PASSWORD, putFile, readyBox, USER } from './box.ts';
import type { Case, CaseContext } from './case.ts';
import { addressOf, HOST, Site } from './site.ts';
import { camerasSeen, gatewayConfig, openCamera, openPlatform } from './surroundings.ts';
import { run, type Vm } from './vm.ts';

const ADDRESS = addressOf(0);
const CAMERAS = 4;
const LONGEST_WRITE_MS = 12_000;
const BETWEEN_ALARMS_MS = 100;
const HEARD_LIMIT_MS = 300_000;
/** Of the data partition: behind the boot partition and two slots (image/build). */
const DATA_AT = (1 + 64 + 2 * 1400) * 1024 * 1024;
const DATA_END = 6 * 1024 * 1024 * 1024;
/** e2fsck: what is below was repaired. */
const LEFT_BROKEN = 4;
const REVISION = /revision=(\d+)\./g;
const SEEN = /seen=(\d+)\./g;
const ALARM = { priority: 2, method: '5', time: '2026-03-10T08:14:02', longitude: undefined, latitude: undefined, type: '6', eventType: undefined } as const;

/** What was acknowledged to somebody. */
interface Told {
  revision: number;
  readonly seen: Set<number>;
  readonly alarms: Set<string>;
  catalogueChanges: number;
}

export default {
  name: 'power',
  help: 'power cuts under write load: no damaged database, nothing lost that was acknowledged',
  async run(context) {
    const { cuts, starts, say, check } = context;
    using site = new Site(1);
    await using vm = await readyBox(context, { name: 'vm', site });
    await configureMore(vm);
    await using platform = await openPlatform();
    await using camera = await openCamera(ADDRESS, CAMERAS);
    await camerasSeen(platform, CAMERAS);
    const told: Told = { revision: 0, seen: new Set(), alarms: new Set(), catalogueChanges: 0 };
    for (let start = 0, cut = 1; start < Math.max(1, starts); start++) {
      await using load = await Load.begin(vm, platform, camera, told);
      const until = Math.ceil((cuts * (start + 1)) / Math.max(1, starts));
      for (; cut < until; cut++) {
        await vm.pause(systemRandom.int(LONGEST_WRITE_MS));
        say(`cut ${cut}: ${judge(lookAtDisk(context, vm, () => load.take()), platform, context)}`);
      }
      await vm.pause(systemRandom.int(LONGEST_WRITE_MS));
      await load.cut();
      say(`cut ${cut++}: ${judge(lookAtDisk(context, vm, () => told), platform, context)}`);
      vm.start();
      await vm.logIn(USER, PASSWORD, BOOT_LIMIT_MS);
      await daemonsAnswer(vm);
      await load[Symbol.asyncDispose]();
      await lookAfterStart(vm, platform, told, context);
    }
    check(told.alarms.size > 0 && told.revision > 0, `${cuts} cuts, ${told.alarms.size} alarms and ${told.seen.size} marks of the operator acknowledged, revision ${told.revision}, ${told.catalogueChanges} catalogue changes: nothing lost, nothing damaged`);
  },
} satisfies Case;

/** A platform that never answers: an alarm that stands, for somebody to see. */
async function configureMore(vm: Vm): Promise<void> {
  const { upstreams, devices, ...rest } = gatewayConfig(ADDRESS) as { upstreams: object[]; devices: object };
  await putFile(vm, '/run/more.yaml', stringify({ ...rest, devices: { ...devices, subscribe: { catalog: true } }, upstreams: [...upstreams, { name: 'silent', id: '33020000002000000001', address: HOST, port: 5999, localId: '33020000002000000099', password: 'nobody' }] }));
  await vm.must('vlink config load /run/more.yaml && vlink config commit --restart --reason "for cuts"', BOOT_LIMIT_MS);
}

/** Commits and marks in the machine, alarms and catalogue changes from outside, until it ends. */
class Load implements AsyncDisposable {
  readonly #vm: Vm;
  readonly #platform: Platform;
  readonly #told: Told;
  readonly #ending = new AbortController();
  readonly #outside: Promise<void>;

  private constructor(vm: Vm, platform: Platform, camera: CameraSimulator, told: Told) {
    this.#vm = vm;
    this.#platform = platform;
    this.#told = told;
    this.#outside = writeFromOutside(camera, told, this.#ending.signal);
  }

  static async begin(vm: Vm, platform: Platform, camera: CameraSimulator, told: Told): Promise<Load> {
    vm.type(`${await guest(vm, 'writes.ts')}\n`);
    await vm.waitFor(/revision=\d+\./, BOOT_LIMIT_MS);
    // The platform hears nothing meanwhile, so that every alarm waits on the disk.
    platform.noticePolicy = () => 'drop';
    return new Load(vm, platform, camera, told);
  }

  /** What was acknowledged up to now. */
  take(): Told {
    this.#told.revision = Math.max(this.#told.revision, ...this.#vm.everything(REVISION));
    for (const id of this.#vm.everything(SEEN)) this.#told.seen.add(id);
    return { ...this.#told, seen: new Set(this.#told.seen), alarms: new Set(this.#told.alarms) };
  }

  async cut(): Promise<void> {
    await this.#vm.powerCut();
    this.#ending.abort();
    this.take();
    await this.#outside;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#outside;
    this.#platform.noticePolicy = undefined;
  }
}

async function guest(vm: Vm, program: string): Promise<string> {
  const path = `/run/${program}`;
  await putFile(vm, path, readFileSync(join(import.meta.dirname, 'guest', program), 'utf8'));
  return `(cd /usr/lib/viewlink && exec bin/node --input-type=module-typescript - <${path})`;
}

async function writeFromOutside({ device }: CameraSimulator, told: Told, ending: AbortSignal): Promise<void> {
  for (let n = told.alarms.size; !ending.aborted; n++) {
    const description = `alarm ${n} at ${clock.now()}`;
    if ((await device.sendAlarm({ alarm: { ...ALARM, description } })) === 200) told.alarms.add(description);
    const channel = device.channels[n % CAMERAS]!;
    if (!ending.aborted && (await device.notifyCatalog({ events: [{ id: channel.id, event: n % 8 < CAMERAS ? 'OFF' : 'ON' }] })) === 200) told.catalogueChanges += 1;
    await pause(clock, BETWEEN_ALARMS_MS);
  }
}

/** The data partition as it is at this moment, and what had been acknowledged before. */
function lookAtDisk({ work }: CaseContext, vm: Vm, take: () => Told): { readonly told: Told; readonly found: ReturnType<typeof lookAt> } {
  const [copy, raw, mount] = ['cut.qcow2', 'cut.data', 'cut'].map(name => join(work, name)) as [string, string, string];
  const told = vm.copyDisk(copy, take);
  run('qemu-img', ['convert', '-O', 'raw', '--image-opts', `driver=raw,offset=${DATA_AT},size=${DATA_END - DATA_AT},file.driver=qcow2,file.file.filename=${copy}`, raw]);
  const { status, stdout } = spawnSync('e2fsck', ['-p', raw], { encoding: 'utf8' });
  if (status === null || status >= LEFT_BROKEN) throw new Error(`e2fsck: ${stdout}`);
  mkdirSync(mount, { recursive: true });
  run('mount', ['-o', 'loop', raw, mount]);
  try {
    return { told, found: lookAt(mount) };
  } finally {
    execFileSync('umount', [mount]);
    rmSync(raw);
  }
}

function judge({ told, found }: ReturnType<typeof lookAtDisk>, platform: Platform, { check }: CaseContext): string {
  const { databases, broken, revision, audit, seen, waiting } = found;
  if (broken.length > 0 || databases === 0) check(false, `${databases} databases, damaged: ${broken.join('; ')}`);
  if (audit !== null) check(false, `audit log: ${audit}`);
  if (revision < told.revision) check(false, `revision ${told.revision} was acknowledged, ${revision} is there`);
  const unseen = [...told.seen].filter(id => !seen.includes(id));
  if (unseen.length > 0) check(false, `marks of the operator lost: ${unseen.join(' ')}`);
  const there = new Set([...waiting, ...heardBy(platform)]);
  const missing = [...told.alarms].filter(text => !there.has(text));
  if (missing.length > 0) check(false, `alarms lost: ${missing.join(', ')}`);
  return `${databases} databases whole; revision ${told.revision} acknowledged, ${revision} there; ${told.alarms.size} alarms acknowledged, ${waiting.length} wait; ${told.catalogueChanges} catalogue changes`;
}

async function lookAfterStart(vm: Vm, platform: Platform, told: Told, { check }: CaseContext): Promise<void> {
  await vm.must('vlink audit verify', BOOT_LIMIT_MS);
  if ((await vm.must("journalctl -b --no-pager -q | grep -iE 'malformed|database disk image|store.corrupt|store.file-was-empty' || true")) !== '') check(false, 'the journal speaks of damage');
  check((await vm.must('ls /data/volatile 2>/dev/null || true')) === '', 'started again: the data partition is there, the audit log is whole');
  const missing = await untilHeard(platform, told.alarms);
  check(missing.length === 0, `all ${told.alarms.size} alarms that were acknowledged are at the platform ${missing.join(', ')}`);
}

const heardBy = (platform: Platform): readonly (string | undefined)[] => platform.notices.map(({ element }) => readAlarm(element).description);

/** Those that the platform has not heard at the limit. */
async function untilHeard(platform: Platform, alarms: ReadonlySet<string>): Promise<readonly string[]> {
  for (const limit = clock.now() + HEARD_LIMIT_MS; ; await pause(clock, BETWEEN_ALARMS_MS)) {
    const heard = new Set(heardBy(platform));
    const missing = [...alarms].filter(text => !heard.has(text));
    if (missing.length === 0 || clock.now() > limit) return missing;
  }
}
