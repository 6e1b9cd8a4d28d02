import { type ChildProcess, execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { PsDemuxer, type PsEvent } from '#core/ps/demux.ts';
import { type FootageName, loadFootage, prepareFootage } from '../../scripts/media/footage.ts';
import { PcapWriter } from '../../scripts/simulators/common/pcap.ts';
import { UdpRelay } from '../../scripts/simulators/common/udp-relay.ts';
import { type CameraOptions, CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import { Platform, type PlatformOptions, type PlayReport } from '../../scripts/simulators/platform/platform.ts';
import type { PlayTransport } from '../../scripts/simulators/platform/receivers.ts';

const run = promisify(execFile);
const TRANSPORTS: readonly PlayTransport[] = ['udp', 'tcp-passive', 'tcp-active'];
const PASSWORD = 'Gate#2026';
const directory = mkdtempSync(join(tmpdir(), 'simulators-'));

/** A camera that registered straight with a platform. */
async function pair(t: Test, camera: Partial<CameraOptions> = {}, platformOptions: PlatformOptions = {}): Promise<{ platform: Platform; camera: CameraSimulator }> {
  const platform = await Platform.open({ password: PASSWORD, ...platformOptions });
  t.teardown(() => platform[Symbol.asyncDispose]());
  const address = { id: platform.id, address: platform.address, port: platform.port };
  const simulator = await CameraSimulator.open({ platform: address, password: PASSWORD, ...camera });
  t.teardown(() => simulator[Symbol.asyncDispose]());
  await platform.waitRegistered(simulator.device.id);
  return { platform, camera: simulator };
}

async function playOne(platform: Platform, camera: CameraSimulator, transport: PlayTransport, frames: number, name: string): Promise<PlayReport> {
  const play = await platform.play(camera.device.channels[0]!.id, { transport, recordTo: join(directory, name) });
  await play.waitFrames(frames);
  return play.stop();
}

/** MD5 of every decoded picture. */
async function pictureSums(path: string, pictures?: number): Promise<string[]> {
  const limit = pictures === undefined ? [] : ['-frames:v', String(pictures)];
  const { stdout } = await run('ffmpeg', ['-nostdin', '-v', 'error', '-i', path, '-map', '0:v', ...limit, '-fps_mode', 'passthrough', '-f', 'framemd5', '-'], { maxBuffer: 1 << 24 });
  return stdout.split('\n').filter(line => line !== '' && !line.startsWith('#')).map(line => line.split(',').at(-1)!.trim());
}

async function hasTool(name: string): Promise<boolean> {
  return run('which', [name]).then(() => true, () => false);
}

t.before(() => prepareFootage());

t.test('three transports, both codecs: the pictures that arrive are the pictures of the footage', async t => {
  const codecs: readonly FootageName[] = ['h264-g711a', 'h265-aac'];
  await Promise.all(
    codecs.map(async footage => {
      const { platform, camera } = await pair(t, { footage, channels: 3 });
      const reports = await Promise.all(TRANSPORTS.map(transport => playOne(platform, camera, transport, 55, `${footage}-${transport}`)));
      const source = await loadFootage(footage);
      for (const report of reports) {
        const label = `${footage} over ${report.transport}`;
        t.match(report, { lost: 0, damaged: 0, ssrcMismatch: 0, payloadTypeMismatch: 0, malformed: 0, duplicates: 0, codec: source.videoCodec, audioCodec: source.audioCodec }, label);
        t.ok(report.frames >= 55 && report.keyFrames >= 2 && report.audioFrames > 20, `${label}: ${report.frames} pictures, ${report.keyFrames} key frames, ${report.audioFrames} sounds`);
        const sums = await pictureSums(report.files.video!);
        t.same(sums, await pictureSums(source.videoPath, sums.length), `${label}: ${sums.length} equal pictures`);
        t.same(await pictureSums(report.files.ps!), sums, `${label}: the same out of the program stream`);
        t.ok(isPrefix(report.files.audio!, source.audioPath!), `${label}: sound is the source's, octet for octet`);
      }
      t.equal(camera.sessions.length, 0, 'no session is left');
    }),
  );
});

function isPrefix(path: string, whole: string): boolean {
  const part = readFileSync(path);
  return part.length > 0 && readFileSync(whole).subarray(0, part.length).equals(part);
}

t.test('strangers read the program stream without a word', async t => {
  const { platform, camera } = await pair(t, { footage: 'h264-aac' });
  const h265 = await pair(t, { footage: 'h265-aac' });
  const reports = await Promise.all([playOne(platform, camera, 'udp', 30, 'judged-h264'), playOne(h265.platform, h265.camera, 'tcp-passive', 30, 'judged-h265')]);
  for (const { files, codec } of reports) {
    const probe = await run('ffprobe', ['-v', 'warning', '-show_entries', 'stream=codec_name', '-of', 'csv=p=0', files.ps!]);
    t.same(probe.stdout.split('\n').filter(line => line !== '').sort(), ['aac', codec === 'h264' ? 'h264' : 'hevc']);
    t.equal(probe.stderr, '', 'ffprobe has no warning');
    const decode = await run('ffmpeg', ['-nostdin', '-v', 'warning', '-i', files.ps!, '-f', 'null', '-']);
    t.equal(decode.stderr, '', 'ffmpeg decodes without a warning');
    if (await hasTool('gst-launch-1.0')) t.equal(await demuxWithGStreamer(files.ps!, codec!), '', 'mpegpsdemux of GStreamer has no warning');
  }
});

t.test('program streams of ffmpeg, without a map and with pictures that are not aligned to packets', async t => {
  for (const [codec, input] of [['h264', 'h264'], ['h265', 'hevc']] as const) {
    const { videoPath } = await loadFootage(codec);
    for (const format of ['mpeg', 'vob']) {
      const path = join(directory, `foreign-${codec}.${format}`);
      await run('ffmpeg', ['-nostdin', '-v', 'error', '-f', input, '-r', '25', '-i', videoPath, '-c', 'copy', '-f', format, path]);
      const demuxer = new PsDemuxer();
      const stream = readFileSync(path);
      const events: PsEvent[] = [];
      for (let at = 0; at < stream.length; at += 1316) events.push(...demuxer.push(stream.subarray(at, at + 1316)));
      const units = [...events, ...demuxer.flush()].filter(event => event.type === 'unit');
      t.ok(Buffer.concat(units.map(unit => unit.bytes)).equals(readFileSync(videoPath)), `${codec} in ${format}: every octet`);
      t.ok(units.every(unit => unit.codec === codec && !unit.damaged));
      t.match(demuxer.counters, { maps: 0, wrongLengths: 0, badHeaders: 0, resyncs: 0, skippedBytes: 0 });
    }
  }
});

/** What GStreamer complains about; its file source always warns once about a pad. */
async function demuxWithGStreamer(path: string, codec: string): Promise<string> {
  const video = ['d.video_e0', '!', 'queue', 'max-size-time=0', '!', `${codec}parse`, '!', 'fakesink', 'async=false', 'sync=false'];
  const audio = ['d.audio_c0', '!', 'queue', '!', 'aacparse', '!', 'fakesink', 'async=false', 'sync=false'];
  const { stdout, stderr } = await run('gst-launch-1.0', ['-q', 'filesrc', `location=${path}`, '!', 'mpegpsdemux', 'name=d', ...video, ...audio], { timeout: 30_000, env: { ...process.env, GST_DEBUG: '2', GST_DEBUG_NO_COLOR: '1' } });
  return `${stdout}${stderr}`.split('\n').filter(line => /WARN|ERROR/.test(line) && !line.includes('pad not activated yet')).join('\n');
}

t.test('tshark finds nothing malformed in the signalling', async t => {
  const path = join(directory, 'signalling.pcap');
  const pcap = new PcapWriter(path);
  const platform = await Platform.open({ password: PASSWORD });
  t.teardown(() => platform[Symbol.asyncDispose]());
  // The dialog passes here too when the camera's Contact names the relay.
  const outbound = (datagram: Buffer): Buffer => Buffer.from(datagram.toString('latin1').replace(/^(Contact: <sip:[^:>]+:)\d+/m, `$1${relay.outerPort}`), 'latin1');
  const relay: UdpRelay = await UdpRelay.open({ peer: platform, address: '127.0.0.1', outbound, onDatagram: (from, to, datagram) => pcap.datagram(Date.now(), from, to, datagram) });
  t.teardown(() => relay[Symbol.asyncDispose]());
  const camera = await CameraSimulator.open({ platform: { id: platform.id, address: relay.address, port: relay.port }, password: PASSWORD, channels: 4, keepaliveS: 0.2 });
  await platform.waitRegistered(camera.device.id);
  await platform.waitKeepalives(camera.device.id, 1);
  const { items } = await platform.catalog();
  await platform.deviceInfo();
  await platform.deviceStatus();
  for (const transport of TRANSPORTS) await playOne(platform, camera, transport, 2, `tshark-${transport}`);
  t.equal(items.length, 4);
  await camera[Symbol.asyncDispose]();
  pcap[Symbol.dispose]();
  if (!(await hasTool('tshark'))) return t.comment('tshark is not installed: capture not judged');
  const fields = ['-e', 'sip.Method', '-e', 'sip.Status-Code', '-e', '_ws.malformed', '-e', '_ws.expert.severity'];
  const { stdout } = await run('tshark', ['-r', path, '-d', `udp.port==${platform.port},sip`, '-T', 'fields', '-E', 'separator=|', ...fields], { maxBuffer: 1 << 24 });
  const rows = stdout.trimEnd().split('\n').map(row => row.split('|'));
  t.equal(rows.length, pcap.packets);
  t.same(rows.filter(([method, status]) => method === '' && status === ''), [], 'every datagram is a SIP message');
  t.same(rows.filter(([, , malformed, severity]) => malformed !== '' || (severity ?? '').split(',').some(each => Number(each) >= EXPERT_WARNING)), [], 'none is malformed or warned about');
  for (const method of ['REGISTER', 'MESSAGE', 'INVITE', 'ACK', 'BYE']) t.ok(rows.some(row => row[0] === method), method);
});

/** PI_WARN of Wireshark's expert information. */
const EXPERT_WARNING = 0x600000;

t.test('registration: digest of both kinds, TCP, 2022, refresh by keepalive loss, unregister', async t => {
  const sha = await pair(t, { transport: 'tcp', version: '2022', keepaliveS: 0.1 }, { algorithms: ['SHA-256', 'MD5'], version: '2022' });
  const peer = sha.platform.registrar.peers.get(sha.camera.device.id)!;
  t.match(peer, { version: '3.0', flow: { transport: 'TCP' } });
  await sha.platform.waitKeepalives(peer.id, 3);
  t.match(sha.platform.registrar.counters, { registers: 2, challenged: 1, accepted: 1, wrongDigest: 0 }, 'one REGISTER without, one with credentials');
  const channel = sha.camera.device.channels[0]!;
  t.same((await sha.platform.catalog()).items.map(item => item.name), [channel.name], 'GB 18030 names come whole');
  await playOne(sha.platform, sha.camera, 'udp', 3, 'tcp-signalling');
  await sha.camera[Symbol.asyncDispose]();
  await sha.platform.waitUnregistered(peer.id);

  const rejecting = await pair(t, { keepaliveS: 0.1 }, { mischief: ['reject-keepalive', 'stale-nonce'], qop: false });
  const { registrar } = rejecting.platform;
  await registrar.changed.when(() => registrar.counters.accepted >= 2);
  t.ok(registrar.counters.keepalives >= 3, 'registers anew after three refused keepalives');

  const wrong = await Platform.open({ password: 'other' });
  t.teardown(() => wrong[Symbol.asyncDispose]());
  const camera = await CameraSimulator.open({ platform: { id: wrong.id, address: wrong.address, port: wrong.port }, password: PASSWORD, retryS: 60 });
  t.teardown(() => camera.vanish());
  await t.rejects(wrong.waitRegistered(camera.device.id, 500), { name: 'NotInTime' });
  t.match(camera.device.registration, { state: 'waiting', lastStatus: 403 });
});

t.test('a platform that comes back: cameras on TCP register again', async t => {
  const { platform, camera } = await pair(t, { transport: 'tcp', retryS: 0.1 });
  const { port } = platform;
  await platform[Symbol.asyncDispose]();
  const second = await Platform.open({ password: PASSWORD, port });
  t.teardown(() => second[Symbol.asyncDispose]());
  await second.waitRegistered(camera.device.id);
  const play = await second.play(camera.device.channels[0]!.id, { transport: 'tcp-passive' });
  await play.waitFrames(2);
  t.match(await play.stop(), { damaged: 0, byeAnswered: true });
});

t.test('many devices on few sockets', async t => {
  const platform = await Platform.open({ password: PASSWORD });
  t.teardown(() => platform[Symbol.asyncDispose]());
  const camera = await CameraSimulator.open({ platform: { id: platform.id, address: platform.address, port: platform.port }, password: PASSWORD, devices: 200, channels: 2, sockets: 2, rampPerS: 2000 });
  t.teardown(() => camera.vanish());
  await camera.registered();
  t.equal(platform.registrar.peers.size, 200);
  const last = camera.devices.at(-1)!;
  t.same((await platform.catalog({ peer: last.id })).items.map(item => item.deviceId), last.channels.map(channel => channel.id));
  const play = await platform.play(last.channels[1]!.id, { transport: 'udp', peer: last.id });
  await play.waitFrames(2);
  t.match(await play.stop(), { damaged: 0, lost: 0 });
});

t.test('the command lines', async t => {
  const tool = (name: string): string => join(import.meta.dirname, `../../scripts/simulators/${name}/main.ts`);
  for (const name of ['camera', 'platform']) {
    const { stdout } = await run(process.execPath, [tool(name), '--help']);
    t.match(stdout, name === 'camera' ? /--quirk[\s\S]*own-ssrc/ : /--mischief[\s\S]*no-ack/);
  }
  await t.rejects(run(process.execPath, [tool('camera'), '--platform', '127.0.0.1:9', '--quirk', 'nonsense']), { code: 64 });
  const base = join(directory, 'command');
  const platform = start(t, tool('platform'), ['--port', '0', '--json', '--password', PASSWORD, '--play', 'first', '--seconds', '1', '--record', base]);
  const { port } = await platform.until('listening');
  const camera = start(t, tool('camera'), ['--platform', `127.0.0.1:${port}`, '--json', '--password', PASSWORD, '--footage', 'h265-g711a', '--channels', '2']);
  const played = await platform.until('report');
  t.match(played, { codec: 'h265', damaged: 0, lost: 0, videoFile: `${base}.h265` });
  t.ok(statSync(`${base}.h265`).size > 10_000);
  t.equal(await platform.ended, 0, 'the platform ends by itself after its plays');
  camera.child.kill('SIGTERM');
  t.equal(await camera.ended, 0, 'the camera ends at SIGTERM');
});

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<number | null>;
  until(event: string): Promise<Record<string, unknown>>;
}

function start(t: Test, path: string, argv: readonly string[]): Started {
  const child = execFile(process.execPath, [path, ...argv]);
  t.teardown(() => child.kill('SIGKILL'));
  const lines: Record<string, unknown>[] = [];
  const waiting: (() => void)[] = [];
  let text = '';
  child.stderr!.on('data', chunk => t.comment(String(chunk)));
  child.stdout!.on('data', chunk => {
    const pieces = (text + String(chunk)).split('\n');
    text = pieces.pop()!;
    for (const piece of pieces) lines.push(JSON.parse(piece) as Record<string, unknown>);
    for (const wake of waiting.splice(0)) wake();
  });
  const ended = new Promise<number | null>(resolve => child.on('exit', resolve));
  const until = async (event: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const found = lines.find(line => line['event'] === event);
      if (found !== undefined) return found;
      const code = await Promise.race([new Promise<undefined>(resolve => waiting.push(() => resolve(undefined))), ended]);
      if (code !== undefined && !lines.some(line => line['event'] === event)) throw new Error(`ended with ${code} before ${event}`);
    }
  };
  return { child, ended, until };
}
