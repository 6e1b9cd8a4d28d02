import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemHashes as hashes } from '#kit/hashes.ts';
import { type FootageName, loadFootage } from '../../scripts/media/footage.ts';
import { decodePictures } from '../../scripts/media/pictures.ts';
import { assertReleased, openRelayRig, type RelayRig } from '../rig/relay-rig.ts';
import { runTool } from '../rig/run-tool.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';

t.setTimeout(240_000);
const directory = await mkdtemp(join(tmpdir(), 'viewlink-outlet-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));
const KEY = 'k'.repeat(40);
const HA1 = hashes.md5('wall:viewlink:wall-secret');

type Options = Partial<Parameters<typeof openRelayRig>[0]> & { readonly footage?: FootageName };

async function openRig({ footage = 'h264-g711a', ...options }: Options = {}, instances = 1): Promise<{ rig: RelayRig; channel: string; port: number; url(instance?: number): Promise<string> } & AsyncDisposable> {
  const port = await freePort();
  const rig = await openRelayRig({
    cameras: [{ footage, channels: 1 }],
    instances,
    ...options,
    sections: { outlets: { address: '127.0.0.1', rtspPort: port, tokenKey: KEY, users: [{ name: 'wall', ha1: HA1 }] }, ...options.sections },
  });
  const channel = rig.cameras[0]!.device.channels[0]!.id;
  return {
    rig,
    channel,
    port,
    async url(instance = 1) {
      const mediad = await rig.gateway.mediadRpc(instance);
      try {
        return (await mediad.call('outletUrls', { channel, streamNumber: 0, minutes: 5 })).urls.find(({ protocol }) => protocol === 'rtsp')!.url;
      } finally {
        await mediad[Symbol.asyncDispose]();
      }
    },
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  };
}

/** Pictures that are not the source's, or not its next one. A camera that is asked for a key picture goes on with its next GOP. */
function strangers(source: readonly string[], received: readonly string[]): number {
  const at = received.map(hash => source.indexOf(hash));
  return at.filter((place, i) => place < 0 || (i > 0 && place !== (at[i - 1]! + 1) % source.length && place % 25 !== 0)).length;
}

const watch = (url: string, seconds: number, transport = 'tcp'): ReturnType<typeof runTool> => runTool('ffmpeg', ['-nostdin', '-v', 'warning', '-rtsp_transport', transport, '-i', url, '-t', String(seconds), '-f', 'null', '-']);

await t.test('a GB/T 28181 camera in a player, picture for picture', async t => {
  for (const name of ['h264-aac', 'h265-g711a'] as const) {
    await using setup = await openRig({ footage: name });
    const footage = await loadFootage(name);
    const file = join(directory, `${name}.${footage.videoCodec}`);
    const run = await runTool('ffmpeg', ['-nostdin', '-v', 'warning', '-rtsp_transport', 'tcp', '-i', await setup.url(), '-t', '4', '-map', '0:v', '-c', 'copy', '-f', footage.videoCodec === 'h264' ? 'h264' : 'hevc', file]);
    t.equal(run.code, 0, run.stderr);
    const got = await decodePictures(file);
    t.ok(got.hashes.length >= 75, `${name}: ${got.hashes.length} pictures`);
    t.same([strangers((await decodePictures(footage.videoPath)).hashes, got.hashes), got.complaints], [0, []], name);
    const udp = await watch(await setup.url(), 3, 'udp');
    t.same([udp.code, udp.stderr], [0, ''], `${name} over UDP`);
    await assertReleased(setup.rig);
  }
});

await t.test('two viewers and an upstream: the camera is asked once; the last one out closes it', async t => {
  await using setup = await openRig({ devices: { media: { lingerS: 1 } } });
  const { rig } = setup;
  const device = rig.cameras[0]!.device;
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await play.waitFrames(10);
  const url = await setup.url();
  const runs = Promise.all([watch(url, 3), watch(url, 3, 'udp'), watch(url.replace('rtsp://', 'rtsp://wall:wall-secret@').replace(/\?.*/, ''), 3)]);
  const mediad = await rig.gateway.mediadRpc();
  const rows = await until('three viewers', async () => {
    const listed = await mediad.call('listOutlets', {});
    return listed.length === 3 && listed.every(({ sentBytes }) => (sentBytes ?? 0) > 0) && listed;
  }, 15_000);
  t.match(rows[0], { protocol: 'rtsp', channel: setup.channel, remote: /^127\.0\.0\.1:\d+$/, droppedUnits: 0 });
  t.equal(new Set(rows.map(({ bridgeId }) => bridgeId)).size, 1);
  for (const { code, stderr } of await runs) t.same([code, stderr], [0, '']);
  t.equal(device.counters.invites, 1);
  const { damaged, lost } = await play.stop();
  t.same({ damaged, lost }, { damaged: 0, lost: 0 });
  await assertReleased(rig);
  t.same(await mediad.call('listOutlets', {}), []);
  t.match(await mediad.call('counters', {}), { 'outlet.rtsp.opened': 3, 'outlet.viewers': 0, 'rtsp.status.401': 1 });
  await mediad[Symbol.asyncDispose]();
});

await t.test('without leave nothing is opened; without a camera the viewer is told', async t => {
  await using setup = await openRig();
  const url = await setup.url();
  const expired = await watch(url.replace(/token=\d+/, 'token=1000'), 1);
  t.match(expired.stderr, /401/);
  t.match((await watch(url.replace(/\?.*/, ''), 1)).stderr, /401/);
  t.match((await watch(url.replace('rtsp://', 'rtsp://wall:wrong@').replace(/\?.*/, ''), 1)).stderr, /401/);
  t.equal(setup.rig.cameras[0]!.device.counters.invites, 0);
  const mediad = await setup.rig.gateway.mediadRpc();
  const { urls } = await mediad.call('outletUrls', { channel: '34020000001320009999', streamNumber: 0, minutes: 5 });
  t.match((await watch(urls[0]!.url, 1)).stderr, /404/, 'a channel that is not there');
  await mediad[Symbol.asyncDispose]();
});

await t.test('the first picture comes within 300 ms of a join', async t => {
  await using setup = await openRig();
  const url = await setup.url();
  const first = watch(url, 8);
  const mediad = await setup.rig.gateway.mediadRpc();
  await until('it runs', async () => (await mediad.call('listOutlets', {})).some(({ sentBytes }) => (sentBytes ?? 0) > 0), 15_000);
  const { RtspProbe } = await import('../rig/rtsp-probe.ts');
  const times: number[] = [];
  for (let i = 0; i < 5; i += 1) times.push(await RtspProbe.firstPictureMs(url));
  t.ok(Math.min(...times) < 300, `${times.map(time => Math.round(time)).join(', ')} ms`);
  t.same([(await first).code, (await first).stderr], [0, ''], 'who watched sees on');
  await mediad[Symbol.asyncDispose]();
});

await t.test('sipd dies and comes back: who watches sees on', async t => {
  await using setup = await openRig();
  const { rig } = setup;
  const watching = watch(await setup.url(), 12);
  const mediad = await rig.gateway.mediadRpc();
  await until('it runs', async () => (await mediad.call('listOutlets', {})).some(({ sentBytes }) => (sentBytes ?? 0) > 0), 15_000);
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  const { code, stderr } = await watching;
  t.same([code, stderr], [0, '']);
  t.equal(rig.cameras[0]!.device.counters.invites, 1);
  await assertReleased(rig, 10_000);
  await mediad[Symbol.asyncDispose]();
});

await t.test('VLC, as an ordinary user: over HTTP, for Debian builds it without RTSP', async t => {
  const httpPort = await freePort();
  await using setup = await openRig({ footage: 'h264-aac', sections: { outlets: { address: '127.0.0.1', rtspPort: await freePort(), httpPort, tokenKey: KEY } } });
  const mediad = await setup.rig.gateway.mediadRpc();
  const { urls } = await mediad.call('outletUrls', { channel: setup.channel, streamNumber: 0, minutes: 5 });
  // VLC refuses to run as root.
  await chmod(directory, 0o777);
  const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'env'] : ['env'];
  const source = (await decodePictures((await loadFootage('h264-aac')).videoPath)).hashes;
  for (const protocol of ['flv', 'hls']) {
    const out = join(directory, `vlc-${protocol}.ts`);
    const { url } = urls.find(each => each.protocol === protocol)!;
    const run = await runTool(asNobody[0]!, [...asNobody.slice(1), 'HOME=/tmp', 'cvlc', '--no-color', '--run-time=6', '--play-and-exit', '--sout', `#std{access=file,mux=ts,dst=${out}}`, url, 'vlc://quit'], 40_000);
    t.ok(existsSync(out), `${protocol}: ${run.stderr.slice(-500)}`);
    const got = await decodePictures(out);
    t.ok(got.hashes.length >= 60, `${protocol}: ${got.hashes.length} pictures`);
    t.same([strangers(source, got.hashes), got.complaints], [0, []], protocol);
  }
  await mediad[Symbol.asyncDispose]();
});

await t.test('a channel that runs in one media process is watched at the other', async t => {
  await using setup = await openRig({ devices: { media: { lingerS: 1 } } }, 2);
  const { rig } = setup;
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await play.waitFrames(10);
  const runs = await Promise.all([1, 2].map(async instance => watch(await setup.url(instance), 4)));
  for (const { code, stderr } of runs) t.same([code, stderr], [0, '']);
  t.equal(rig.cameras[0]!.device.counters.invites, 1);
  t.equal((await rig.rpc.call('counters', {}))['outlet.cascades'], 1);
  // The source ends: so does the bridge that it fed.
  const watching = watch(await setup.url(2), 30);
  const second = await rig.gateway.mediadRpc(2);
  await until('it is watched there', async () => (await second.call('listOutlets', {})).some(({ sentBytes }) => (sentBytes ?? 0) > 0), 15_000);
  await play.stop();
  await rig.gateway.mediads[0]!.crash();
  t.equal((await watching).code, 0);
  await until('nothing is left', async () => (await second.call('listBridges', {})).bridges.length === 0, 10_000);
  await second[Symbol.asyncDispose]();
});
