/** Two appliances become a pair; the power of the active one goes, and address and sessions move to the other. */
import { systemClock as clock } from '#kit/clock.ts';
import type { ClusterReport } from '#contracts/clusterd.ts';
import { gapSince } from '../lab/pair-scene.ts';
import { SIP_ADDRESS } from '../lab/pair.ts';
import { pause } from '../simulators/common/names.ts';
import { BOOT_LIMIT_MS, configure, createBox, daemonsAnswer, PASSWORD, seededDisk, USER } from './box.ts';
import type { Case, CaseContext } from './case.ts';
import { addressOf, linkAddressOf, PREFIX, Site } from './site.ts';
import { camerasSeen, comparePicture, gatewayConfig, openCamera, openPlatform } from './surroundings.ts';
import type { Vm } from './vm.ts';

const NAMES = ['node-a', 'node-b'] as const;
const CAMERAS = 2;
const LOOK_MS = 1000;
const SLOW_MS = 900_000;
/** Two emulated machines on two busy processors: scripts/bench failover says what a takeover really takes. */
const GAP_LIMIT_MS = 30_000;
const CODE = /[0-9A-Z]{5}(?:-[0-9A-Z]{5}){5}/;
/** Two machines without the processor's help on two processors stand still for longer than a watchdog waits. */
const PATIENT = 'for unit in configd sipd mediad@ healthd apid clusterd; do mkdir -p /etc/systemd/system/viewlink-$unit.service.d && printf "[Service]\\nWatchdogSec=120\\nTimeoutStartSec=600\\n" >/etc/systemd/system/viewlink-$unit.service.d/patient.conf || exit 1; done; systemctl daemon-reload';
const UNITS = 'viewlink-clusterd.service viewlink-pair-state.service viewlink-pair-addresses.service';

export default {
  name: 'pair',
  help: 'two machines: the active one is switched off, address and sessions move',
  async run(context) {
    const { say, check } = context;
    using site = new Site(2, { cable: true });
    await using first = box(context, site, 0);
    await using second = box(context, site, 1);
    const vms = [first, second] as const;
    for (const vm of vms) vm.start();
    await Promise.all(vms.map(vm => vm.logIn(USER, PASSWORD, BOOT_LIMIT_MS)));
    check(true, 'both are up; their answers came from the boot partition');
    await pair(first, second, context);
    const active = await activeOf(vms);
    const standby = vms[1 - vms.indexOf(active)]!;
    say(`${NAMES[vms.indexOf(active)]!} is active`);
    await using platform = await openPlatform();
    await using _camera = await openCamera(SIP_ADDRESS, CAMERAS);
    const ids = await camerasSeen(platform, CAMERAS);
    await comparePicture(context, platform, ids[0]!, 'before');
    const play = await platform.play(ids[0]!, { transport: 'udp' });
    await play.waitFrames(50, SLOW_MS);
    await until(() => report(standby), ({ state, peer }) => state.whole && peer.alive && peer.fitness === 100);
    say('the other one could take over');
    const before = play.markers.at(-1)!.atMs;
    const { packets } = play.report;
    await active.powerCut();
    await play.waitPackets(packets + 300, SLOW_MS);
    const gapMs = gapSince(play, before);
    check(gapMs < GAP_LIMIT_MS && play.report.ended === undefined, `its power is cut: the session goes on after ${Math.round(gapMs)} ms without a new INVITE`);
    check((await standby.must('ip -4 -o address')).includes(` ${SIP_ADDRESS}/`), `${SIP_ADDRESS} is at the other node`);
    await play.stop();
    await comparePicture(context, platform, ids[1]!, 'after');
    active.start();
    await active.logIn(USER, PASSWORD, BOOT_LIMIT_MS);
    await until(() => report(active), ({ state, role, peer }) => role === 'standby' && peer.alive && state.whole);
    check((await standby.must('ip -4 -o address')).includes(` ${SIP_ADDRESS}/`), 'with its power back the first one is the standby');
  },
} satisfies Case;

function box(context: CaseContext, site: Site, index: number): Vm {
  const name = NAMES[index]!;
  const seed = { HOSTNAME_IS: name, NICS: 'two', MANAGEMENT: `${addressOf(index)}/${PREFIX}`, GATEWAY: '', SERVICE: `${linkAddressOf(index)}/${PREFIX}`, NTP: '', ADMIN: USER, SSH_KEY: '', ADMIN_PASSWORD: PASSWORD };
  return createBox(context, { name, site, index, disk: seededDisk(context, name, seed) });
}

/** As somebody on site does it: the first one works alone, then one code makes the two a pair. */
async function pair(first: Vm, second: Vm, { say }: CaseContext): Promise<void> {
  await Promise.all([first, second].map(vm => vm.must(PATIENT)));
  await Promise.all([
    configure(first, { ...gatewayConfig(addressOf(0)), node: { name: NAMES[0] }, cluster: { holdDownS: 2 } }),
    second.must('systemctl start viewlink.target', SLOW_MS).then(() => daemonsAnswer(second)),
  ]);
  say('the first one is configured');
  for (const vm of [first, second]) {
    await vm.must(`systemctl enable --now ${UNITS}`, SLOW_MS);
    // A node that stands alone says so, and that is no success.
    await vm.must(`for i in $(seq 150); do vlink cluster show --json 2>/dev/null | grep -q '"alone": true' && exit 0; sleep 2; done; exit 1`, SLOW_MS);
  }
  const [code] = CODE.exec(await first.must(`vlink cluster pair --link ${linkAddressOf(0)} --lan ${addressOf(0)} --address ${SIP_ADDRESS}/${PREFIX}`, SLOW_MS)) ?? [];
  await second.must(`vlink cluster join ${linkAddressOf(0)} ${code ?? 'NO-CODE'} --name ${NAMES[1]} --lan ${addressOf(1)}`, SLOW_MS);
  say('one code has made them a pair');
}

async function report(vm: Vm): Promise<ClusterReport | undefined> {
  const { code, output } = await vm.run('vlink cluster show --json');
  return code === 0 ? (JSON.parse(output.slice(output.indexOf('{'))) as ClusterReport) : undefined;
}

async function activeOf(vms: readonly Vm[]): Promise<Vm> {
  for (const limit = clock.now() + SLOW_MS; clock.now() < limit; await pause(clock, LOOK_MS)) {
    for (const vm of vms) if ((await report(vm))?.state.sipd?.state === 'active') return vm;
  }
  throw new Error(`nobody is active: ${JSON.stringify(await Promise.all(vms.map(report)))}`);
}

async function until(look: () => Promise<ClusterReport | undefined>, holds: (report: ClusterReport) => boolean): Promise<void> {
  for (const limit = clock.now() + SLOW_MS; ; await pause(clock, LOOK_MS)) {
    const seen = await look();
    if (seen !== undefined && holds(seen)) return;
    if (clock.now() > limit) throw new Error(`not so: ${JSON.stringify(seen)}`);
  }
}
