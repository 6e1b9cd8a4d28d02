/** Transcoding and snapshots through a whole gateway: what an upstream asked for is what it gets, judged by ffprobe. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { freePort } from '../../scripts/lab/gateway.ts';
import { openRelayRig, assertReleased } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';
import { main as vlink } from '../../cli/vlink.ts';
import { decodePictures } from '../../scripts/media/pictures.ts';

t.setTimeout(120_000);
const run = promisify(execFile);
const directory = mkdtempSync(join(tmpdir(), 'gateway-transcode-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

interface Probed {
  readonly codec_name: string;
  readonly width: number;
  readonly height: number;
}

async function probe(path: string): Promise<Probed> {
  const { stdout } = await run('ffprobe', ['-v', 'error', '-select_streams', 'v:0', '-show_entries', 'stream=codec_name,width,height', '-of', 'json', path]);
  return (JSON.parse(stdout) as { streams: Probed[] }).streams[0]!;
}

t.test('by f= and by the name in the configuration; killed in between; refused when there is no capacity', async t => {
  await using rig = await openRelayRig({
    cameras: [{ footage: 'h265-aac' }],
    upstream: { transcodeByF: true, transcode: 'small' },
    sections: { transcode: { lingerS: 0, cores: 64, maxJobs: 2, renditions: [{ name: 'small', video: 'h264', size: '320x240', bitrateKbps: 256, fps: 10, audio: 'none' }] } },
  });
  const [platform] = rig.platforms;
  const channel = rig.idOf(0, 0);
  await using mediad = await rig.gateway.mediadRpc();
  const recordTo = join(directory, 'by-f');
  const byF = await platform!.play(channel, { transport: 'udp', f: 'v/2/2/25/1/512a/1/8/1', recordTo });
  await byF.waitFrames(30);
  const [job] = await mediad.call('listTranscoders', {});
  t.match(job, { state: 'running', encoder: 'libx264', rendition: 'h264,352x288,512,25,g711a', viewers: 1 });
  process.kill(job!.pid!, 'SIGKILL');
  await byF.waitFrames(80);
  const byName = await platform!.play(channel, { transport: 'tcp-passive', recordTo: join(directory, 'by-name') });
  await byName.waitFrames(20);
  t.equal((await mediad.call('listTranscoders', {})).length, 2);
  const refused = await platform!.play(channel, { transport: 'udp', f: 'v/2/4/25/1/512a///' }).then(() => undefined, (error: { status?: number }) => error.status);
  t.equal(refused, 486, 'a third job');
  t.match((await vlinkSays(rig.gateway.configPath, 'show', 'transcoders')).out, /h264,320x240,256,10,none +running +libx264/);
  const [first, second] = [await byF.stop(), await byName.stop()];
  t.match(first, { codec: 'h264', audioCodec: 'g711a', damaged: 0, lost: 0 });
  t.match(second, { codec: 'h264', audioCodec: undefined, damaged: 0, lost: 0 });
  t.match(await probe(first.files.ps!), { codec_name: 'h264', width: 352, height: 288 });
  t.match(await probe(second.files.ps!), { codec_name: 'h264', width: 320, height: 240 });
  t.same((await decodePictures(first.files.ps!)).complaints, [], 'a decoder has nothing to complain about, death of the process included');
  await until('the processes are gone', async () => (await mediad.call('listTranscoders', {})).length === 0);
  t.equal((await mediad.call('counters', {}))['transcode.died'], 1);
  await assertReleased(rig);
});

t.test('mediad is killed: its transcoders do not outlive it', async t => {
  await using rig = await openRelayRig({ cameras: [{ footage: 'h264' }], upstream: { transcodeByF: true } });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp', f: 'v/2/2/25/1/512a///' });
  await play.waitFrames(10);
  const mediad = await rig.gateway.mediadRpc();
  const { pid } = (await mediad.call('listTranscoders', {}))[0]!;
  await mediad[Symbol.asyncDispose]();
  t.ok(existsSync(`/proc/${pid}`));
  await rig.gateway.mediads[0]!.crash();
  await until('the process is gone', () => !existsSync(`/proc/${pid}`));
  t.pass();
});

t.test('a snapshot of a channel: of one that runs at once, of one that does not by opening it', async t => {
  const httpPort = await freePort('127.0.0.1');
  await using rig = await openRelayRig({
    cameras: [{ footage: 'h264-g711a' }],
    sections: { outlets: { address: '127.0.0.1', httpPort, tokenKey: 'k'.repeat(40) } },
  });
  await using mediad = await rig.gateway.mediadRpc();
  const { channelId } = (await rig.rpc.call('listChannels', {})).rows[0]!;
  const file = join(directory, 'cold.jpg');
  const said = await vlinkSays(rig.gateway.configPath, 'snapshot', channelId, file);
  t.equal(said.code, 0, said.err);
  t.match(await probe(file), { codec_name: 'mjpeg', width: 768, height: 576 });
  const { urls } = await mediad.call('outletUrls', { channel: channelId, streamNumber: 0, minutes: 5 });
  const token = /token=([^&]+)/.exec(JSON.stringify(urls))![1]!.replace(/["\\].*/, '');
  const url = `http://127.0.0.1:${httpPort}/snapshot/${channelId}.jpg?token=${token}`;
  // Somebody watches: the channel runs.
  const watching = new AbortController();
  const live = await fetch(`http://127.0.0.1:${httpPort}/live/${channelId}.flv?token=${token}`, { signal: watching.signal });
  t.equal(live.status, 200);
  const took: number[] = [];
  for (let i = 0; i < 5; i += 1) {
    const from = performance.now();
    const response = await fetch(`${url}&width=${320 + 2 * i}`);
    t.equal(response.status, 200);
    t.equal(response.headers.get('content-type'), 'image/jpeg');
    const jpeg = new Uint8Array(await response.arrayBuffer());
    took.push(performance.now() - from);
    t.same([...jpeg.subarray(0, 3)], [0xff, 0xd8, 0xff]);
  }
  t.ok(Math.min(...took) <= 500, `of a running channel after ${took.map(Math.round).join(', ')} ms`);
  t.equal(rig.cameras[0]!.sessions.length, 1, 'one stream of the camera serves all');
  t.equal((await fetch(url.replace(/token=.*/, 'token=1.00'))).status, 401);
  t.equal((await fetch(`${url}&width=99999`)).status, 400);
  t.equal((await fetch(url.replace(channelId, '34020000001320009999').replace(/token=.*/, ''))).status, 401);
  watching.abort();
});

