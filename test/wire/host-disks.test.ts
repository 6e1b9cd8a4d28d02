/** Faults 108 and 109 of what lies on disks: the disk of the log is full, writes of the state wait until no more can, no inode is left. Needs root. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { connectRpc } from '#kit/rpc.ts';
import { LAB_ID } from '../../scripts/lab/gateway.ts';
import { healthdRpc, startHealthd } from '../../scripts/lab/healthd.ts';
import { ConfigdProcess, set } from '../rig/configd-rig.ts';
import { type RelayRig, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';

t.setTimeout(150_000);

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

function directory(test: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'viewlink-disks-'));
  test.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A file system of its own there, with such bounds. */
function mounted(test: Test, path: string, options: string): string {
  mkdirSync(path, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]);
  test.teardown(() => execFileSync('umount', ['-l', path]));
  return path;
}

/** Not a byte more goes there. */
function fillBytes(path: string): string {
  const filler = join(path, 'filler');
  writeFileSync(filler, '');
  try {
    for (;;) appendFileSync(filler, Buffer.alloc(512));
  } catch {
    return filler;
  }
}

/** Not a file more goes there; what removes them again. */
function fillInodes(path: string): () => void {
  const fillers: string[] = [];
  try {
    for (;;) {
      const filler = join(path, `filler-${fillers.length}`);
      writeFileSync(filler, '');
      fillers.push(filler);
    }
  } catch {
    return () => fillers.forEach(filler => rmSync(filler));
  }
}

const answers = (socket: string): Promise<boolean> => connectRpc(socket).then(async client => (await client[Symbol.asyncDispose](), true), () => false);

const DAEMONS: readonly (readonly [name: string, socket: string, args: (state: string) => readonly string[]])[] = [
  ['mediad', 'mediad-1.sock', () => ['--instance', '1']],
  ['sipd', 'sipd.sock', () => []],
  ['configd', 'configd.sock', state => ['--state', join(state, 'configd')]],
  ['healthd', 'healthd.sock', () => []],
  ['apid', 'apid.sock', () => []],
];

await t.test('fault 108: the disk of the log is full: every daemon starts, answers, stays, and says what it has to say when there is room', async t => {
  const home = directory(t);
  const logs = mounted(t, join(home, 'logs'), 'size=256k');
  const config = join(home, 'gateway.yaml');
  const port = await freePort();
  writeFileSync(config, stringify({ sip: { id: LAB_ID, listen: [{ transport: 'udp', address: '127.0.0.1', port }] }, media: { instances: 1, ports: { mode: 'range', first: 29_700, last: 29_715 } }, state: { directory: join(home, 'state') }, rpc: { directory: join(home, 'run') } }), { mode: 0o600 });
  const filler = fillBytes(logs);
  const children: (readonly [string, ChildProcess])[] = [];
  for (const [name, socket, args] of DAEMONS) {
    const fd = openSync(join(logs, `${name}.log`), 'a');
    const child = spawn(process.execPath, [join(ROOT, `daemons/${name}/main.ts`), '--config', config, ...args(join(home, 'state'))], { stdio: ['ignore', fd, 'inherit'] });
    closeSync(fd);
    t.teardown(() => child.kill('SIGKILL'));
    children.push([name, child]);
    await until(`${name} answers`, () => answers(join(home, 'run', socket)), 30_000);
  }
  for (const [name, child] of children) {
    t.equal(child.exitCode, null, `${name} lives`);
    t.equal(readFileSync(join(logs, `${name}.log`), 'utf8'), '', 'without a word');
  }
  rmSync(filler);
  for (const [name, child] of children) {
    await until(`${name} says it now`, () => readFileSync(join(logs, `${name}.log`), 'utf8').includes(`"${name}.ready"`), 10_000);
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    t.same(await gone, [0, null], `${name} ends in its order`);
  }
});

/** daemons/kit/sqlite-writes.ts */
const MAX_QUEUED = 10_000;
const AT_ONCE = 40;

const storeOf = async (rig: RelayRig): Promise<{ state: string; queued: number; refused: number }> => (await rig.rpc.call('summary', {})).store;

/** So many alarms for the platform, as healthd tells them: a row each. */
async function alarms(rig: RelayRig, from: number, count: number): Promise<void> {
  let next = from;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let n = next++; n < from + count; n = next++) await rig.rpc.call('raiseAlarm', { key: `alarm ${n}`, priority: 1, faultType: null, atWallMs: 1_773_100_800_000, description: `alarm ${n}` });
    }),
  );
}

