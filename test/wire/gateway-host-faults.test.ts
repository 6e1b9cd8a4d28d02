/** Faults 108 to 110: a disk that is full or broken, a clock that jumps, ports and descriptors used up. Media and SIP go on; more of them in host-disks and host-clock. Needs root. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { Play, PlayFailed } from '../../scripts/simulators/platform/platform.ts';
import { type RelayRig, assertReleased, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(120_000);

const ALARM = { priority: 2, method: '5', time: '2026-03-10T08:14:02', description: 'told', longitude: undefined, latitude: undefined, type: '6', eventType: undefined };

function directory(test: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'viewlink-host-'));
  test.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** What runs loses nothing and another one can be had while it is so. */
async function goesOn(test: Test, rig: RelayRig, running: Play, what: string): Promise<void> {
  await running.waitFrames(running.report.frames + 15);
  test.match(running.report, { ended: undefined, lost: 0, damaged: 0 }, what);
  const another = await rig.platforms[0]!.play(rig.idOf(0, 1), { transport: 'udp' });
  await another.waitFrames(3);
  await another.stop();
}

const storeOf = async (rig: RelayRig): Promise<{ state: string; queued: number; refused: number }> => (await rig.rpc.call('summary', {})).store;

/** Every kind of write: a registration, a session, an alarm on its way up. */
async function writes(rig: RelayRig): Promise<void> {
  const { device } = rig.cameras[0]!;
  await device.registration.again();
  void device.sendAlarm({ alarm: ALARM });
}

/** The disk fails; nobody hears of it but the one who asks; then it works again, by itself. */
async function fails(test: Test, rig: RelayRig, running: Play, what: string, begin: () => void, end: () => void): Promise<void> {
  begin();
  await writes(rig);
  await until(`${what}: writes fail`, async () => (await storeOf(rig)).state === 'failing', 10_000);
  await goesOn(test, rig, running, what);
  const { queued, refused } = await storeOf(rig);
  test.ok(queued > 0 && refused === 0, `${what}: ${queued} writes wait`);
  end();
  await until(`${what}: it is over`, async () => (await storeOf(rig)).state === 'ok', 10_000);
  test.match(await storeOf(rig), { queued: 0, refused: 0 });
  const { notices } = rig.platforms[0]!;
  await until(`${what}: the alarm is above`, () => notices.length > 0, 40_000);
  notices.length = 0;
  await goesOn(test, rig, running, `after ${what}`);
}

await t.test('fault 108: the disk is full, broken or read-only: media and SIP go on, writes wait, and all is well again without a restart', async t => {
  const home = directory(t);
  const state = join(home, 'state');
  mkdirSync(state);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', state]);
  t.teardown(() => execFileSync('umount', ['-l', state]));
  const order = join(home, 'order');
  const library = join(home, 'failing-disk.so');
  execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, fileURLToPath(new URL('../rig/failing-disk.c', import.meta.url)), '-ldl']);
  await using rig = await openRelayRig({ cameras: [{ channels: 2 }], lab: { directory: home, env: { LD_PRELOAD: library, FAILING_DISK: order } } });
  const running = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await running.waitFrames(5);
  const filler = join(state, 'filler');
  await fails(t, rig, running, 'a full disk', () => fill(filler), () => rmSync(filler));
  for (const [errno, name] of [[5, 'EIO'], [30, 'EROFS']] as const) await fails(t, rig, running, name, () => writeFileSync(order, String(errno)), () => rmSync(order));
  t.match(await running.stop(), { lost: 0, damaged: 0 });
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  t.match(await rig.rpc.call('listDevices', {}), [{ state: 'online', channels: 2 }], 'what was written is there');
});

function fill(path: string): void {
  const { bavail, bsize } = statfsSync(join(path, '..'));
  writeFileSync(path, Buffer.alloc(Math.max(0, (bavail - 1) * bsize)));
  try {
    for (let size = 4096; ; size += 4096) writeFileSync(`${path}.rest`, Buffer.alloc(size));
  } catch {
    rmSync(`${path}.rest`, { force: true });
    writeFileSync(path, Buffer.alloc(bavail * bsize));
  }
}

