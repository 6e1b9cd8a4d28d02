/** What an engineer does with vlink besides looking: steers, looks for recordings, watches it run, takes a bundle home. */
import fc from 'fast-check';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { LegStats } from '#contracts/mediad.ts';
import type { SessionRow } from '#contracts/sipd.ts';
import { redactYaml, scrubber } from '../../cli/bundle/redact.ts';
import { tar } from '../../cli/bundle/tar.ts';
import { logLine } from '../../cli/log-line.ts';
import { displayWidth } from '../../cli/render.ts';
import { figuresOf, type Look } from '../../cli/top/figures.ts';
import { afterKey, screenLines, type ScreenState } from '../../cli/top/screen.ts';
import { wallText, wallTime } from '../../cli/values.ts';
import { fakeDaemons } from './fake-daemons.ts';
import { vlink } from './spoken.ts';
import { ptySession } from '../rig/pty-session.ts';

const VLINK = join(import.meta.dirname, '../../cli/vlink');
const HOSTILE = ['\x1b[2J\x1b]0;owned\x07', '\x9b31m红', '\u202e倒', 'e\u0301\u0301', '👨‍👩‍👧 北门', 'a\r\nb', '\u200b', 'ｱ한글', '\ud800'];

t.test('ptz: words become instructions', async t => {
  await using daemons = await fakeDaemons();
  const say = (...argv: readonly string[]) => vlink({ VLINK_CONFIG: daemons.configPath }, 'ptz', '1', ...argv);
  t.match(await say('left'), { code: 0, out: '1: left for 1 s\n' });
  t.match(await say('zoom-in', '--speed', '255', '--seconds', '5'), { code: 0, out: '1: zoom-in for 5 s\n' });
  t.match(await say('preset', '7'), { code: 0, out: '1: preset 7\n' });
  t.match(await say('home-on'), { code: 0 });
  t.match(await say('focus-near', '--json'), { code: 0, out: /"channelId": "1"/ });
  t.equal((await say('stop')).out, '1: stop\n');
  t.same(daemons.calls, [
    'ptz 1 {"kind":"move","pan":"left","panSpeed":64,"tiltSpeed":64,"zoomSpeed":4} 1000 root cli',
    'ptz 1 {"kind":"move","zoom":"in","panSpeed":255,"tiltSpeed":255,"zoomSpeed":15} 5000 root cli',
    'ptz 1 {"kind":"preset-call","preset":7} 1000 root cli',
    'control 1 {"kind":"home-position","enabled":true}',
    'ptz 1 {"kind":"lens","focus":"near","focusSpeed":64,"irisSpeed":64} 1000 root cli',
    'ptz 1 {"kind":"move","panSpeed":0,"tiltSpeed":0,"zoomSpeed":0} 1000 root cli',
  ]);
  t.match((await say('presets')).out, /^PRESET +NAME\n +1 +大门·\[2J\n +2 +-\n$/);
  for (const bad of [['sideways'], ['preset'], ['preset', '256'], ['left', '3'], ['left', '--speed', '0'], ['left', '--seconds', '61'], ['toString']]) t.equal((await say(...bad)).code, 64, bad.join(' '));
  t.equal(daemons.audits.filter(({ detail }) => detail === 'begins').length, 14, 'each attempt stands in the audit log');
});

t.test('records, and points in time', async t => {
  await using daemons = await fakeDaemons();
  const environment = { VLINK_CONFIG: daemons.configPath };
  const { code, out } = await vlink(environment, 'records', '北门', '--from', '2026-02-03 04:05', '--to', '2026-02-03 06:05');
  t.equal(code, 0);
  t.equal(out.split('\n')[1], '2026-02-03 04:05:00  2026-02-03 06:05:00     2 h  time  123.5 MB  录像');
  t.match(daemons.calls[0], / 7200000$/);
  t.match(await vlink(environment, 'records', 'part'), { code: 1, err: /not complete: 3 were announced/ });
  t.match(await vlink(environment, 'records', '1', '--from', '1h', '--to', '2h'), { code: 64, err: /ends before it begins/ });
  const now = new Date(2026, 10, 22, 9, 30, 0).getTime();
  const cases: readonly (readonly [string, string])[] = [['08:30', '2026-11-22 08:30:00'], ['2026-11-21', '2026-11-21 00:00:00'], ['2h', '2026-11-22 07:30:00'], ['-30m', '2026-11-22 09:00:00'], ['now', '2026-11-22 09:30:00'], ['2026-11-21T23:59:58', '2026-11-21 23:59:58']];
  for (const [text, expected] of cases) t.equal(wallText(wallTime('from', text, now)), expected, text);
  for (const text of ['', 'yesterday', '2026-02-31', '25:00', '08:60', '2026-13-01', '8', '2h3', ' ']) t.throws(() => wallTime('from', text, now), { code: 'BAD_REQUEST' }, text);
  fc.assert(fc.property(fc.integer({ min: 0, max: 4e12 }), at => wallTime('x', wallText(at)!) === at - (at % 1000)));
});

const leg: LegStats = { transport: 'udp', local: { address: '127.0.0.1', port: 30000 }, remote: null, state: 'flowing', ssrc: 1, packets: 1000, bytes: 1_000_000, lost: 0, reordered: 0, duplicates: 0, late: 0, waiting: 0, asked: 0, repaired: 0, waitMs: 0, dropped: {}, jitterMs: 1, lastPacketAgeMs: 1, firstPacketMs: 1 };
function session(id: string, upstream: string, bytes: number, packets: number, lost: number, frozenForMs: number | null = null): SessionRow {
  const gate = { state: frozenForMs === null ? ('flowing' as const) : ('frozen' as const), frozenForMs, frozenMs: 0, freezes: 0, pictures: 1, keyPictures: 1, picturesDropped: 0 };
  return { sessionId: id, upstream, channelId: `3402${id}`, mappedId: 'm', deviceId: 'd', bridgeId: id, instance: '1', state: 'streaming', sourceState: 'flowing', learnt: null, ageMs: 90_000, recording: null, upstreamCallId: 'c', downstreamCallId: null, bridge: { bridgeId: id, label: '', ageMs: 1, source: { ...leg, bytes, packets, lost, legId: id, payload: 'ps', codecs: ['h264'] }, replacement: null, units: null, gate, sinks: [{ ...leg, bytes: 2 * bytes, sinkId: id, label: '', format: 'ps' }] } } as unknown as SessionRow;
}
const look = (atMs: number, sessions: readonly SessionRow[], cpuMs: number): Look => ({ atMs, daemons: [{ name: 'sipd', counters: { 'process.cpu-ms': cpuMs, 'process.rss-bytes': 90e6, 'process.loop-delay-p99-us': 1500 } }, { name: 'mediad-1', counters: null }], loads: [], sessions, viewers: 2, upstreams: [], totals: null, devices: { online: 18, all: 20 }, alarms: [{ alarmId: 1, rule: 'disk.full', subject: 'disk:/var', severity: 'critical', says: 'the disk is full \x1b[2J', value: 1, raisedAtWallMs: 1, clearedAtWallMs: null, acknowledged: null }] });

t.test('top: what happened between two looks', async t => {
  const first = look(1000, [session('a', 'city', 1_000_000, 1000, 0), session('b', 'town', 500_000, 500, 0, 7000)], 100);
  const second = look(3000, [session('a', 'city', 2_000_000, 1990, 10), session('b', 'town', 500_000, 500, 0, 9000), session('c', 'city', 5, 5, 0)], 200);
  const figures = figuresOf(first, second);
  t.match(figures.sessions, [{ inBps: 4_000_000, outBps: 8_000_000, lostPercent: 1, frozenForMs: null }, { inBps: 0, lostPercent: null, frozenForMs: 9000 }, { inBps: null, outBps: null }]);
  t.match(figures, { lostPercent: 1, frozen: 1, viewers: 2, daemons: [{ cpuPercent: 5, loopDelayMs: 1.5 }, { answers: false, cpuPercent: null }] });
  t.match(figuresOf(null, second).sessions[0], { inBps: null, lostPercent: null }, 'one look gives no rate');
  t.match(figuresOf(second, look(5000, [session('a', 'city', 100_000, 10, 0)], 0)), { sessions: [{ inBps: 400_000, lostPercent: null }], daemons: [{ cpuPercent: 0 }] }, 'a restart counts from nothing');

  const state: ScreenState = { sort: 'traffic', filter: '', typing: null };
  const lines = screenLines(figures, state, { columns: 100, rows: 24 }, '03:00:00');
  t.equal(lines[0], '03:00:00  sessions 3  viewers 2  devices 18/20  channels -  upstreams 0/0');
  t.match(lines[1], 'lost 1.00 %  frozen 1  alarms 1 (1 critical)');
  t.equal(lines[2], '! critical: the disk is full ·[2J');
  t.same(lines.filter(line => /^[abc] /.test(line)).map(line => line[0]), ['a', 'b', 'c']);
  const loss = { ...state, sort: 'loss' as const };
  t.match(screenLines(figures, { ...loss, filter: 'town' }, { columns: 100, rows: 24 }, '').filter(line => /^[abc] /.test(line)), [/^b /]);
  t.match(lines.at(-1), 'q quit  s sort: traffic  f filter');
  t.match(screenLines(figures, state, { columns: 100, rows: 12 }, '').at(-2), /^\.\.\. 2$/, 'what does not fit is counted');
  const keys = ['s', 'f', 'c', 'i', 'x', 'backspace', 'space', 'enter'].reduce<ScreenState | null>((at, key) => at && afterKey(at, key), state);
  t.same(keys, { sort: 'loss', filter: 'ci ', typing: null });
  t.same([afterKey(state, 'q'), afterKey(state, 'ctrl-c')], [null, null]);
  t.match(afterKey({ ...state, typing: 'q' }, 'q'), { typing: 'qq' }, 'q is a letter in a word');

  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constantFrom(...HOSTILE), fc.string({ unit: 'binary' })), { maxLength: 30 }), fc.integer({ min: 2, max: 200 }), fc.integer({ min: 2, max: 50 }), (names, columns, rows) => {
      const drawn = screenLines(figuresOf(null, look(1, names.map((name, n) => session(`${n}${name}`, name, 1, 1, 0)), 1)), state, { columns, rows }, '03:00:00');
      return drawn.length <= rows && drawn.every(line => displayWidth(line) <= columns && !/[\u0000-\u001f\u007f-\u009f\u202e]/.test(line));
    }),
  );
});

