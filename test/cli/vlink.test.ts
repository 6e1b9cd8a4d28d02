import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { LegStats, MediadRequests } from '#contracts/mediad.ts';
import type { ChannelRow, DeviceRow, SessionRow, SipdRequests, UpstreamRow, WhyReport } from '#contracts/sipd.ts';
import { GatewayError } from '#core/result.ts';
import { createLog } from '#kit/log.ts';
import { mediadRequestSchemas, sipdRequestSchemas } from '#kit/request-schemas.ts';
import { serveRpc, type RpcHandlers } from '#kit/rpc.ts';
import type { ViewReport } from '#contracts/sipd.ts';
import type { ViewRow } from '#core/gb/view-rows.ts';
import { main } from '../../cli/vlink.ts';

const ROOT = join(import.meta.dirname, '../..');
const log = createLog('test', 'silent');

const device: DeviceRow = { id: '34020000001110000001', name: '北门 NVR\x1b[2J', manufacturer: 'Maker', model: null, firmware: null, edition: '2016', dialect: 'standard', dialectBy: 'nothing known of it', state: 'offline', reason: 'keepalive-lost', transport: 'UDP', address: '127.0.0.1:5060', expiresInMs: 3_500_000, lastKeepaliveAgeMs: 200_000, channels: 2, catalog: { state: 'partial', expected: 10, received: 7, atWallMs: 1 } };
const upstream: UpstreamRow = { name: 'city', id: '34010000002000000001', localId: '34020000002000000001', transport: 'TCP', address: '127.0.0.2:5060', state: 'waiting', reason: '403 Forbidden', retryInMs: 60_000, expiresInMs: null, lastKeepaliveAgeMs: null, sharedChannels: 2, onlineChannels: 1, accessedChannels: 1, playingChannels: 0, sessions: 0, bitrateBps: null };
const channels: readonly ChannelRow[] = Array.from({ length: 2500 }, (_, n) => ({ deviceId: device.id, channelId: `3402000000131${String(n).padStart(7, '0')}`, name: `摄像机 ${n}`, status: 'ON', manufacturer: null, civilCode: '340200', mapped: n === 0 ? [{ upstream: 'city', id: '34010000001310000009' }] : [], playing: n === 1 }));
const leg: LegStats = { transport: 'udp', local: { address: '127.0.0.1', port: 30000 }, remote: null, state: 'flowing', ssrc: 1, packets: 990, bytes: 1, lost: 10, reordered: 0, duplicates: 0, late: 0, waiting: 0, asked: 0, repaired: 0, waitMs: 0, dropped: {}, jitterMs: 1, lastPacketAgeMs: 1, firstPacketMs: 1 };
const session: SessionRow = { sessionId: 's1', upstream: 'city', channelId: channels[1]!.channelId, mappedId: 'm', deviceId: device.id, bridgeId: 'b', instance: '1', node: null, state: 'streaming', sourceState: 'flowing', learnt: null, ageMs: 60_000, recording: null, upstreamCallId: 'c', downstreamCallId: null, bridge: { bridgeId: 'b', label: '', ageMs: 1, source: { ...leg, legId: 'b', payload: 'ps', codecs: ['h264', 'g711a'] }, replacement: null, units: null, gate: null, sinks: [{ ...leg, transport: 'tcp-active', sinkId: 's1', label: '', format: 'ps' }] } };
const report: WhyReport = { channel: channels[0]!.channelId, verdict: 'broken', firstBroken: 'invite', steps: [{ step: 'register', verdict: 'ok', says: 'the device is online', evidence: { secret: 'not shown' } }, { step: 'invite', verdict: 'broken', says: 'the device answered 486 Busy Here', evidence: { status: 486, address: null } }, { step: 'rtp', verdict: 'unknown', says: 'not reached', evidence: {} }] };

const viewRow: ViewRow = { id: channels[0]!.channelId, kind: 'channel', depth: 1, under: '34020000002000000001', name: '北门', status: 'OFF', parentId: '34020000002000000001', civilCode: '340200', deviceId: device.id, channelId: channels[0]!.channelId, permitted: ['live'], atTimes: ['ptz'] };
const system: ViewRow = { ...viewRow, id: '34020000002000000001', kind: 'system', depth: 0, under: null, name: 'gateway', status: 'ON', parentId: null, deviceId: null, channelId: null, permitted: [], atTimes: [] };
const changed: ViewRow = { ...viewRow, id: '34010000001320000009', name: '南门' };

