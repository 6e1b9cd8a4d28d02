/** What only a machine of its own has: a mirrored pair that loses a disk, an NVMe disk's health, a watchdog, memory limits, netem. */
import { join } from 'node:path';
import { systemClock as clock } from '#kit/clock.ts';
import type { SessionRow } from '#contracts/sipd.ts';
import { pause } from '../simulators/common/names.ts';
import { BOOT_LIMIT_MS, daemonsAnswer, PASSWORD, readyBox, USER } from './box.ts';
import type { Case, CaseContext } from './case.ts';
import { addressOf, Site } from './site.ts';
import { camerasSeen, openCamera, openPlatform } from './surroundings.ts';
import { type Drive, run, type Vm } from './vm.ts';

const ADDRESS = addressOf(0);
const SLOW_MS = 600_000;
/** What an NVMe disk says of itself when it is worn out (NVMe Base Specification 2.0, 5.16.1.3: reliability degraded). */
const WORN_OUT = 4;
const LOSS = 'loss 8% delay 20ms';
const LOOK_MS = 2000;

export default {
  name: 'hardware',
  help: 'RAID1 degrades, NVMe SMART, memory limit, netem, a systemd that hangs is reset: seen by healthd',
  async run(context) {
    using site = new Site(1);
    const file = (name: string): string => join(context.work, `${name}.img`);
    for (const name of ['left', 'right', 'nvme']) run('truncate', ['-s', '256M', file(name)]);
    const drives: readonly Drive[] = [{ id: 'left', file: file('left') }, { id: 'right', file: file('right') }, { id: 'nvme', file: file('nvme'), driver: 'nvme', serial: 'VL0001' }];
    await using vm = await readyBox(context, { name: 'vm', site, drives });
    await raid(vm, context);
    await nvme(vm, context);
    await memory(vm, context);
    await netem(vm, context);
    await watchdog(vm, context);
  },
} satisfies Case;

/** Until the alarms of healthd say so, or no longer. */
async function alarm(vm: Vm, pattern: string, stands = true): Promise<string> {
  const look = `vlink show alarms --json | tr -d '\\n ' | grep -q '${pattern}'`;
  await vm.must(`for i in $(seq 150); do ${stands ? '' : '! '}{ ${look}; } && exit 0; sleep 2; done; exit 1`, SLOW_MS);
  return vm.must('vlink show alarms');
}

async function raid(vm: Vm, { check }: CaseContext): Promise<void> {
  await vm.must('for i in $(seq 60); do [ -b /dev/vdc ] && [ -b /dev/nvme0n1 ] && break; sleep 1; done; mdadm --create /dev/md/test --run --level=1 --raid-devices=2 --metadata=1.2 /dev/vdb /dev/vdc; mdadm --wait /dev/md/test; true');
  await vm.must('for i in $(seq 60); do vlink show health | grep -q raid && exit 0; sleep 2; done; vlink show health; exit 1', SLOW_MS);
  await vm.must('mdadm /dev/md/test --fail /dev/vdc && mdadm /dev/md/test --remove /dev/vdc');
  check((await alarm(vm, '"rule":"raid.degraded"')).includes('raid.degraded'), 'an array that lost a disk is an alarm');
  await vm.must('mdadm /dev/md/test --add /dev/vdc');
  await alarm(vm, '"rule":"raid.degraded"', false);
  check(true, 'with the disk back it is over');
}

async function nvme(vm: Vm, { check }: CaseContext): Promise<void> {
  const ask = async (): Promise<void> => void (await vm.must('systemctl start viewlink-drives.service && systemctl restart viewlink-healthd.service && for i in $(seq 60); do vlink show health | grep -q drive:/dev/nvme0n1 && exit 0; sleep 2; done; exit 1', SLOW_MS));
  await ask();
  check(/drive:\/dev\/nvme0n1.*well/.test((await vm.run('vlink show health')).output), 'the NVMe disk says that it is well');
  await vm.qmp('qom-set', { path: '/machine/peripheral/nvme', property: 'smart_critical_warning', value: WORN_OUT });
  await ask();
  check((await alarm(vm, '"rule":"smart.failing"')).includes('nvme0n1'), 'and when it says that it fails, that is an alarm');
}

