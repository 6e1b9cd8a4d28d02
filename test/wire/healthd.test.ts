/** healthd beside real daemons, on a machine made of files that change: alarms come, are told everywhere, and go; history is kept. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { AlarmRow, HealthdEvent } from '#contracts/healthd.ts';
import { readAlarm } from '#core/gb/alarm.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { GatewayError } from '#core/result.ts';
import { startHealthd as startHere } from '../../daemons/healthd/main.ts';
import { main } from '../../cli/vlink.ts';
import { rssBytes } from '../../scripts/benches/sip/usage.ts';
import { healthdRpc, startHealthd } from '../../scripts/lab/healthd.ts';
import { FastClock } from '../rig/fast-clock.ts';
import { CITY_LOCAL_ID, openRelayRig } from '../rig/relay-rig.ts';
import { layOut, putFile } from '../rig/sysroot-tree.ts';
import { until } from '../rig/until.ts';

t.setTimeout(150_000);
/** So many times as fast as the wall goes healthd here: its ten seconds are one. */
const FACTOR = 10;
const LIMIT_MS = 20_000;

const root = mkdtempSync(join(tmpdir(), 'vl-sysroot-'));
t.teardown(() => rmSync(root, { recursive: true, force: true }));
layOut(root, 'server-2u');

const datagrams: string[] = [];
const udp = createSocket('udp4').on('message', bytes => datagrams.push(bytes.toString()));
udp.bind(0, '127.0.0.1');
await once(udp, 'listening');
let stream = '';
const tcp = createServer(socket => socket.on('data', chunk => (stream += chunk.toString())));
tcp.listen(0, '127.0.0.1');
await once(tcp, 'listening');
t.teardown(() => {
  udp.close();
  tcp.close();
});

const limits = [
  { rule: 'raid.degraded', holdS: 0, clearS: 5 },
  { rule: 'daemon.restarts', clearS: 5 },
  // What the machine of the tests is like is not their subject.
  { rule: 'daemon.down', holdS: 60 },
  { rule: 'daemon.loop-delay', enabled: false },
  { rule: 'daemon.memory', enabled: false },
  { rule: 'roles.unchecked', enabled: false },
];
const health = (more: readonly object[] = []) => ({
  limits: [...limits, ...more],
  syslog: [{ address: '127.0.0.1', port: udp.address().port }, { address: '127.0.0.1', port: (tcp.address() as AddressInfo).port, transport: 'tcp', least: 'critical' }],
  certificates: [],
});
await using rig = await openRelayRig({ cameras: [{ channels: 2 }], platforms: 2, upstreams: [{ view: { healthAlarms: true } }, {}], sections: { health: health(), node: { name: 'node-a' } } as never });
const [city, other] = rig.platforms;
const lab = rig.gateway;

const clock = new FastClock(FACTOR);
const events: HealthdEvent[] = [];
let daemon = await startHere({ configPath: lab.configPath, sysroot: root, clock });
let client = await healthdRpc(lab, event => events.push(event));
t.teardown(async () => {
  await client[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
});

const active = (): Promise<readonly AlarmRow[]> => client.call('alarms', { activeOnly: true, limit: 100 });
const alarmOf = (rule: string, subject: string): Promise<AlarmRow> => until(`${rule} ${subject}`, async () => (await active()).find(row => row.rule === rule && row.subject === subject), LIMIT_MS);
const gone = (rule: string, subject: string): Promise<unknown> => until(`${rule} ${subject} is over`, async () => !(await active()).some(row => row.rule === rule && row.subject === subject), LIMIT_MS);
const checkOf = async (subject: string): Promise<string | undefined> => (await client.call('report', {})).checks.find(check => check.subject === subject)?.state;
const valueOf = async (metric: string, labels: Record<string, string> = {}): Promise<number | undefined> => (await client.call('samples', {})).samples.find(each => each.metric === metric && Object.entries(labels).every(([name, value]) => each.labels[name] === value))?.value;
const faults = (notices: readonly Manscdp[]): string[] => notices.map(({ deviceId, element }) => { const { priority, method, type, description } = readAlarm(element); return [deviceId, priority, method, type, description].join(' '); });
const eventsOf = (rule: string): string[] => events.filter(({ alarm }) => alarm.rule === rule).map(({ type, alarm }) => `${type} ${alarm.subject} ${alarm.severity}`);

/** RFC 6587 3.4.1: as many octets as the number before them says. */
function unframed(text: string): string[] {
  const bytes = Buffer.from(text);
  const messages: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(' ', at);
    const length = Number(bytes.toString('latin1', at, blank));
    messages.push(bytes.toString('utf8', blank + 1, blank + 1 + length));
    at = blank + 1 + length;
  }
  return messages;
}

