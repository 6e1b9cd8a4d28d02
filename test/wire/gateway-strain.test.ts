/** Fault 112: a machine that is short of memory or processor, loses a disk, a cable or its time. What is given up goes in order; alarms go up always. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { StrainReport } from '#contracts/mediad.ts';
import { readAlarm } from '#core/gb/alarm.ts';
import { CgroupReader } from '#kit/cgroup.ts';
import { main } from '../../cli/vlink.ts';
import { startHealthd } from '../../daemons/healthd/main.ts';
import { healthdRpc } from '../../scripts/lab/healthd.ts';
import type { Play } from '../../scripts/simulators/platform/platform.ts';
import { FastClock } from '../rig/fast-clock.ts';
import { openRelayRig } from '../rig/relay-rig.ts';
import { layOut, putFile } from '../rig/sysroot-tree.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';

t.setTimeout(170_000);
const LIMIT_MS = 30_000;
/** So many times as fast as the wall goes healthd here. */
const FACTOR = 10;
const ALARM = { priority: 1, method: '5', time: '2026-03-10T08:14:02', description: 'told', longitude: undefined, latitude: undefined, type: '6', eventType: undefined };

const root = mkdtempSync(join(tmpdir(), 'vl-strain-'));
t.teardown(() => rmSync(root, { recursive: true, force: true }));
layOut(root, 'server-2u');
const OWN = '/sys/fs/cgroup/viewlink.slice/viewlink-mediad@1.service';
const GIB = 2 ** 30;

/** What the kernel says of the media process. */
function cgroup({ usedGib = 1, high = 0, max = 0 }: { readonly usedGib?: number; readonly high?: number; readonly max?: number } = {}): void {
  putFile(root, '/proc/self/cgroup', '0::/viewlink.slice/viewlink-mediad@1.service\n');
  putFile(root, `${OWN}/memory.high`, `${3.5 * GIB}\n`);
  putFile(root, `${OWN}/memory.max`, `${4 * GIB}\n`);
  putFile(root, `${OWN}/memory.stat`, `anon 1\nfile 1\ninactive_file ${GIB / 2}\nactive_file 1\n`);
  putFile(root, `${OWN}/memory.pressure`, 'some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n');
  putFile(root, `${OWN}/cpu.pressure`, 'some avg10=0.00 avg60=0.00 avg300=0.00 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=9\n');
  putFile(root, `${OWN}/memory.events`, `low 0\nhigh ${high}\nmax ${max}\noom 0\noom_kill 0\n`);
  putFile(root, `${OWN}/memory.current`, `${Math.round((usedGib + 0.5) * GIB)}\n`);
}
cgroup();

const httpPort = await freePort();
const limits = [
  { rule: 'raid.degraded', holdS: 0, clearS: 5 },
  { rule: 'nic.down', holdS: 0, clearS: 5 },
  { rule: 'bond.degraded', holdS: 0, clearS: 5 },
  { rule: 'clock.unsynchronised', holdS: 0, clearS: 5 },
  { rule: 'daemon.loop-delay', enabled: false },
  { rule: 'daemon.memory', enabled: false },
];
const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
const ha1Of = (user: string): string => md5(`${user}:viewlink:secret`);
await using rig = await openRelayRig({
  cameras: [{ channels: 4 }],
  // Under strain nothing is kept so long.
  devices: { media: { lingerS: 600 } },
  platforms: 2,
  lab: { sysroot: root },
  media: { strain: { memoryPercent: 90, stealPercent: 50, holdS: 1, calmS: 1 } },
  upstreams: [{ priority: 200, view: { healthAlarms: true } }, { priority: 10, transcodeByF: true }],
  sections: { outlets: { address: '127.0.0.1', httpPort, tokenKey: 'k'.repeat(40), users: [{ name: 'wall', ha1: ha1Of('wall'), priority: 200 }] }, transcode: { cores: 64 }, health: { limits, certificates: [] } },
});
const [city, town] = rig.platforms;
const { device } = rig.cameras[0]!;
const levels: StrainReport['level'][] = [];
await using mediad = await rig.gateway.mediadRpc(1, event => {
  if (event.type === 'strain') levels.push(event.level);
});
const clock = new FastClock(FACTOR);
await using _healthd = await startHealthd({ configPath: rig.gateway.configPath, sysroot: root, clock });
await using health = await healthdRpc(rig.gateway);