function viewAnswer(candidate: string | undefined): ViewReport {
  const all = { upstream: 'city', rows: [system, viewRow], problems: [], hidden: [{ deviceId: device.id, channelId: '34020000001310000007', name: '后门', why: 'rule 2 hides it' }] };
  if (candidate === undefined) return { ...all, changes: null };
  if (candidate === 'same') return { ...all, changes: [] };
  if (candidate === 'bad') return { ...all, changes: null, problems: ['line 1: not a mapping'] };
  return { ...all, rows: [system, changed], changes: [{ type: 'removed', before: { ...viewRow, name: '西门\x1b[2J' }, after: null, fields: [] }, { type: 'changed', before: viewRow, after: changed, fields: ['id', 'name'] }, { type: 'added', before: null, after: changed, fields: [] }] };
}

interface Fake {
  readonly directory: string;
  readonly calls: string[];
}

/** sipd and two mediads that answer from the rows above; `refusing` is the one that refuses to reload. */
async function fakeDaemons(test: Test, refusing?: string): Promise<Fake> {
  const directory = mkdtempSync(join(tmpdir(), 'vl-cli-'));
  const calls: string[] = [];
  const reload = (name: string) => ({ checkOnly }: { checkOnly?: boolean | undefined }) => (calls.push(`${checkOnly === true ? 'ask' : 'reload'} ${name}`), { refused: refusing === name ? 'media.ports: needs a restart' : null });
  // Those that vlink asks; the others would be refused as unknown.
  const sipd: Partial<RpcHandlers<SipdRequests>> = {
    listDevices: () => [device],
    listChannels: ({ offset = 0, limit = 1000, deviceId }) => (calls.push(`listChannels ${offset} ${deviceId ?? 'all'}`), { total: channels.length, rows: channels.slice(offset, offset + Math.min(limit, 1000)) }),
    listUpstreams: () => [upstream],
    totals: () => ({ channels: 2500, shared: 2, accessed: 1, online: 2400, playing: 0 }),
    view: ({ upstream: name, candidate }) => (calls.push(`view ${name} ${candidate ?? ''}`), viewAnswer(candidate)),
    listSessions: () => [session],
    listResources: () => [{ id: '34020000001320009001', name: '北门', rule: 'configured', status: 'ON', sources: [{ deviceId: device.id, channelId: 'a', name: 'A', known: true, status: 'OFF' }, { deviceId: 'inlets', channelId: 'b', name: null, known: false, status: 'OFF' }] }],
    counters: () => ({ 'sip.flood': 3, 'sip.accepted': 9 }),
    why: ({ channel, probe }) => {
      calls.push(`why ${channel} ${probe}`);
      if (channel === 'none') throw new GatewayError('CHANNEL_UNKNOWN', { channel });
      return channel === 'good' ? { ...report, verdict: 'playable', firstBroken: null } : report;
    },
    refreshCatalog: ({ deviceId }) => (calls.push(`refresh ${deviceId}`), null),
    reload: reload('sipd'),
  };
  const mediad = (name: string): RpcHandlers<MediadRequests> => ({ counters: () => ({ 'rtp.wrong-ssrc': 5 }), reload: reload(name) }) as unknown as RpcHandlers<MediadRequests>;
  const servers = [
    await serveRpc<SipdRequests>(join(directory, 'sipd.sock'), sipd as RpcHandlers<SipdRequests>, { validate: sipdRequestSchemas, log }),
    await serveRpc<MediadRequests>(join(directory, 'mediad-1.sock'), mediad('mediad-1'), { validate: mediadRequestSchemas, log }),
    await serveRpc<MediadRequests>(join(directory, 'mediad-2.sock'), mediad('mediad-2'), { validate: mediadRequestSchemas, log }),
    await serveRpc<MediadRequests>(join(directory, 'healthd.sock'), mediad('healthd'), { validate: mediadRequestSchemas, log }),
  ];
  test.teardown(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true, force: true });
  });
  writeFileSync(join(directory, 'gateway.yaml'), `rpc: {directory: ${directory}}\n`);
  return { directory, calls };
}