async function memory(vm: Vm, { check }: CaseContext): Promise<void> {
  const limit = (size: string): Promise<string> => vm.must(`systemctl set-property --runtime viewlink-apid.service MemoryMax=${size} MemorySwapMax=0`);
  await limit('24M');
  check((await alarm(vm, '"rule":"daemon.[a-z]*","subject":"daemon:apid"')).includes('apid'), 'a daemon over its memory limit is ended, and that is an alarm');
  check(Number(await vm.must('journalctl -k -b --no-pager -q | grep -c "Memory cgroup out of memory.*node\\|oom-kill:.*viewlink-apid"')) > 0, 'the kernel ended it, and nothing else');
  await limit('infinity');
  await alarm(vm, '"rule":"daemon.down","subject":"daemon:apid"', false);
  check((await vm.must('for i in $(seq 60); do systemctl is-active -q viewlink-apid && break; sleep 1; done; systemctl is-active viewlink-apid')) === 'active', 'with memory enough it is back');
}

async function netem(vm: Vm, { check, say }: CaseContext): Promise<void> {
  await using platform = await openPlatform();
  await using _camera = await openCamera(ADDRESS, 1);
  const [channelId] = await camerasSeen(platform, 1);
  const card = await vm.must("ip -o -4 route get 10.97.0.254 | grep -o 'dev [^ ]*' | cut -d' ' -f2");
  // What comes in by UDP goes through a device of its own, which loses.
  await vm.must(`modprobe ifb numifbs=0; ip link add loss type ifb && ip link set loss up && tc qdisc add dev ${card} handle ffff: ingress && tc filter add dev ${card} parent ffff: protocol ip u32 match ip protocol 17 0xff action mirred egress redirect dev loss`);
  const play = await platform.play(channelId!, { transport: 'udp' });
  await play.waitFrames(25, SLOW_MS);
  await vm.must(`tc qdisc add dev loss root netem ${LOSS}`);
  const lossy = await session(vm, row => (row.bridge?.source.lost ?? 0) > 0);
  say(`netem ${LOSS}: ${lossy.bridge!.source.lost} of ${lossy.bridge!.source.packets + lossy.bridge!.source.lost} packets lost, says vlink show sessions`);
  const moved = await session(vm, row => row.bridge?.source.transport.startsWith('tcp') === true && row.bridge.source.state === 'flowing');
  check(true, `the gateway has asked the camera again, over TCP (${moved.bridge!.source.transport})`);
  const { damaged, frames } = play.report;
  await play.waitFrames(frames + 100, SLOW_MS);
  check(play.report.damaged - damaged <= 1, `${play.report.frames - frames} pictures after that under the same loss, ${play.report.damaged - damaged} damaged`);
  await vm.must(`tc qdisc del dev ${card} ingress; ip link del loss`);
  await play.stop();
}

/** The one session, as soon as it is so. */
async function session(vm: Vm, holds: (row: SessionRow) => boolean): Promise<SessionRow> {
  for (const limit = clock.now() + SLOW_MS; ; await pause(clock, LOOK_MS)) {
    const text = await vm.must('vlink show sessions --json');
    const found = (JSON.parse(text.slice(text.indexOf('{'))) as { sessions: readonly SessionRow[] }).sessions.find(holds);
    if (found !== undefined) return found;
    if (clock.now() > limit) throw new Error(`not so: ${text}`);
  }
}

/** Process 1 stands still: nobody feeds the watchdog any more. */
async function watchdog(vm: Vm, { check, say }: CaseContext): Promise<void> {
  say(`watchdog: ${await vm.must('cat /sys/class/watchdog/watchdog0/identity')}, fed within ${await vm.must('systemctl show -P RuntimeWatchdogUSec')}`);
  await vm.must('[ "$(cat /sys/class/watchdog/watchdog0/state)" = active ]');
  vm.type('sync; kill -SEGV 1\n');
  await vm.ended(SLOW_MS);
  check(true, 'a systemd that hangs is reset');
  vm.start();
  await vm.logIn(USER, PASSWORD, BOOT_LIMIT_MS);
  await daemonsAnswer(vm);
  check(true, 'and the machine is back, with its gateway');
}