const strain = async (): Promise<StrainReport> => (await mediad.call('load', {})).strain!;
const level = (wanted: number): Promise<unknown> => until(`level ${wanted}`, async () => (await strain()).level === wanted, LIMIT_MS);
const texts = (): string[] => city!.notices.map(({ element }) => readAlarm(element).description ?? '');
const told = (text: string): Promise<unknown> => until(`told upward: ${text}`, () => texts().some(each => each.includes(text)), LIMIT_MS);
const active = async (rule: string, subject: string): Promise<string | undefined> => (await health.call('alarms', { activeOnly: true, limit: 100 })).find(row => row.rule === rule && row.subject === subject)?.says;
const raised = (rule: string, subject: string): Promise<string> => until(`${rule} is raised`, () => active(rule, subject), LIMIT_MS);
const over = (rule: string, subject: string): Promise<unknown> => until(`${rule} is over`, async () => (await active(rule, subject)) === undefined, LIMIT_MS);

/** An alarm of the camera, while it is as it is. */
async function alarmGoesUp(description: string): Promise<void> {
  await device.sendAlarm({ source: device.channels[0]!.id, alarm: { ...ALARM, description } });
  await told(description);
}

async function vlink(...argv: readonly string[]): Promise<{ code: number; out: string }> {
  let out = '';
  const code = await main(argv, { VLINK_CONFIG: rig.gateway.configPath }, { out: text => (out += text), err: text => (out += text) });
  return { code, out };
}

/** By digest (RFC 7616). */
async function fetchAs(user: string, url: string): Promise<Response> {
  const { headers } = await fetch(url);
  const said = headers.get('www-authenticate') ?? '';
  const [nonce, opaque] = ['nonce', 'opaque'].map(name => new RegExp(`${name}="([^"]*)"`).exec(said)?.[1]);
  const { pathname } = new URL(url);
  const response = md5([ha1Of(user), nonce, '00000001', 'c0ffee', 'auth', md5(`GET:${pathname}`)].join(':'));
  const parts = [`username="${user}"`, 'realm="viewlink"', `nonce="${nonce}"`, `uri="${pathname}"`, `response="${response}"`, 'algorithm=MD5', 'qop=auth', 'nc=00000001', 'cnonce="c0ffee"', ...(opaque === undefined ? [] : [`opaque="${opaque}"`])];
  return fetch(url, { headers: { Authorization: `Digest ${parts.join(', ')}` } });
}

/** Looks on over HTTP; `ended` when it was closed, by the gateway or by `leave`. */
async function preview(channel: number, user?: string): Promise<{ readonly status: number; readonly ended: Promise<void>; leave(): Promise<void> }> {
  const { urls } = await mediad.call('outletUrls', { channel: device.channels[channel]!.id, streamNumber: 0, minutes: 5 });
  const { url } = urls.find(({ protocol }) => protocol === 'flv')!;
  const response = user === undefined ? await fetch(url) : await fetchAs(user, url.replace(/\?.*/, ''));
  const reader = response.body!.getReader();
  await reader.read();
  const drain = async (): Promise<void> => {
    while (!(await reader.read()).done);
  };
  return { status: response.status, ended: drain().catch(() => undefined), leave: () => reader.cancel() };
}

const refusal = (play: Promise<Play>): Promise<number | undefined> => play.then(() => undefined, (error: { status?: number }) => error.status);
const H264_SMALL = 'v/2/2/25/1/512a///';