async function vlink(...argv: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ['', ''];
  const code = await main(argv, { VLINK_CONFIG: lab.configPath }, { out: text => (out += text), err: text => (err += text) });
  return { code, out, err };
}

await t.test('a machine that is well, with everything that runs on it', async t => {
  for (const subject of ['raid:md2', 'disk:/var', 'nic:bond0', 'fan:nct6775 fan1', 'clock', 'drive:/dev/nvme0', 'daemon:sipd', 'daemon:mediad-1', 'upstream:city0', 'upstream:city1', 'devices', 'media:1', 'store:sipd', 'store:history']) {
    await until(`${subject} is good`, async () => (await checkOf(subject)) === 'good', LIMIT_MS);
  }
  t.same(await active(), []);
  t.equal(await valueOf('viewlink_devices', { state: 'online' }), 1);
  t.equal(await valueOf('viewlink_channels', { state: 'all' }), 2);
  t.ok((await valueOf('viewlink_daemon_resident_bytes', { daemon: 'sipd' }))! > 10e6);
  t.ok((await valueOf('viewlink_daemon_loop_delay_p99_seconds', { daemon: 'mediad-1' }))! >= 0);
  const shown = await vlink('show', 'health');
  t.match(shown, { code: 0, out: /^node-a is good\n[^]*good +raid:md2 +raid1: all 2 members work\n/ });
});

await t.test('the RAID loses a disk: told to listeners, syslog and the platform that wants to hear', async t => {
  layOut(root, 'degraded');
  const row = await alarmOf('raid.degraded', 'raid:md2');
  t.match(row, { severity: 'critical', says: 'raid1: 1 of 2 members work, failed: sdb3, recovery at 9.1 %', clearedAtWallMs: null });
  t.ok(eventsOf('raid.degraded').includes('alarm-raised raid:md2 critical'));
  await until('both collectors', () => datagrams.some(line => line.includes('subject="raid:md2"')) && stream.includes('subject="raid:md2"'), LIMIT_MS);
  t.match(datagrams.find(line => line.includes('subject="raid:md2"')), /^<130>1 2026-03-01T\S+\+08:00 node-a viewlink-healthd - RAISED \[alarm@32473 id="\d+" rule="raid.degraded" subject="raid:md2" severity="critical" state="raised"\]/);
  const messages = unframed(stream);
  t.ok(messages.length > 0 && messages.every(message => /^<13[03]>1 .* severity="critical"/.test(message)), 'counted octets, and only the worst');
  await until('the platform heard', () => faults(city!.notices).some(text => text.includes('raid:md2')), LIMIT_MS);
  t.ok(faults(city!.notices).includes(`${CITY_LOCAL_ID} 1 6 1 raid:md2: raid1: 1 of 2 members work, failed: sdb3, recovery at 9.1 %`), 'a device fault of ours, of a disk');
  t.same(other!.notices, [], 'the other did not ask for it');
  await alarmOf('disk.full', 'disk:/var');
  t.match(await vlink('show', 'alarms'), { code: 0, out: /critical .* raid.degraded +raid:md2 +raid1: 1 of 2/ });
  t.match(await vlink('show', 'health'), { code: 1, out: /^node-a is broken: \d+ of \d+\nSTATE +SUBJECT +WHAT\nBROKEN / });
});

await t.test('it is whole again: cleared everywhere', async t => {
  layOut(root, 'server-2u');
  await gone('raid.degraded', 'raid:md2');
  t.ok(eventsOf('raid.degraded').includes('alarm-cleared raid:md2 critical'));
  await until('told upward', () => faults(city!.notices).some(text => text.startsWith(`${CITY_LOCAL_ID} 4 6 1 raid:md2 cleared`)), LIMIT_MS);
  await until('syslog', () => datagrams.some(line => line.startsWith('<133>') && line.includes('subject="raid:md2"')), LIMIT_MS);
  t.match((await client.call('alarms', { activeOnly: false, limit: 100 })).find(row => row.subject === 'raid:md2'), { severity: 'critical' }, 'it is remembered');
});