const FAKETIME = ['x86_64', 'aarch64'].map(machine => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`).find(existsSync)!;

await t.test('fault 110: the clock jumps by hours and years: nobody goes offline, nothing stops, and everybody can log in', async t => {
  const offset = join(directory(t), 'offset');
  writeFileSync(offset, '+0\n');
  await using rig = await openRelayRig({ cameras: [{ channels: 2, expiresS: 3600 }, { id: '34020000001180000002', keepaliveS: 5 }], lab: { env: { LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: offset, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' } } });
  const running = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await running.waitFrames(5);
  const sawAt = async (): Promise<number> => Date.parse((await rig.gateway.sipd.next(({ time }) => time !== undefined)).time as string);
  for (const [jump, hours] of [['+3600', 1], ['-3600', -1], ['+20y', 20 * 8760], ['+0', 0]] as const) {
    writeFileSync(offset, `${jump}\n`);
    const logged = sawAt();
    const [first, second] = rig.cameras.map(({ device }) => device);
    await Promise.all([first!.registration.again(), second!.registration.again()]);
    await goesOn(t, rig, running, `clock at ${jump}`);
    t.match(await rig.rpc.call('listDevices', {}), [{ state: 'online' }, { state: 'online' }], `clock at ${jump}`);
    t.ok(Math.abs((await logged) - Date.now() - hours * 3_600_000) < 60_000, 'the daemon did see it');
  }
  writeFileSync(offset, '+7200\n');
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  t.match(await rig.rpc.call('listDevices', {}), [{ state: 'online' }, { state: 'online' }], 'a restart at another time: the margin of a restart is longer than that');
  await running.waitFrames(running.report.frames + 15);
  t.match(await running.stop(), { lost: 0, damaged: 0 });
});

await t.test('fault 109: ports of media are used up: refused, and not one of them is lost', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 12 }], lab: { mediaPorts: { first: 29_900, last: 29_915 } } });
  const [city] = rig.platforms;
  const fillUp = async (): Promise<number> => {
    const plays: Play[] = [];
    for (let channel = 0; channel < 12; channel++) {
      try {
        plays.push(await city!.play(rig.idOf(0, channel), { transport: 'udp' }));
      } catch (error) {
        t.ok([486, 503].includes((error as PlayFailed).status ?? 0), `refused with ${(error as PlayFailed).status}`);
      }
    }
    await Promise.all(plays.map(play => play.waitFrames(3)));
    for (const play of plays) t.match(await play.stop(), { lost: 0, ended: 'stopped' });
    await assertReleased(rig);
    return plays.length;
  };
  const mediad = await rig.gateway.mediadRpc();
  const free = async (): Promise<number> => (await mediad.call('load', {})).portsFree;
  const atFirst = await free();
  const fitted = await fillUp();
  t.ok(fitted > 0 && fitted < 12, `${fitted} of 12 fitted`);
  await until('all numbers have rested', async () => (await free()) === atFirst, 20_000);
  t.equal(await fillUp(), fitted, 'as many fit a second time');
  await mediad[Symbol.asyncDispose]();
});

await t.test('fault 109: sipd has no descriptor left: connections are refused, what runs goes on, and it is over when they are free', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 2 }] });
  const { sipd, sipPort, address } = rig.gateway;
  const running = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await running.waitFrames(5);
  const open = Number(execFileSync('sh', ['-c', `ls /proc/${sipd.pid}/fd | wc -l`], { encoding: 'utf8' }));
  execFileSync('prlimit', [`--pid=${sipd.pid}`, `--nofile=${open + 2}:`]);
  const sockets = Array.from({ length: 40 }, () => connect(sipPort, address).on('error', () => undefined));
  await goesOn(t, rig, running, 'without descriptors');
  for (const socket of sockets) socket.destroy();
  execFileSync('prlimit', [`--pid=${sipd.pid}`, '--nofile=4096:']);
  await goesOn(t, rig, running, 'with descriptors');
  t.equal(sipd.restarts, 0);
  const tcp = connect(sipPort, address);
  await new Promise((resolve, reject) => tcp.once('connect', resolve).once('error', reject));
  tcp.destroy();
  await running.stop();
  await assertReleased(rig);
});

await t.test('fault 109: mediad has no descriptor left: what is new is refused, what runs goes on, and no port is lost', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 6 }] });
  const [city] = rig.platforms;
  const [mediad] = rig.gateway.mediads;
  await using rpc = await rig.gateway.mediadRpc();
  const free = async (): Promise<number> => (await rpc.call('load', {})).portsFree;
  const atFirst = await free();
  const running = await city!.play(rig.idOf(0, 0), { transport: 'udp' });
  await running.waitFrames(5);
  const open = Number(execFileSync('sh', ['-c', `ls /proc/${mediad!.pid}/fd | wc -l`], { encoding: 'utf8' }));
  execFileSync('prlimit', [`--pid=${mediad!.pid}`, `--nofile=${open + 1}:`]);
  const refused: (number | undefined)[] = [];
  for (let channel = 1; channel < 6; channel++) {
    const play = await city!.play(rig.idOf(0, channel), { transport: channel % 2 === 0 ? 'udp' : 'tcp-passive' }).catch((error: unknown) => void refused.push((error as PlayFailed).status));
    await play?.stop();
  }
  t.ok(refused.length > 0 && refused.every(status => status === 486 || status === 503), `refused with ${refused.join(', ')}`);
  await running.waitFrames(running.report.frames + 15);
  execFileSync('prlimit', [`--pid=${mediad!.pid}`, '--nofile=4096:']);
  await goesOn(t, rig, running, 'with descriptors');
  t.same([mediad!.restarts, rig.gateway.sipd.restarts], [0, 0]);
  t.match(await running.stop(), { lost: 0, damaged: 0 });
  await assertReleased(rig);
  await until('every port is free again', async () => (await free()) === atFirst, 20_000);
});