await t.test('the cgroup as the kernel tells of it', async t => {
  t.match(new CgroupReader(root).read(), { memory: { workingBytes: GIB, highBytes: 3.5 * GIB, maxBytes: 4 * GIB, highHits: 0, maxHits: 0 }, memoryStallUs: 7, cpuStallUs: 9, ticks: { steal: Number, total: Number } });
  t.same(new CgroupReader(join(root, 'nothing')).read(), { ticks: undefined }, 'where there is none, nothing is known');
});

await t.test('memory runs out: previews first, the newest of low priority before all, then the rendition, then nobody new; who passes through loses nothing', async t => {
  const important = await city!.play(rig.idOf(0, 0), { transport: 'udp' });
  const other = await town!.play(rig.idOf(0, 1, 1), { transport: 'udp' });
  const rendered = await town!.play(rig.idOf(0, 0, 1), { transport: 'udp', f: H264_SMALL });
  await Promise.all([important, other, rendered].map(play => play.waitFrames(5)));
  const order: string[] = [];
  const older = await preview(2);
  const newer = await preview(3);
  const wall = await preview(3, 'wall');
  t.same([older.status, newer.status, wall.status], [200, 200, 200]);
  const ends = [
    wall.ended.then(() => order.push('preview on the wall')),
    newer.ended.then(() => order.push('newer preview')),
    older.ended.then(() => order.push('older preview')),
    rendered.waitEnded(LIMIT_MS).then(() => order.push('rendition')),
  ];

  cgroup({ usedGib: 3.4 });
  await level(1);
  t.equal((await preview(2)).status, 503, 'no new preview');
  await alarmGoesUp('in the first level');
  t.match(await raised('media.strained', 'media:1'), /^level [123] of 3, no previews.*: memory 97.1 % of 3.5 GiB$/);
  await Promise.all(ends);
  t.same(order, ['newer preview', 'older preview', 'preview on the wall', 'rendition'], 'in this order');
  await level(3);
  t.same(levels, [1, 2, 3], 'one after another');
  const labels = async (): Promise<string[]> => (await mediad.call('listBridges', {})).bridges.map(({ label }) => label.slice(-3)).sort();
  const watched = [0, 1].map(channel => device.channels[channel]!.id.slice(-3));
  await until('cameras that nobody watches send no more', async () => JSON.stringify(await labels()) === JSON.stringify(watched), LIMIT_MS);
  t.equal(await refusal(town!.play(rig.idOf(0, 0, 1), { transport: 'udp', f: H264_SMALL })), 486, 'no new rendition');
  await until('sipd has heard of it', async () => (await rig.rpc.call('why', { channel: device.channels[2]!.id, probe: false })).firstBroken === 'ports', LIMIT_MS);
  t.equal(await refusal(city!.play(rig.idOf(0, 2), { transport: 'udp' })), 486, 'no new source');
  t.equal(await refusal(city!.play(rig.idOf(0, 1), { transport: 'udp' })), 486, 'and no more who share one');
  t.match(await vlink('why', device.channels[2]!.id), { out: /no media process takes a new source: no previews, transcodes and new sessions: memory 97.1 % of 3.5 GiB/ });
  await alarmGoesUp('in the last level');
  await device.registration.again();
  await told('level 3 of 3');
  t.match(await vlink('show', 'health'), { code: 1, out: /BROKEN +media:1 +.*level 3 of 3, no previews, transcodes and new sessions: memory 97.1 % of 3.5 GiB/ });
  t.match(await strain(), { ended: { 'preview': 3, 'transcode': 1, 'pass-through': 0 } });

  await Promise.all([important, other].map(play => play.waitFrames(play.report.frames + 50)));
  t.equal(important.report.ended, undefined);
  t.equal(other.report.ended, undefined, 'not dire: who runs is left alone');

  cgroup({ usedGib: 3.49, max: 1 });
  t.equal(await other.waitEnded(LIMIT_MS) !== '', true, 'MemoryMax: the lowest priority goes, before the kernel kills for all');
  cgroup({ usedGib: 1, max: 1 });
  await level(0);
  t.same(levels, [1, 2, 3, 2, 1, 0], 'and back, one after another');
  const again = await preview(2);
  t.equal(again.status, 200, 'a preview is let in again');
  await again.leave();
  await over('media.strained', 'media:1');
  await told('media:1 cleared');
  await (await town!.play(rig.idOf(0, 0, 1), { transport: 'udp', f: H264_SMALL })).stop();
  await important.waitFrames(important.report.frames + 15);
  t.match(await strain(), { ended: { 'preview': 3, 'transcode': 1, 'pass-through': 1 } });
  t.match(await mediad.call('counters', {}), { 'strain.level': 0, 'strain.refused.preview': 1 });
  t.match(important.report, { ended: undefined, lost: 0, damaged: 0 });
  t.match(other.report, { lost: 0, damaged: 0 });
  await important.stop();
});