t.test('top on a terminal', async t => {
  await using daemons = await fakeDaemons({ sessions: [session('a', 'city', 1_000_000, 1000, 0)] });
  const env = { PATH: '/usr/bin:/bin', TERM: 'xterm', LANG: 'C.UTF-8', VLINK_CONFIG: daemons.configPath };
  const { steps, code } = await ptySession({ argv: [VLINK, 'top'], env, steps: [{ expect: 'sessions 1 .*sipd +- .*sessions 1 .*sipd +\\d+\\.\\d % +90 MB +1\\.2 ms +answers' }, { send: 's', expect: 'sort: loss' }, { send: 'fnobody\r', expect: 'no session fits.*filter: nobody' }, { send: 'q' }] });
  t.notMatch(steps.at(-2), /not seen\]/);
  t.equal(code, 0);
  t.match(steps[0], /\x1b\[\?1049h/);
  t.match(steps.at(-1), /\x1b\[\?1049l/, 'the screen is given back');
  const once = await vlink(env, 'top', '--json');
  t.match(JSON.parse(once.out), { inBps: 4_200_000, outBps: 8_400_000, devices: { online: 1, all: 3 }, sessions: [{ sessionId: 'a', inBps: 0 }], daemons: [{ name: 'sipd' }, { name: 'mediad-1' }, { name: 'healthd', answers: false }] });
});

const CANARIES = ['CANARY-password', 'canary0123456789abcdef0123456789', 'CANARY-token', 'CANARY-stream', 'CANARY-user', 'CANARY-comment'];
const SECRET_CONFIG = `
upstreams:
  - {name: city, id: "34010000002000000001", address: 10.0.0.1, localId: "34020000002000000001", password: CANARY-password} # password was CANARY-comment
devices:
  known:
    - id: "34020000001110000001" # 北门
      ha1: canary0123456789abcdef0123456789
outlets: {tokenKey: CANARY-token}
push:
  - url: rtmp://CANARY-user:x1@10.0.0.9/live/CANARY-stream
`;

t.test('support-bundle: a tar archive that tar reads, without a secret in it', async t => {
  const names = ['北门 NVR', `leaked ${CANARIES[0]}`, 'rtsp://admin:hunter22@10.0.0.1/x?token=CANARY-token', 'Digest response="0123456789abcdef0123456789abcdef"'];
  await using daemons = await fakeDaemons({ names, config: SECRET_CONFIG });
  const directory = mkdtempSync(join(tmpdir(), 'vl-bundle-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'bundle.tar.gz');
  const { code, out } = await vlink({ VLINK_CONFIG: daemons.configPath }, 'support-bundle', file, '--json');
  t.equal(code, 0);
  const said = JSON.parse(out) as { readonly parts: readonly string[]; readonly missing: Readonly<Record<string, string>> };
  t.ok(['gateway.yaml', 'versions.json', 'sipd/listDevices.json', 'mediad-1/counters.json', 'host/proc/meminfo.txt'].every(name => said.parts.includes(name)), said.parts.join(' '));
  t.match(said.missing['healthd/report.json'], /DAEMON_UNREACHABLE/, 'what was not to be had is said');
  t.equal(statSync(file).mode & 0o777, 0o600);
  const target = join(directory, 'out');
  mkdirSync(target);
  execFileSync('tar', ['xzf', file, '-C', target]);
  const all = execFileSync('grep', ['-r', '-a', '', target], { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  for (const canary of [...CANARIES, 'hunter22', '0123456789abcdef0123456789abcdef']) t.notOk(all.includes(canary), canary);
  t.ok(all.includes('北门 NVR'));
  t.ok(all.includes('known:'), 'the configuration is there');
  t.ok(all.includes('rtmp://10.0.0.9/***'));
  t.match(await vlink({ VLINK_CONFIG: daemons.configPath }, 'support-bundle', file), { code: 64, err: /EEXIST/ }, 'never over something that is there');
});

t.test('what is taken out of texts', async t => {
  t.equal(redactYaml('a: [1\n').text, '# not kept: BAD_INDENT\n'.replace('BAD_INDENT', /not kept: (\w+)/.exec(redactYaml('a: [1\n').text)![1]!), 'a file that cannot be read is not kept at all');
  t.notMatch(redactYaml('a: [1\npassword: CANARY').text, 'CANARY');
  t.match(redactYaml('media: {ports: 30000-40000}\nmonkey: banana\n').text, /30000-40000/);
  const scrub = scrubber(['abc', 'longer-secret', 'longer']);
  t.equal(scrub('x longer-secret longer abc'), 'x *** *** abc', 'the longest first; what is too short stays');
  t.equal(scrub('Authorization: Bearer abcdefghijkl; http://h/live?token=zz&x=1'), 'Authorization: Bearer ***; http://h/live?token=***&x=1');
  fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 4, maxLength: 30 }).filter(value => !/^\*+$|^(true|false)$/.test(value) && !'***'.includes(value)), fc.string(), (secret, around) => !scrubber([secret])(`${around}${secret}`).includes(secret) || secret.includes('***')));
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 300 }), text => typeof redactYaml(text).text === 'string'));
  const archive = tar([{ name: 'a/空.txt', bytes: Buffer.from('x'.repeat(513)) }, { name: 'b', bytes: Buffer.alloc(0) }], 1_700_000_000_000);
  t.equal(archive.length % 512, 0);
  t.equal(spawnSync('tar', ['tf', '-'], { input: archive, encoding: 'utf8', env: { LC_ALL: 'C.UTF-8', PATH: '/usr/bin:/bin' } }).stdout, 'a/空.txt\nb\n');
});