await t.test('a media daemon dies and comes back: said at once, with its name', async t => {
  await lab.mediads[0]!.crash();
  const row = await alarmOf('daemon.restarts', 'daemon:mediad-1');
  t.match(row, { severity: 'warning', says: /started anew 1 times/ });
  await until('it answers again', async () => (await valueOf('viewlink_daemon_up', { daemon: 'mediad-1' })) === 1, LIMIT_MS);
  t.equal(await valueOf('viewlink_daemon_restarts_total', { daemon: 'mediad-1' }), 1);
});

await t.test('a file that goes and one that is torn take nothing else with them', async t => {
  putFile(root, '/proc/mdstat', '\u0000\ufffdmd2 : active');
  putFile(root, '/proc/net/dev', null);
  putFile(root, '/proc/stat', null);
  const before = (await client.call('report', {})).atWallMs;
  await until('some rounds later', async () => (await client.call('report', {})).atWallMs > before + 25_000, LIMIT_MS);
  t.equal(await checkOf('disk:/var'), 'good');
  t.notOk((await active()).some(({ rule }) => rule.startsWith('raid') || rule.startsWith('nic')));
  layOut(root, 'server-2u');
});

await t.test('who plays what: traffic by channel and platform', async t => {
  await until('mediad is back for sipd', async () => (await rig.rpc.call('counters', {}))['process.pid'] !== undefined && (await valueOf('viewlink_media_ports_free', { instance: '1' })) !== undefined, LIMIT_MS);
  const play = await until('a session', () => city!.play(rig.idOf(0, 0), { transport: 'udp' }).catch(() => undefined), LIMIT_MS);
  await until('the channel has a rate', async () => ((await valueOf('viewlink_channel_bits_per_second', { device: rig.cameras[0]!.device.id })) ?? 0) > 10_000, LIMIT_MS);
  await until('the platform too', async () => ((await valueOf('viewlink_upstream_bits_per_second', { upstream: 'city0' })) ?? 0) > 10_000, LIMIT_MS);
  t.equal(await valueOf('viewlink_sessions', { upstream: 'city0' }), 1);
  t.equal(await valueOf('viewlink_sessions', { upstream: 'city1' }), 0);
  await play.stop();
});

await t.test('history: seconds now, minutes behind them, points as many as asked', async t => {
  const span = async (agoMs: number, maxPoints: number) => client.call('history', { metric: 'viewlink_memory_available_bytes', labels: {}, fromWallMs: clock.wall() - agoMs, toWallMs: clock.wall() + 1000, maxPoints });
  const fine = await span(600_000, 2000);
  t.equal(fine.stepMs, 1000);
  t.ok(fine.series[0]!.points.length >= 5 && fine.series[0]!.points.every(({ mean }) => mean === Math.fround(52_345_678 * 1024)), 'what the file says');
  t.ok((await span(600_000, 4)).series[0]!.points.length <= 4);
  const minutes = await until('a minute is over', async () => { const found = await span(86_400_000, 2000); return (found.series[0]?.points.length ?? 0) >= 2 && found; }, LIMIT_MS);
  t.equal(minutes.stepMs, 60_000);
  const gains = await client.call('history', { metric: 'viewlink_nic_receive_bytes_total', labels: { nic: 'eno1' }, fromWallMs: clock.wall() - 600_000, toWallMs: clock.wall(), maxPoints: 1000 });
  t.ok(gains.series[0]!.points.every(({ mean }) => mean === 0), 'a counter that stands gains nothing');
  const shown = await vlink('show', 'history', 'cpu_cores', '--last', '1h', '--json');
  t.equal(shown.code, 1, 'the clock of the tests is another one: nothing in that hour');
  t.match(await vlink('show', 'history', 'load1', '--last', 'long'), { code: 64 });
  t.match(JSON.parse((await vlink('show', 'history', 'cpu.busy', '--json')).out), { series: [], stepMs: Number }, 'a rule by its metric');
  t.match(await vlink('show', 'history', 'cpu.nothing'), { code: 64, err: /no such metric: perhaps cpu_busy_ratio, / });
  t.match(await vlink('show', 'history', 'no such'), { code: 64, err: /no such metric: perhaps|no such metric: vlink show history lists them/ });
  t.match(await vlink('show', 'counters'), { code: 0, out: /^healthd +history.bytes +\d+$/m });
});