await t.test('fault 108: ten thousand writes wait for a disk that fails, more are refused with an alarm; media and SIP go on, and it is over without a restart', async t => {
  const home = directory(t);
  const library = join(home, 'failing-disk.so');
  const order = join(home, 'order');
  execFileSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, fileURLToPath(new URL('../rig/failing-disk.c', import.meta.url)), '-ldl']);
  await using rig = await openRelayRig({ cameras: [{ channels: 2 }], upstream: { view: { healthAlarms: true } }, lab: { directory: home, env: { LD_PRELOAD: library, FAILING_DISK: order } } });
  await using _healthd = await startHealthd(rig.gateway);
  await using health = await healthdRpc(rig.gateway);
  const running = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await running.waitFrames(5);
  // Nobody above takes one: each stays on the disk, or should.
  rig.platforms[0]!.noticePolicy = () => 'drop';
  writeFileSync(order, '5');
  for (let sent = 0; (await storeOf(rig)).queued < MAX_QUEUED; sent += 1000) {
    if (sent > 2 * MAX_QUEUED) throw new Error(`${(await storeOf(rig)).queued} wait after ${sent} alarms`);
    await alarms(rig, sent, 1000);
  }
  await alarms(rig, 3 * MAX_QUEUED, 50);
  const full = await storeOf(rig);
  t.match(full, { state: 'failing', queued: MAX_QUEUED });
  t.ok(full.refused > 0, `${full.refused} refused`);
  const raised = await until('the alarm', async () => (await health.call('alarms', { activeOnly: true, limit: 100 })).find(({ subject, says }) => subject === 'store:sipd' && /given up/.test(says)), 40_000);
  t.match(raised, { rule: 'store.failing', severity: 'critical' });
  await running.waitFrames(running.report.frames + 15);
  const another = await rig.platforms[0]!.play(rig.idOf(0, 1), { transport: 'udp' });
  await another.waitFrames(3);
  await another.stop();
  rmSync(order);
  await until('all of it is on the disk', async () => (await storeOf(rig)).queued === 0, 30_000);
  t.match(await storeOf(rig), { state: 'ok', queued: 0, refused: 0 });
  t.equal(rig.gateway.sipd.restarts, 0);
  t.match(await running.stop(), { lost: 0, damaged: 0 });
});

await t.test('fault 109: no inode is left: media and SIP go on, a restart finds what was known, a commit is refused with a word, and all is well again', async t => {
  const home = directory(t);
  const state = mounted(t, join(home, 'state'), 'size=16m,nr_inodes=300');
  await using rig = await openRelayRig({ cameras: [{ channels: 2 }], lab: { directory: home } });
  await using configd = await ConfigdProcess.start({ configPath: rig.gateway.configPath, stateDirectory: join(state, 'configd'), socket: join(home, 'run/configd.sock') });
  await using _healthd = await startHealthd(rig.gateway);
  const running = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await running.waitFrames(5);
  const free = fillInodes(state);
  t.equal(statfsSync(state).ffree, 0);
  await rig.cameras[0]!.device.registration.again();
  const another = await rig.platforms[0]!.play(rig.idOf(0, 1), { transport: 'udp' });
  await another.waitFrames(3);
  t.match(await storeOf(rig), { state: 'ok' }, 'files that are there can be written');
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  t.match(await rig.rpc.call('listDevices', {}), [{ state: 'online', channels: 2 }]);
  t.equal((await rig.rpc.call('listSessions', {})).length, 2);
  await another.stop();
  const refused = await configd.edit('wang', set('devices.keepaliveS', 50)).then(() => configd.commit('wang'), (error: unknown) => error).catch((error: unknown) => error);
  t.match(refused, { code: 'STORE_FAILED' });
  t.notMatch(readFileSync(rig.gateway.configPath, 'utf8'), /keepaliveS: 50/);
  free();
  await configd.edit('wang', set('devices.keepaliveS', 50));
  t.match(await configd.commit('wang'), { issues: [], refusals: [] });
  t.match(readFileSync(rig.gateway.configPath, 'utf8'), /keepaliveS: 50/);
  await running.waitFrames(running.report.frames + 15);
  t.match(await running.stop(), { lost: 0, damaged: 0 });
  t.ok(existsSync(join(state, 'sipd.sqlite3')));
});
