/**
 * The plug is pulled at random moments while alarms come in, the configuration is committed and the catalogue changes. Whatever was
 * acknowledged before the cut is there after it, and no database is damaged.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readAlarm } from '#core/gb/alarm.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { systemRandom } from '#kit/random.ts';
import type { CameraSimulator } from '../simulators/camera/simulator.ts';
import { pause } from '../simulators/common/names.ts';
import type { Platform } from '../simulators/platform/platform.ts';
import { BOOT_LIMIT_MS, configure, daemonsAnswer, PASSWORD, putFile, readyBox, USER } from './box.ts';
import type { Case, CaseContext } from './case.ts';
import { addressOf, HOST, Site } from './site.ts';
import { camerasSeen, gatewayConfig, openCamera, openPlatform } from './surroundings.ts';
import type { Vm } from './vm.ts';

const ADDRESS = addressOf(0);
const CAMERAS = 4;
const LONGEST_WRITE_MS = 12_000;
const BETWEEN_ALARMS_MS = 100;
const HEARD_LIMIT_MS = 300_000;
const REVISION = /revision=(\d+)\./g;
const SEEN = /seen=(\d+)\./g;
const ALARM = { priority: 2, method: '5', time: '2026-03-10T08:14:02', longitude: undefined, latitude: undefined, type: '6', eventType: undefined } as const;

/** What was acknowledged to somebody. */
interface Acknowledged {
  revision: number;
  readonly seen: Set<number>;
  readonly alarms: Set<string>;
  catalogueChanges: number;
}

export default {
  name: 'power',
  help: 'power cuts under write load: no damaged database, nothing lost that was acknowledged',
  async run(context) {
    const { cuts, say, check } = context;
    using site = new Site(1);
    await using vm = await readyBox(context, { name: 'vm', site });
    // A platform that never answers: an alarm that stands, for somebody to see.
    const { upstreams, devices, ...rest } = gatewayConfig(ADDRESS) as { upstreams: object[]; devices: object };
    await configure(vm, { ...rest, devices: { ...devices, subscribe: { catalog: true } }, upstreams: [...upstreams, { name: 'silent', id: '33020000002000000001', address: HOST, port: 5999, localId: '33020000002000000099', password: 'nobody' }] });
    await using platform = await openPlatform();
    await using camera = await openCamera(ADDRESS, CAMERAS);
    await camerasSeen(platform, CAMERAS);
    const told: Acknowledged = { revision: 0, seen: new Set(), alarms: new Set(), catalogueChanges: 0 };
    for (let cut = 1; cut <= cuts; cut++) {
      await cutAmongWrites(vm, platform, camera, told);
      vm.start();
      await vm.logIn(USER, PASSWORD, BOOT_LIMIT_MS);
      await daemonsAnswer(vm);
      say(`cut ${cut}: ${await lookAfter(vm, platform, told, context)}`);
    }
    check(told.alarms.size > 0 && told.revision > 0, `${cuts} cuts, ${told.alarms.size} alarms and ${told.seen.size} marks of the operator acknowledged, revision ${told.revision}, ${told.catalogueChanges} catalogue changes: nothing lost, nothing damaged`);
  },
} satisfies Case;

async function guest(vm: Vm, program: string): Promise<string> {
  const path = `/run/${program}`;
  await putFile(vm, path, readFileSync(join(import.meta.dirname, 'guest', program), 'utf8'));
  return `(cd /usr/lib/viewlink && exec bin/node --input-type=module-typescript - <${path})`;
}

async function cutAmongWrites(vm: Vm, platform: Platform, camera: CameraSimulator, told: Acknowledged): Promise<void> {
  vm.type(`${await guest(vm, 'writes.ts')}\n`);
  await vm.waitFor(/revision=\d+\./, BOOT_LIMIT_MS);
  // The platform hears nothing meanwhile, so that every alarm waits on the disk.
  platform.noticePolicy = () => 'drop';
  const ending = new AbortController();
  const load = writeFromOutside(camera, told, ending.signal);
  await vm.pause(2000 + systemRandom.int(LONGEST_WRITE_MS));
  await vm.powerCut();
  ending.abort();
  told.revision = Math.max(told.revision, ...vm.everything(REVISION));
  for (const id of vm.everything(SEEN)) told.seen.add(id);
  await load;
  platform.noticePolicy = undefined;
}

async function writeFromOutside({ device }: CameraSimulator, told: Acknowledged, ending: AbortSignal): Promise<void> {
  for (let n = told.alarms.size; !ending.aborted; n++) {
    const description = `alarm ${n} at ${clock.now()}`;
    if ((await device.sendAlarm({ alarm: { ...ALARM, description } })) === 200) told.alarms.add(description);
    const channel = device.channels[n % CAMERAS]!;
    if (!ending.aborted && (await device.notifyCatalog({ events: [{ id: channel.id, event: n % 8 < CAMERAS ? 'OFF' : 'ON' }] })) === 200) told.catalogueChanges += 1;
    await pause(clock, BETWEEN_ALARMS_MS);
  }
}

async function lookAfter(vm: Vm, platform: Platform, told: Acknowledged, { check }: CaseContext): Promise<string> {
  const look = await vm.must(await guest(vm, 'look.ts'), BOOT_LIMIT_MS);
  const { databases, broken, revision, seen } = JSON.parse(look.slice(look.indexOf('{'))) as { databases: number; broken: readonly string[]; revision: number; seen: readonly number[] };
  if (broken.length > 0 || databases === 0) check(false, `${databases} databases, damaged: ${broken.join('; ')}`);
  if (revision < told.revision) check(false, `revision ${told.revision} was acknowledged, ${revision} is there`);
  const unseen = [...told.seen].filter(id => !seen.includes(id));
  if (unseen.length > 0) check(false, `marks of the operator lost: ${unseen.join(' ')}`);
  await vm.must('vlink audit verify', BOOT_LIMIT_MS);
  if ((await vm.must("journalctl -b --no-pager -q | grep -iE 'malformed|database disk image|corrupt' || true")) !== '') check(false, 'the journal speaks of damage');
  if ((await vm.must('ls /data/volatile 2>/dev/null || true')) !== '') check(false, 'the data partition was not mounted');
  const missing = await untilHeard(platform, told.alarms);
  if (missing.length > 0) check(false, `alarms lost: ${missing.join(', ')}`);
  return `${databases} databases are whole; revision ${told.revision} acknowledged, ${revision} there; ${told.alarms.size} alarms acknowledged, all at the platform; ${told.catalogueChanges} catalogue changes`;
}

/** Those that the platform has not heard at the limit. */
async function untilHeard(platform: Platform, alarms: ReadonlySet<string>): Promise<readonly string[]> {
  for (const limit = clock.now() + HEARD_LIMIT_MS; ; await pause(clock, BETWEEN_ALARMS_MS)) {
    const heard = new Set(platform.notices.map(({ element }) => readAlarm(element).description));
    const missing = [...alarms].filter(text => !heard.has(text));
    if (missing.length === 0 || clock.now() > limit) return missing;
  }
}