interface Spoken {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function vlink(directory: string, ...argv: readonly string[]): Promise<Spoken> {
  let out = '';
  let err = '';
  const code = await main(argv, { VLINK_CONFIG: join(directory, 'gateway.yaml') }, { out: text => (out += text), err: text => (err += text) });
  return { code, out, err };
}

t.test('show', async t => {
  const { directory, calls } = await fakeDaemons(t);
  const devices = await vlink(directory, 'show', 'devices');
  t.equal(devices.code, 0);
  t.match(devices.out, /^DEVICE +NAME +STATE .*\n34020000001110000001  北门 NVR·\[2J  offline: keepalive-lost  UDP +127\.0\.0\.1:5060 +58 min +3 min  2016 standard +2  partial, 7 of 10\n$/);
  t.same(JSON.parse((await vlink(directory, 'show', 'devices', '--json')).out), [device], 'the raw form is the answer itself');

  t.match((await vlink(directory, 'show', 'upstreams')).out, /city .* TCP +127\.0\.0\.2:5060  waiting: 403 Forbidden, again in 60 s .* 2 +1 +1 +0 +0 +-\nin all: 2500 channels below, 2400 of them online; 2 shared, 1 accessed, 0 playing\n/);
  t.match((await vlink(directory, 'show', 'sessions')).out, /s1 +city .* 60 s +- .* udp flowing .* h264 g711a +990 +10 \(1\.00 %\) .* tcp-active flowing +1\n/);

  t.match((await vlink(directory, 'show', 'resources')).out, /34020000001320009001 +北门 +ON +configured +\d{20}\/a OFF, inlets\/b unknown\n/);

  const all = await vlink(directory, 'show', 'channels', '--device', device.id);
  t.equal(all.out.trimEnd().split('\n').length, 2501, 'every page');
  t.match(all.out, /city 34010000001310000009/);
  t.same(calls, [0, 1000, 2000].map(offset => `listChannels ${offset} ${device.id}`));

  t.same(JSON.parse((await vlink(directory, 'catalog', 'refresh', device.id, '--json')).out), { asked: device.id });
  t.match(JSON.parse((await vlink(directory, 'show', 'firewall', '--json')).out), { enabled: /true|false/, rules: /table inet viewlink/ });
  t.match(await vlink(directory, 'ban', 'remove', 'xyz'), { code: 64, err: /is no IP address/ });
  calls.length = 0;

  const counters = await vlink(directory, 'show', 'counters');
  t.match(counters.out, /sipd +sip\.accepted +9\nsipd +sip\.flood +3\nmediad-1 +rtp\.wrong-ssrc +5\nmediad-2 /);
  writeFileSync(join(directory, 'mediad-3.sock'), '');
  const some = await vlink(directory, 'show', 'counters', '--json');
  t.equal(some.code, 0, 'one does not answer');
  t.same(Object.keys(JSON.parse(some.out) as object), ['sipd', 'mediad-1', 'mediad-2', 'healthd'], 'the others are shown all the same');
  t.match(some.err, /viewlink-mediad@3 is not reachable/);
});

t.test('view', async t => {
  const { directory, calls } = await fakeDaemons(t);
  const now = await vlink(directory, 'view', 'city');
  t.equal(now.code, 0);
  t.match(now.out, /^ID +NAME .*\n34020000002000000001 +gateway +ON +system\n {2}34020000001310000000 +北门 +OFF +34020000001110000001 +live \(ptz\)\n$/, 'a tree');
  t.match(JSON.parse((await vlink(directory, 'view', 'city', '--json')).out), { upstream: 'city', changes: null });
  const file = (text: string): string => (writeFileSync(join(directory, 'next.yaml'), text), join(directory, 'next.yaml'));
  const then = await vlink(directory, 'view', 'city', '--config', file('other'));
  t.equal(then.out, ['- 34020000001310000000 西门·[2J', '~ 34020000001310000000 北门: id 34020000001310000000 -> 34010000001320000009, name 北门 -> 南门', '+ 34010000001320000009 南门', 'city would see 1 channels: 1 items added, 1 removed, 1 changed', ''].join('\n'), 'the difference, and nothing of a name that would steer the terminal');
  t.equal((await vlink(directory, 'view', 'city', '--config', file('same'))).out, 'nothing would change for city\n');
  t.match(await vlink(directory, 'view', 'city', '--config', file('bad')), { code: 2, out: /^not a configuration that would be taken: line 1/ });
  t.match((await vlink(directory, 'view', 'city', '--hidden')).out, /^CHANNEL .*\n34020000001310000007  后门 +34020000001110000001  rule 2 hides it\n$/);
  t.match(await vlink(directory, 'view', 'city', '--config', join(directory, 'none.yaml')), { code: 2, err: /ENOENT/ });
  t.equal(calls.filter(call => call.startsWith('view city other')).length, 1);
  t.match(await vlink('/nowhere', 'show', 'devices', '--config', join(directory, 'gateway.yaml')), { code: 0 }, 'the option of the program may still stand behind other commands');
});

t.test('why', async t => {
  const { directory, calls } = await fakeDaemons(t);
  const broken = await vlink(directory, 'why', channels[0]!.channelId, '--probe');
  t.equal(broken.code, 1);
  t.match(broken.out, /does not play: invite\n  ok +register +the device is online\n  BROKEN invite +the device answered 486 Busy Here\n +status: 486\n +address: none\n  \? +rtp/);
  t.notMatch(broken.out, 'not shown', 'evidence of the broken step only');
  t.equal((await vlink(directory, 'why', 'good')).code, 0);
  const unknown = await vlink(directory, 'why', 'none');
  t.equal(unknown.code, 3);
  t.match(unknown.err, /channel unknown: channel none/);
  t.same(calls, [`why ${channels[0]!.channelId} true`, 'why good false', 'why none false']);
  const long = await vlink(directory, 'why', 'x'.repeat(1_000_000));
  t.equal(long.code, 64, 'a paste of a megabyte is refused by the daemon');
  t.equal((await vlink(directory, 'why', '; rm -rf / $(reboot)')).code, 1, 'inert');
});

t.test('catalog refresh', async t => {
  const { directory, calls } = await fakeDaemons(t);
  t.equal((await vlink(directory, 'catalog', 'refresh', device.id)).code, 0);
  t.same(calls, [`refresh ${device.id}`]);
});

t.test('config check', async t => {
  const { directory } = await fakeDaemons(t);
  t.match(await vlink(directory, 'config', 'check'), { code: 0, out: /good/ });
  const bad = join(directory, 'bad.yaml');
  writeFileSync(bad, 'sip:\n  lisen: []\n');
  t.match(await vlink(directory, 'config', 'check', bad), { code: 2, out: '', err: /bad\.yaml: line 2, sip\.lisen: unknown key; did you mean listen\?/ });
  const json = await vlink(directory, 'config', 'check', bad, '--json');
  t.equal(json.code, 2);
  t.match(JSON.parse(json.out), [{ line: 2, path: 'sip.lisen' }]);
  t.match(await vlink(directory, 'config', 'check', join(directory, 'none.yaml')), { code: 2, err: /ENOENT/ });
  t.match(await vlink(directory, 'config', 'check', '/dev/zero'), { code: 2, err: /it is no file/ });
});

t.test('config reload: all are asked first, one refusal ends it and nobody changed', async t => {
  const good = await fakeDaemons(t);
  t.match(await vlink(good.directory, 'config', 'reload'), { code: 0, err: /viewlink-configd is away/, out: /mediad-1: reloaded\nmediad-2: reloaded\nsipd: reloaded\nhealthd: reloaded/ });
  t.same(good.calls, ['ask mediad-1', 'ask mediad-2', 'ask sipd', 'ask healthd', 'reload mediad-1', 'reload mediad-2', 'reload sipd', 'reload healthd']);

  const refusing = await fakeDaemons(t, 'mediad-2');
  t.match(await vlink(refusing.directory, 'config', 'reload'), { code: 1, err: /mediad-2: refused: media\.ports: needs a restart\nnothing was reloaded/ });
  t.same(refusing.calls, ['ask mediad-1', 'ask mediad-2']);

  const broken = await fakeDaemons(t);
  writeFileSync(join(broken.directory, 'gateway.yaml'), `rpc: {directory: ${broken.directory}}\nlog: {level: loud}\n`);
  t.match(await vlink(broken.directory, 'config', 'reload'), { code: 2, err: /line 2, log\.level/ });
  t.same(broken.calls, [], 'nobody is told of a bad file');
});

t.test('a daemon that is not there, and words that are no command', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vl-cli-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  t.match(await vlink(directory, '--run-dir', directory, 'show', 'devices'), { code: 69, out: '', err: /^viewlink-sipd is not reachable at .*sipd\.sock \(ENOENT\): see systemctl status viewlink-sipd\n$/ });
  for (const argv of [['bogus'], ['show', 'bogus'], ['show', 'devices', '--bogus'], ['why'], ['show', 'devices', 'extra']]) t.equal((await vlink(directory, ...argv)).code, 64, argv.join(' '));
  t.match(await vlink(directory, '--help'), { code: 0, out: /why .*<channel>/ });
  t.notMatch((await vlink(directory, '\x1b[2Jx')).err, '\x1b', 'an argument is repeated without its controls');
});

t.test('the launcher finds its Node, also through a link', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vl-cli-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  symlinkSync(join(ROOT, 'cli/vlink'), join(directory, 'vlink'));
  const { status, stdout } = spawnSync(join(directory, 'vlink'), ['--version'], { encoding: 'utf8', env: { PATH: '/usr/bin:/bin' } });
  t.equal(status, 0);
  t.match(stdout, /^\d+\.\d+\.\d+\n$/);
  const piped = spawnSync('bash', ['-c', `${join(directory, 'vlink')} show --help | head -1`], { encoding: 'utf8' });
  t.match(piped, { status: 0, stdout: /^Usage/ });
});