t.test('channels that are only passed through to an upstream, of cameras that answer no request for a key picture: a snapshot and a first player at once', async t => {
  const httpPort = await freePort('127.0.0.1');
  await using rig = await openRelayRig({
    cameras: [{ footage: 'h264', channels: 4, quirks: ['no-key-frames'] }],
    sections: { outlets: { address: '127.0.0.1', httpPort, tokenKey: 'k'.repeat(40) } },
  });
  await using mediad = await rig.gateway.mediadRpc();
  const pictures: number[] = [];
  const players: number[] = [];
  for (const [index, { channelId: channel }] of (await rig.rpc.call('listChannels', {})).rows.entries()) {
    const play = await rig.platforms[0]!.play(rig.idOf(0, index), { transport: 'udp' });
    // In the middle of its second group.
    await play.waitFrames(35);
    if (index < 3) pictures.push((await mediad.call('snapshot', { channel, streamNumber: 0, width: null })).tookMs);
    else players.push(await firstPictureMs((await mediad.call('outletUrls', { channel, streamNumber: 0, minutes: 5 })).urls.find(({ protocol }) => protocol === 'flv')!.url));
    await play.stop();
  }
  const counters = await mediad.call('counters', {});
  t.equal((counters['units.taken.live'] ?? 0) + (counters['units.taken.behind'] ?? 0), 4);
  t.ok(Math.min(...pictures) <= 500, `snapshots after ${pictures.join(', ')} ms`);
  t.ok(Math.min(...players) <= 300, `players after ${players.join(', ')} ms`);
});

/** From asking for an FLV stream until a key picture of the footage is here: its header and decoder settings are shorter. */
async function firstPictureMs(url: string): Promise<number> {
  const leaving = new AbortController();
  const from = performance.now();
  const reader = (await fetch(url, { signal: leaving.signal })).body!.getReader();
  for (let bytes = 0; bytes < 30_000; ) bytes += (await reader.read()).value!.length;
  const took = Math.round(performance.now() - from);
  leaving.abort();
  await reader.closed.catch(() => undefined);
  return took;
}

async function vlinkSays(config: string, ...argv: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  let out = '';
  let err = '';
  const code = await vlink(argv, { VLINK_CONFIG: config }, { out: text => (out += text), err: text => (err += text) });
  return { code, out, err };
}