await t.test('twenty years ahead and back: an alarm, and nothing lost', async t => {
  const years = 20 * 365 * 86_400_000;
  const before = await client.call('history', { metric: 'viewlink_load1', labels: {}, fromWallMs: clock.wall() - 600_000, toWallMs: clock.wall(), maxPoints: 1000 });
  clock.stepWall(years);
  t.match(await alarmOf('clock.stepped', 'clock'), { severity: 'critical' });
  clock.stepWall(-years);
  await until('samples again', async () => ((await client.call('history', { metric: 'viewlink_load1', labels: {}, fromWallMs: clock.wall() - 20_000, toWallMs: clock.wall() + 1000, maxPoints: 1000 })).series[0]?.points.length ?? 0) > 0, LIMIT_MS);
  const after = await client.call('history', { metric: 'viewlink_load1', labels: {}, fromWallMs: clock.wall() - 600_000, toWallMs: clock.wall(), maxPoints: 1000 });
  t.ok(after.series[0]!.points.length >= before.series[0]!.points.length, 'what was kept is kept');
});

await t.test('other limits come into force while it runs; nonsense does not', async t => {
  await lab.rewrite(rig.configOf({ upstreams: [{ view: { healthAlarms: true } }, {}] }));
  t.match(await client.call('reload', { sections: [] }), { refused: null });
  await lab.rewrite({ ...rig.configOf({ upstreams: [{ view: { healthAlarms: true } }, {}] }), health: health([{ rule: 'disk.full', subject: 'disk:/srv/recordings', warning: 20, holdS: 0 }]) } as never);
  t.same(await client.call('reload', { sections: ['health'] }), { refused: null });
  const row = await alarmOf('disk.full', 'disk:/srv/recordings');
  t.equal(row.severity, 'warning');
  t.match(await vlink('show', 'rules'), { code: 0, out: /raid.degraded +- +yes +0 s +5 s/ });
  t.match(await vlink('alarm', 'ack', String(row.alarmId)), { code: 0 });
  t.equal((await active()).find(({ alarmId }) => alarmId === row.alarmId)?.acknowledged?.user.length! > 0, true);
  t.match(await vlink('alarm', 'ack', '999999'), { code: 3, err: /^no such alarm: 999999$/m });
});

await t.test('after a restart alarms stand as they stood, and are not raised anew', async t => {
  const before = await active();
  await client[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
  daemon = await startHere({ configPath: lab.configPath, sysroot: root, clock });
  events.length = 0;
  client = await healthdRpc(lab, event => events.push(event));
  t.same((await active()).filter(({ rule }) => rule === 'disk.full'), before.filter(({ rule }) => rule === 'disk.full'), 'with their numbers and who has seen them');
  await until('it has looked again', async () => (await checkOf('disk:/srv/recordings')) === 'degraded', LIMIT_MS);
  t.same(eventsOf('disk.full'), []);
});

await t.test('as a process of its own, killed and back', async t => {
  await client[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
  await using own = await startHealthd(lab, { sysroot: root, cache: join(lab.directory, 'modules') });
  client = await healthdRpc(lab);
  await until('it sees the daemons', async () => (await checkOf('daemon:sipd')) === 'good', LIMIT_MS);
  const rssMb = rssBytes(own.pid) / 1e6;
  t.ok(rssMb <= 80, `with nothing compiled before: ${rssMb.toFixed(1)} MB`);
  const before = (await active()).find(({ rule }) => rule === 'disk.full');
  await own.crash();
  await client[Symbol.asyncDispose]();
  client = await healthdRpc(lab);
  t.same((await active()).find(({ rule }) => rule === 'disk.full'), before);
  t.match(readFileSync(join(lab.directory, 'healthd.log'), 'utf8'), /"msg":"healthd.ready"/);
  await t.rejects(client.call('history', { metric: 'x; DROP TABLE series', labels: {}, fromWallMs: 0, toWallMs: 1, maxPoints: 1 }), GatewayError);
  const page = join(lab.directory, 'inspection.html');
  t.match(await vlink('inspect', '--html', page), { code: 1 });
  t.match(readFileSync(page, 'utf8'), /<h1 class="degraded">Inspection of \S+: degraded<\/h1>/);
});
