/**
 * What the recorder, the validator and the captures show of a running gateway, asked as a field engineer asks: through vlink. tshark
 * and ffprobe judge the files; cameras with known habits must be found guilty of exactly these.
 */
import { execFile, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { main } from '../../cli/vlink.ts';
import { LAB_ID, LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import type { Mischief } from '../../scripts/simulators/platform/mischief.ts';
import type { Quirk } from '../../scripts/simulators/camera/quirks.ts';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import type { PlayTransport } from '../../scripts/simulators/platform/receivers.ts';
import { Captures } from '../../daemons/mediad/captures.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(150_000);

interface Answer<Raw> {
  readonly code: number;
  readonly text: string;
  readonly raw: Raw;
}

interface TraceReport {
  readonly messages: readonly { readonly callId: string; readonly direction: string; readonly transport: string; readonly text: string }[];
  readonly findings?: readonly { readonly id: string; readonly by: string; readonly detail: string; readonly severity: string }[];
}

interface CaptureReport {
  readonly played: boolean;
  readonly dropped: number;
  readonly legs: readonly { readonly role: string; readonly transport: string; readonly local: string; readonly remote: string; readonly packets: number; readonly ssrcs: readonly string[]; readonly findings: NonNullable<TraceReport['findings']> }[];
}

const VLINK = fileURLToPath(new URL('../../cli/vlink', import.meta.url));
const idOf = (index: number): string => `34020000001180000${String(index + 1).padStart(3, '0')}`;
const channelOf = (deviceId: string): string => deviceId.replace('118', '132');

async function vlink<Raw>(directory: string, ...args: readonly string[]): Promise<Answer<Raw>> {
  let text = '';
  let errors = '';
  const output = { out: (some: string) => void (text += some), err: (some: string) => void (errors += some) };
  const code = await main(args, { VLINK_RUN_DIR: join(directory, 'run') }, output);
  return { code, text: text === '' ? errors : text, raw: (args.includes('--json') && text.startsWith('{') ? JSON.parse(text) : {}) as Raw };
}

/** What tshark says about the packets that fit, a line each; checksums are looked at. */
async function tshark(file: string, filter: string, fields: readonly string[], decode: readonly string[]): Promise<string[]> {
  const checks = ['ip.check_checksum:TRUE', 'udp.check_checksum:TRUE', 'tcp.check_checksum:TRUE'].flatMap(rule => ['-o', rule]);
  const { stdout } = await promisify(execFile)('tshark', ['-n', '-r', file, ...checks, ...decode.flatMap(rule => ['-d', rule]), '-Y', filter, '-T', 'fields', '-E', 'separator=|', ...fields.flatMap(field => ['-e', field])], { maxBuffer: 64 << 20 });
  return stdout.split('\n').filter(line => line !== '');
}

await t.test('captures are bounded, and nobody\'s captures end', async t => {
  const clock = new ManualClock();
  const bridges = new Set(['b1']);
  using captures = new Captures(clock, bridgeId => bridges.has(bridgeId));
  const leg = { bridgeId: 'b1', role: 'source', transport: 'udp', framing: 'packets', fromStart: false, local: { address: '192.0.2.1', port: 1000 } } as const;
  const put = (bytes: number, times = 1): void => {
    for (let i = 0; i < times; i++) captures.packet(leg, new Uint8Array(bytes + 4).fill(i), 4, bytes, '192.0.2.7', 2000);
  };
  t.equal(captures.on, false);
  captures.start({ captureId: 'c1', bridgeId: 'b1', seconds: 10, packetBytes: 100 });
  t.equal(captures.on, true);
  put(60);
  put(200);
  const page = captures.read('c1');
  t.match(page, { isEnd: false, dropped: 0, legs: [{ role: 'source', remote: { port: 2000 } }], packets: [{ leg: 0, length: 60 }, { leg: 0, length: 200 }] });
  t.equal(Buffer.from(page.packets[1]!.base64, 'base64').length, 100, 'cut');
  put(100, 200_000);
  t.ok(captures.read('c1').dropped > 0, 'memory has an end');
  clock.advance(11_000);
  t.equal(captures.on, false, 'time is over');
  for (let pages = 0; !captures.read('c1').isEnd; pages++) if (pages > 200) throw new Error('no end');
  t.throws(() => captures.read('c1'), { code: 'BAD_REQUEST' });
  captures.start({ captureId: 'c2', bridgeId: 'b2', seconds: 100, packetBytes: 100 });
  t.match(captures.read('c2'), { isEnd: false }, 'its bridge may come');
  bridges.add('b2');
  t.match(captures.read('c2'), { isEnd: false });
  bridges.delete('b2');
  t.match(captures.read('c2'), { isEnd: true }, 'its bridge is gone');
  for (const id of ['a', 'b', 'c', 'd']) captures.start({ captureId: id, bridgeId: 'b1', seconds: 100, packetBytes: 100 });
  t.throws(() => captures.start({ captureId: 'e', bridgeId: 'b1', seconds: 1, packetBytes: 1 }), { code: 'CAPACITY_EXHAUSTED' });
  clock.advance(16_000);
  t.equal(captures.size, 0, 'nobody read them');
  t.equal(captures.on, false);
});

const BAD = '_ws.malformed || _ws.expert.severity == "Error" || ip.checksum.status == "Bad" || udp.checksum.status == "Bad" || tcp.checksum.status == "Bad" || tcp.analysis.flags';

await t.test('a session between a platform over TCP and a camera, and one between others', { timeout: 60_000 }, async t => {
  await using rig = await openRelayRig({
    platforms: 2,
    upstreams: [{ transport: 'tcp' }, {}],
    cameras: [0, 1].map(index => ({ id: idOf(index), channels: 1, channelList: [{ id: channelOf(idOf(index)), name: '东大街路口', online: true }] })),
    devices: { known: [{ id: idOf(1), password: LAB_PASSWORD, transport: 'tcp-passive' }] },
  });
  const { directory, sipPort } = rig.gateway;
  const file = (name: string): string => join(directory, name);
  const decode = [`tcp.port==${rig.platforms[0]!.port},sip`, `udp.port==${sipPort},sip`];
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0, 0), { transport: 'udp' });
  const second = await rig.platforms[1]!.play(rig.idOf(1, 0, 1), { transport: 'tcp-passive' });
  await Promise.all([play.waitFrames(10), second.waitFrames(10)]);

  const taken = await vlink<CaptureReport>(directory, 'capture', channelOf(idOf(0)), '--seconds', '2', '--file', file('udp.pcap'), '--payload', file('udp.ps'), '--json');
  t.match(taken.raw, { played: false, dropped: 0, legs: [{ role: 'source', transport: 'udp', findings: [] }, { role: 'sink', transport: 'udp', findings: [] }] });
  t.equal(taken.code, 0);
  for (const { local, packets, ssrcs } of taken.raw.legs) {
    const port = local.split(':')[1]!;
    const lines = await tshark(file('udp.pcap'), `rtp && udp.port == ${port}`, ['rtp.ssrc', 'rtp.p_type'], [`udp.port==${port},rtp`]);
    t.equal(lines.length, packets, 'tshark sees each packet as RTP');
    t.same([...new Set(lines)], [`${ssrcs[0]}|96`]);
    t.ok(packets > 100);
  }
  t.same(await tshark(file('udp.pcap'), BAD, ['frame.number'], []), []);
  const { stdout } = await promisify(execFile)('ffprobe', ['-v', 'quiet', '-show_entries', 'stream=codec_name,width', '-select_streams', 'v', '-of', 'csv=p=0', file('udp.ps')]);
  t.match(stdout, /^h264,\d+/, 'a player takes the payload');

  const over = await vlink<CaptureReport>(directory, 'capture', channelOf(idOf(1)), '--seconds', '2', '--file', file('tcp.pcap'), '--json');
  t.match(over.raw.legs.map(({ role, transport }) => `${role} ${transport}`), ['source tcp', 'sink tcp']);
  for (const { local, ssrcs, packets } of over.raw.legs) {
    const port = local.split(':')[1]!;
    const lines = await tshark(file('tcp.pcap'), `rtp && tcp.port == ${port}`, ['rtp.ssrc'], [`tcp.port==${port},rtp`]);
    const seen = lines.flatMap(line => line.split(','));
    t.equal(seen.length, packets);
    t.same([...new Set(seen)], [ssrcs[0]]);
  }
  t.same(await tshark(file('tcp.pcap'), BAD, ['frame.number'], []), []);
  await Promise.all([play.stop(), second.stop()]);
  await until('both cameras are told to stop', () => rig.cameras.every(({ sessions }) => sessions.length === 0));

  const channel = await vlink<TraceReport>(directory, 'trace', channelOf(idOf(0)), '--validate', '--json', '--pcap', file('channel.pcap'));
  t.equal(channel.code, 0);
  t.same(channel.raw.findings, [], 'neither the camera nor we break a rule');
  const calls = [...new Set(channel.raw.messages.map(({ callId }) => callId))];
  t.equal(calls.length, 2, 'the dialog above and the one below');
  t.same([...new Set(channel.raw.messages.map(({ transport }) => transport))].sort(), ['TCP', 'UDP']);
  const methods = channel.raw.messages.filter(({ text }) => !text.startsWith('SIP/2.0')).map(({ text, direction }) => `${direction} ${text.split(' ')[0]}`);
  t.same([...methods].sort(), ['in ACK', 'in BYE', 'in INVITE', 'out ACK', 'out BYE', 'out INVITE']);
  t.equal((await tshark(file('channel.pcap'), 'sip', ['frame.number'], decode)).length, channel.raw.messages.length, 'every message is SIP to tshark');
  t.same(await tshark(file('channel.pcap'), BAD, ['frame.number', '_ws.expert.message'], decode), []);

  const byCall = await vlink<TraceReport>(directory, 'trace', calls[0]!, '--json');
  t.same([...new Set(byCall.raw.messages.map(({ callId }) => callId))].sort(), [...calls].sort(), 'one call of the two leads to the other');
  const ladder = await vlink(directory, 'trace', channelOf(idOf(0)));
  t.match(ladder.text, /time +city0 +gateway +3402000000118/);
  t.match(ladder.text, /\|-- INVITE \(\d+\) -+>\|/);

  const everything = await vlink<TraceReport>(directory, 'trace', '--validate', '--json', '--pcap', file('all.pcap'));
  t.same(everything.raw.findings, []);
  t.ok(everything.raw.messages.length > 40);
  t.equal((await tshark(file('all.pcap'), 'sip', ['frame.number'], decode)).flatMap(line => line.split(',')).length, everything.raw.messages.length);
  t.same(await tshark(file('all.pcap'), BAD, ['frame.number', '_ws.expert.message'], decode), []);
  const texts = everything.raw.messages.map(({ text }) => text).join('\n');
  t.ok(/response="\*{32}"/.test(texts) && !/response="[0-9a-f]{32}/.test(texts), 'answers of digests are masked');
  t.notMatch((await readFile(file('all.pcap'))).toString('latin1'), /response="[0-9a-f]{32}/);
  t.ok((await vlink<TraceReport>(directory, 'trace', 'city0', '--json')).raw.messages.every(({ transport }) => transport === 'TCP'), 'an upstream by its name');
  t.match((await vlink(directory, 'trace', idOf(1), '--full', '--last', '1h')).text, /REGISTER sip:.*\n(.*\n)*<CmdType>Catalog<\/CmdType>/);
  t.match((await vlink(directory, 'trace', '34020000001329999999')).text, /nothing was recorded/);
  t.equal((await vlink(directory, 'trace', '--last', 'soon')).code, 64);

  const following = spawn(VLINK, ['--run-dir', join(directory, 'run'), 'trace', channelOf(idOf(0)), '--follow', '--last', '1s'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let followed = '';
  following.stdout.on('data', chunk => (followed += String(chunk)));
  await until('the first look', () => followed.includes('nothing was recorded') || followed.includes('time'));
  const third = await rig.platforms[1]!.play(rig.idOf(0, 0, 1), { transport: 'udp' });
  await until('it shows what comes', () => /INVITE \(\d+\)/.test(followed) && /200 OK \(\d+ INVITE\)/.test(followed));
  following.kill('SIGINT');
  await third.stop();
});

/** What each habit is found to be; `wait`: what only time shows. */
interface Habit {
  readonly quirk: Quirk | undefined;
  readonly findings: readonly string[];
  readonly transport?: 'tcp-passive' | 'tcp-active';
  readonly options?: object;
  readonly wait?: true;
  /** Seen only by who looks from the first octet on: a busy machine may be too late for it. */
  readonly atStart?: true;
}

const HABITS: readonly Habit[] = [
  { quirk: undefined, findings: [] },
  { quirk: undefined, findings: [], transport: 'tcp-passive' },
  { quirk: 'other-username', findings: ['register-user'] },
  { quirk: 'short-expires', findings: ['register-expires'] },
  { quirk: 'keepalive-twice', findings: ['keepalive-twice'], options: { keepaliveS: 2 }, wait: true },
  { quirk: 'content-length-zero', findings: ['content-length'] },
  { quirk: 'header-spaces', findings: ['header-spacing'] },
  { quirk: 'lf-sdp', findings: ['sdp-line-ends'] },
  { quirk: 'stray-markup', findings: ['xml-stray-markup'] },
  { quirk: 'mislabelled-charset', findings: ['xml-charset'] },
  { quirk: 'gb-under-utf8', findings: ['xml-charset'] },
  { quirk: 'no-prologue', findings: ['xml-prologue'] },
  { quirk: 'spaced-num', findings: ['list-num-spaces', 'xml-spelling'] },
  { quirk: 'parent-null', findings: ['parent-id'] },
  { quirk: 'parent-self', findings: ['parent-id'] },
  { quirk: 'composite-parent', findings: ['parent-id'] },
  { quirk: 'no-parent', findings: ['parent-id'] },
  { quirk: 'duplicate-items', findings: ['catalog-repeats'] },
  { quirk: 'own-ssrc', findings: ['rtp-ssrc'] },
  { quirk: 'own-y', findings: ['y-differs'] },
  { quirk: 'no-y', findings: ['no-y'] },
  { quirk: 'null-y', findings: ['y-digits'] },
  { quirk: 'short-y', findings: ['y-digits'] },
  { quirk: 'setup-on-udp', findings: ['setup-on-udp'] },
  { quirk: 'other-payload-type', findings: ['ps-payload-type'] },
  { quirk: 'no-rtpmap', findings: ['no-rtpmap'] },
  { quirk: 'no-bye-answer', findings: ['unanswered'], wait: true },
  { quirk: 'wrong-source-port', findings: ['rtp-source'] },
  { quirk: 'pes-length-zero', findings: ['ps-length-zero'] },
  { quirk: 'no-psm', findings: ['ps-no-map'] },
  { quirk: 'short-pack', findings: ['ps-pack-header'], transport: 'tcp-passive' },
  { quirk: 'dollar-framing', findings: ['tcp-interleaved'], transport: 'tcp-passive' },
  { quirk: 'zero-length-frames', findings: ['tcp-empty'], transport: 'tcp-passive' },
  { quirk: 'garbage-start', findings: ['tcp-desync'], transport: 'tcp-passive', atStart: true },
  { quirk: 'marker-never', findings: ['rtp-marker'] },
  { quirk: 'loss', findings: ['rtp-holes'] },
  { quirk: 'rtp-extension', findings: ['rtp-extension'] },
];

/** Of a machine that is busy, not of a camera. */
const CHANCE = new Set(['sent-again', 'rtp-order']);
const AT_ONCE = 4;

await t.test('cameras with habits of their own are found guilty of them, and of nothing else', { timeout: 90_000 }, async t => {
  await using rig = await openRelayRig({
    platforms: 0,
    cameras: HABITS.map(({ quirk, options }, index) => ({ id: idOf(index), channels: 1, quirks: quirk === undefined ? [] : [quirk], channelList: [{ id: channelOf(idOf(index)), name: '大门', online: true }], ...options })),
    devices: { minExpiresS: 10, known: HABITS.map(({ transport }, index) => ({ id: idOf(index), password: LAB_PASSWORD, ...(transport !== undefined && { transport }) })) },
  });
  const { directory } = rig.gateway;
  await using stranger = await CameraSimulator.open({ id: idOf(90), platform: { id: LAB_ID, address: rig.gateway.address, port: rig.gateway.sipPort }, password: LAB_PASSWORD, quirks: ['no-catalogue'], channelList: [{ id: channelOf(idOf(90)), name: 'never told', online: true }] });
  await stranger.registered();
  const found = async (index: number, media: readonly string[]): Promise<string[]> => {
    const { raw } = await vlink<TraceReport>(directory, 'trace', idOf(index), '--validate', '--json');
    return [...new Set([...(raw.findings ?? []).filter(({ by }) => by !== 'us').map(({ id }) => id), ...media])].filter(id => !CHANCE.has(id)).sort();
  };
  const judge = async (index: number): Promise<void> => {
    const { quirk, findings, wait, atStart } = HABITS[index]!;
    const look = async (): Promise<string[]> => (await vlink<CaptureReport>(directory, 'capture', channelOf(idOf(index)), '--seconds', '1', '--json')).raw.legs.flatMap(leg => leg.findings.map(({ id }) => id));
    let media = await look();
    if (atStart === true) await until(`${quirk} is seen from its start`, async () => media.join() === findings.join() || ((media = await look()), false), 15_000);
    if (wait === true) await until(`${quirk} shows`, async () => (await found(index, media)).join() === findings.join(), 15_000);
    t.same(await found(index, media), [...findings].sort(), quirk ?? 'none');
  };
  const waiting = HABITS.map((_, index) => index);
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) await judge(index);
  }));
  const own = await vlink<TraceReport>(directory, 'trace', '--validate', '--json');
  t.same(own.raw.findings?.filter(({ by }) => by === 'us'), [], 'we break no rule, whatever they do');
  await until('a query that is never answered shows', async () => (await vlink<TraceReport>(directory, 'trace', idOf(90), '--validate', '--json')).raw.findings?.some(({ id }) => id === 'no-response'), 30_000);
  const text = await vlink(directory, 'trace', idOf(HABITS.findIndex(({ quirk }) => quirk === 'no-y')), '--validate');
  t.match(text.text, /wrong +no-y: no y=\n.*answer has no y=\n.*GB\/T 28181-2016 Annex F/);
  t.equal(text.code, 1);
});