await t.test('nine tenths of the processor are stolen: previews go, sessions stay', async t => {
  const running = await city!.play(rig.idOf(0, 0), { transport: 'udp' });
  await running.waitFrames(5);
  const watching = await preview(2);
  // Ticks of two processors, as they go by.
  const since = performance.now();
  const go = setInterval(() => {
    const ticks = Math.round((performance.now() - since) / 5);
    putFile(root, '/proc/stat', `cpu  ${100 + Math.round(ticks / 10)} 0 100 1000 0 0 0 ${Math.round(0.9 * ticks)} 0 0\nbtime 1770000000\n`);
  }, 100);
  await watching.ended;
  clearInterval(go);
  t.match(await strain(), { says: /^no previews.*: [89]\d(\.\d)? % of the processor taken by the hypervisor$/ });
  await alarmGoesUp('while it is stolen');
  await level(0);
  await running.waitFrames(running.report.frames + 15);
  t.match(await running.stop(), { lost: 0, damaged: 0 });
});

await t.test('a disk of the mirror, a cable and the time are lost: told upward at once and when it is over, and media does not notice', async t => {
  const running = await city!.play(rig.idOf(0, 0), { transport: 'udp' });
  await running.waitFrames(5);
  const tracking = (heardAtWallMs: number): void => putFile(root, '/answers/chronyc -c tracking', `0A000001,ntp1.example,3,${(heardAtWallMs / 1000).toFixed(9)},0.000012345,-0.000004321,0.000023456,-12.345,0.001,0.012,0.000456789,0.000234567,64.2,Normal\n`);
  const DAY_MS = 86_400_000;
  city!.notices.length = 0;

  layOut(root, 'degraded');
  tracking(clock.wall() - 7 * DAY_MS);
  t.match(await raised('raid.degraded', 'raid:md2'), /1 of 2 members work, failed: sdb3/);
  t.equal(await raised('nic.down', 'nic:eno2'), 'no link');
  t.match(await raised('bond.degraded', 'bond:bond0'), /no link: eno2, eno1 carries/);
  t.match(await raised('clock.unsynchronised', 'clock'), /^nothing keeps it right: ntp1.example was heard 16[789] h ago$/);
  for (const what of ['raid:md2: ', 'nic:eno2: no link', 'bond:bond0: ', 'clock: nothing keeps it right']) await told(what);
  await alarmGoesUp('with one disk, one cable and no time');
  const watching = await preview(1);
  t.equal(watching.status, 200, 'nothing is given up for that');
  await watching.leave();

  layOut(root, 'server-2u');
  tracking(clock.wall());
  for (const [rule, subject] of [['raid.degraded', 'raid:md2'], ['nic.down', 'nic:eno2'], ['bond.degraded', 'bond:bond0'], ['clock.unsynchronised', 'clock']] as const) await over(rule, subject);
  for (const what of ['raid:md2 cleared', 'nic:eno2 cleared', 'bond:bond0 cleared', 'clock cleared']) await told(what);
  await running.waitFrames(running.report.frames + 15);
  t.match(await running.stop(), { ended: 'stopped', lost: 0, damaged: 0 });
  t.equal((await strain()).level, 0);
});