t.test('lines of the journal', async t => {
  const entry = (message: unknown): string => JSON.stringify({ __REALTIME_TIMESTAMP: '1763800000123456', _SYSTEMD_UNIT: 'viewlink-sipd.service', MESSAGE: message });
  t.equal(logLine(entry(JSON.stringify({ level: 40, time: 1, pid: 3, hostname: 'h', name: 'sipd', msg: 'rpc.client-dropped', why: '\x1b[2J', from: { a: 1 } }))), '2025-11-22 08:26:40.123 sipd WARN rpc.client-dropped why=·[2J from={"a":1}');
  t.equal(logLine(entry('plain')), '2025-11-22 08:26:40.123 sipd plain');
  t.equal(logLine(entry([0xe9, 0x97, 0xa8])), '2025-11-22 08:26:40.123 sipd 门');
  fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), text => !/[\u0000-\u001f]/.test(logLine(text)) && !/[\u0000-\u001f]/.test(logLine(entry(text)))));
});

t.test('tables stand straight whatever a device calls itself', async t => {
  await using daemons = await fakeDaemons({ names: HOSTILE });
  const { out } = await vlink({ VLINK_CONFIG: daemons.configPath }, 'show', 'devices');
  const lines = out.trimEnd().split('\n');
  t.equal(lines.length, HOSTILE.length + 1);
  t.notMatch(out.replaceAll('\n', ''), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
  const over = lines.map(line => displayWidth(line.slice(0, line.search(/UDP|OVER/))));
  t.equal(new Set(over).size, 1, `the same column in every line: ${over.join(' ')}`);
});

t.test('in Chinese, by option or by locale', async t => {
  await using daemons = await fakeDaemons();
  const { out } = await vlink({ VLINK_CONFIG: daemons.configPath, LANG: 'zh_CN.UTF-8' }, 'show', 'devices');
  const [titles = '', ...rows] = out.trimEnd().split('\n');
  t.match(titles, /^设备 +名称 +状态 +承载 +地址 /);
  t.same(rows.map(row => displayWidth(row.slice(0, row.indexOf('UDP')))), rows.map(() => displayWidth(titles.slice(0, titles.indexOf('承载')))), 'titles stand over their columns');
  t.match((await vlink({ VLINK_CONFIG: daemons.configPath }, '--lang', 'zh', 'help', 'why')).out, /^用法: vlink why <channel>/);
  t.match((await vlink({ VLINK_CONFIG: daemons.configPath, LANG: 'zh_CN.UTF-8' }, '--lang=en', 'show', 'devices')).out, /^DEVICE/);
  t.equal((await vlink({}, '--lang', 'fr', 'help')).code, 64);
  t.match(JSON.parse((await vlink({ VLINK_CONFIG: daemons.configPath, LANG: 'zh_CN.UTF-8' }, 'show', 'devices', '--json')).out), [{ name: '北门 NVR' }], 'programs read the same in every language');
});

t.test('failures in JSON for who asked for JSON', async t => {
  await using daemons = await fakeDaemons();
  const environment = { VLINK_CONFIG: daemons.configPath };
  const failure = async (...argv: readonly string[]): Promise<unknown> => {
    const { out, err, code } = await vlink(environment, ...argv, '--json');
    t.equal(err, '', argv.join(' '));
    t.ok(code > 0);
    return (JSON.parse(out) as { error: unknown }).error;
  };
  t.match(await failure('why', 'nobody'), { code: 'CHANNEL_UNKNOWN', message: /channel unknown/ });
  t.match(await failure('ptz', '1', 'sideways'), { code: 'BAD_REQUEST', detail: { action: 'sideways' } });
  t.match(await failure('show', 'bogus'), { code: 'BAD_REQUEST', message: /bogus/ });
  t.match(await failure('--run-dir', '/nowhere', 'show', 'devices'), { code: 'DAEMON_UNREACHABLE' });
  t.match((await vlink(environment, 'help', 'exit-codes')).out, /77 +your role does not permit it/);
  t.match(await vlink(environment, 'show', 'version'), { code: 0, out: /ViewLink Gateway +\d+\.\d+\.\d+\n +Node +24/ });
});