/** What platforms above get wrong in one session each. */
const MISCHIEF: readonly (readonly [mischief: Mischief, findings: readonly string[], transport?: PlayTransport])[] = [
  ['no-subject', ['subject-missing']],
  ['no-y', ['no-y']],
  ['long-y', ['y-digits']],
  ['no-setup', ['no-setup'], 'tcp-passive'],
  ['third-party-address', ['connection-foreign']],
  ['unspecified-address', ['connection-address']],
  ['odd-port', ['media-port']],
  ['many-payloads', []],
  ['no-ack', ['no-ack']],
];

await t.test('platforms above, what they do wrong and what not', { timeout: 60_000 }, async t => {
  await using rig = await openRelayRig({ platforms: MISCHIEF.length, cameras: [{ channels: 1 }] });
  const { directory } = rig.gateway;
  await Promise.all(
    MISCHIEF.map(async ([mischief, findings, transport = 'udp'], index) => {
      const play = await rig.platforms[index]!.play(rig.idOf(0, 0, index), { transport, mischief: [mischief] }).catch((error: unknown) => error as Error);
      const found = async (): Promise<string[]> => {
        const { raw } = await vlink<TraceReport>(directory, 'trace', `city${index}`, '--validate', '--json');
        return [...new Set((raw.findings ?? []).filter(({ by, id }) => by !== 'us' && !CHANCE.has(id)).map(({ id }) => id))].sort();
      };
      await until(`${mischief} shows`, async () => (await found()).join() === findings.join(), 15_000).catch(async () => t.fail(`${mischief}: ${(await found()).join()}`));
      if (!(play instanceof Error)) await play.stop();
      if (mischief !== 'no-ack') t.same(await found(), findings, mischief);
    }),
  );
});
