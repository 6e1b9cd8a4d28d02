/**
 * The plug is pulled at random moments while alarms come in, the configuration is committed and the catalogue changes. Whatever was
 * acknowledged before the cut is there after it, and no database is damaged.
 *
 * Most cuts are taken as they happen: the machine stands still between two instructions, its disk is copied, and it goes on; the copy is
 * what a cut at that moment would have left, for the guest has its caches in memory. After the last cuts it really starts again.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { systemRandom } from '#kit/random.ts';
import type { CameraSimulator } from '../simulators/camera/simulator.ts';
import type { Platform } from '../simulators/platform/platform.ts';
import { lookAt } from './after-cut.ts';
import { BOOT_LIMIT_MS, daemonsAnswer, PASSWORD, putFile, readyBox, USER } from './box.ts';
import type { Case, CaseContext } from './case.ts';
import { addressOf, HOST, Site } from './site.ts';
import { camerasSeen, gatewayConfig, openCamera, openPlatform } from './surroundings.ts';
import { copyOf, judge, nothingTold, type Told, untilHeard, writeFromOutside } from './told.ts';
import { run, type Vm } from './vm.ts';

const ADDRESS = addressOf(0);
const CAMERAS = 4;
const LONGEST_WRITE_MS = 12_000;
const BETWEEN_ALARMS_MS = 100;
const HEARD_LIMIT_MS = 300_000;
/** Of the data partition: behind the boot partition and two slots (image/build). */
const DATA_AT = (1 + 64 + 2 * 1400) * 1024 * 1024;
const DATA_END = 6 * 1024 * 1024 * 1024;
const REVISION = /revision=(\d+)\./g;
const SEEN = /seen=(\d+)\./g;

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
    const told = nothingTold();
    for (let start = 0, cut = 1; start < Math.max(1, starts); start++) {
      await using load = await Load.begin(vm, platform, camera, told);
      const until = Math.ceil((cuts * (start + 1)) / Math.max(1, starts));
      for (; cut < until; cut++) {
        await vm.pause(systemRandom.int(LONGEST_WRITE_MS));
        say(`cut ${cut}: ${lookAtDisk(context, vm, platform, () => load.take())}`);
      }
      await vm.pause(systemRandom.int(LONGEST_WRITE_MS));
      await load.cut();
      say(`cut ${cut++}: ${lookAtDisk(context, vm, platform, () => told)}`);
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
    this.#outside = writeFromOutside(camera, told, this.#ending.signal, BETWEEN_ALARMS_MS);
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
    return copyOf(this.#told);
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

/** The data partition as it is at this moment against what had been acknowledged before. */
function lookAtDisk(context: CaseContext, vm: Vm, platform: Platform, take: () => Told): string {
  const [copy, image, at] = ['cut.qcow2', 'cut.data', 'cut'].map(name => join(context.work, name)) as [string, string, string];
  const told = vm.copyDisk(copy, take);
  mkdirSync(at, { recursive: true });
  run('qemu-img', ['convert', '-O', 'raw', '--image-opts', `driver=raw,offset=${DATA_AT},size=${DATA_END - DATA_AT},file.driver=qcow2,file.file.filename=${copy}`, image]);
  const found = lookAt({ image, at, config: 'etc/viewlink/gateway.yaml', state: 'var/lib/viewlink', configd: 'var/lib/viewlink/configd', socket: '/run/viewlink/configd.sock' });
  rmSync(image);
  return judge(told, found, platform, context);
}

async function lookAfterStart(vm: Vm, platform: Platform, told: Told, { check }: CaseContext): Promise<void> {
  await vm.must('vlink audit verify', BOOT_LIMIT_MS);
  if ((await vm.must("journalctl -b --no-pager -q | grep -iE 'malformed|database disk image|store.corrupt|store.file-was-empty' || true")) !== '') check(false, 'the journal speaks of damage');
  check((await vm.must('ls /data/volatile 2>/dev/null || true')) === '', 'started again: the data partition is there, the audit log is whole');
  const missing = await untilHeard(platform, told.alarms, HEARD_LIMIT_MS);
  check(missing.length === 0, `all ${told.alarms.size} alarms that were acknowledged are at the platform ${missing.join(', ')}`);
}
