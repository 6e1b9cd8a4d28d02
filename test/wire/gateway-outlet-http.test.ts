import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { playOnce } from '../../scripts/demonstration/plays.ts';
import { loadFootage, type FootageName } from '../../scripts/media/footage.ts';
import { decodePictures } from '../../scripts/media/pictures.ts';
import { assertReleased, openRelayRig, type RelayRig } from '../rig/relay-rig.ts';
import { runTool } from '../rig/run-tool.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';

t.setTimeout(240_000);
const directory = await mkdtemp(join(tmpdir(), 'viewlink-outlet-http-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));

const TOKEN_KEY = 'k'.repeat(40);
const INLET = '34020000001310000601';
const INLET_KEY = 'key-of-the-publisher-canary';

const ffmpeg = (...args: readonly string[]) => runTool('ffmpeg', ['-nostdin', '-v', 'error', ...args]);
const hashesOf = (framemd5: string): string[] => framemd5.split('\n').filter(line => line !== '' && !line.startsWith('#')).map(line => line.split(',').at(-1)!.trim());

/**
 * Places where the pictures do not go on one by one, other than at a key picture: a camera that is asked for one (somebody joined) goes
 * on from there. -1: a picture that is not of the source at all.
 */
function breaks(source: readonly string[], hashes: readonly string[], keyEvery: number): number[] {
  const at = hashes.map(hash => source.indexOf(hash));
  return at.filter((here, i) => here < 0 || (i > 0 && here !== (at[i - 1]! + 1) % source.length && here % keyEvery !== 0));
}

async function openRig(footage: FootageName, outlets: object = {}, inlets: readonly object[] = []): Promise<{ readonly rig: RelayRig; readonly channel: string; readonly ports: { readonly http: number; readonly rtmp: number }; urls(channel?: string): Promise<ReadonlyMap<string, string>> } & AsyncDisposable> {
  const ports = { http: await freePort(), rtmp: await freePort() };
  const rig = await openRelayRig({
    cameras: [{ footage, channels: 1 }],
    devices: { media: { lingerS: 1 } },
    sections: { outlets: { address: '127.0.0.1', httpPort: ports.http, rtmpPort: ports.rtmp, tokenKey: TOKEN_KEY, ...outlets }, inlets } as never,
  });
  const own = rig.cameras[0]!.device.channels[0]!.id;
  return {
    rig,
    channel: own,
    ports,
    async urls(channel = own) {
      const mediad = await rig.gateway.mediadRpc();
      try {
        const { urls } = await mediad.call('outletUrls', { channel, streamNumber: 0, minutes: 5 });
        return new Map(urls.map(({ protocol, url }) => [protocol, url]));
      } finally {
        await mediad[Symbol.asyncDispose]();
      }
    },
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  };
}

await t.test('a GB/T 28181 camera in FLV, fMP4, HLS and RTMP at the same time: asked once, picture for picture, closed behind the last', async t => {
  for (const [name, protocols] of [['h264-aac', ['flv', 'fmp4', 'hls', 'rtmp']], ['h265-g711a', ['fmp4', 'hls']]] as const) {
    await using setup = await openRig(name);
    const { rig } = setup;
    const urls = await setup.urls();
    const source = (await decodePictures((await loadFootage(name)).videoPath)).hashes;
    const judge = async (protocol: string): Promise<void> => {
      const run = await ffmpeg('-t', '3', '-i', urls.get(protocol)!, '-map', '0:v', '-fps_mode', 'passthrough', '-f', 'framemd5', '-');
      t.same([run.code, run.stderr], [0, ''], `${name} ${protocol}`);
      const hashes = hashesOf(run.stdout);
      t.ok(hashes.length >= 65, `${name} ${protocol}: ${hashes.length} pictures`);
      t.same(breaks(source, hashes, name.startsWith('h264') ? 25 : 50), [], `${name} ${protocol}: those of the camera`);
    };
    await Promise.all(protocols.map(judge));
    t.equal(rig.cameras[0]!.device.counters.invites, 1);
    const mediad = await rig.gateway.mediadRpc();
    t.match(await mediad.call('listOutlets', {}), [{ protocol: 'hls', channel: setup.channel }], 'nobody but HLS, which waits for who asks again');
    const counters = await mediad.call('counters', {});
    for (const protocol of protocols) t.equal(counters[`outlet.${protocol}.opened`], 1, protocol);
    await mediad[Symbol.asyncDispose]();
    if (name !== 'h264-aac') continue;
    await until('HLS is left', () => rig.cameras[0]!.sessions.length === 0, 45_000);
    await assertReleased(rig);
  }
});

await t.test('an RTMP publisher is a channel above; a channel that is pushed comes back as inlet; no secret in a log', async t => {
  const pushed = '34020000001310000602';
  const inlets = [
    { id: INLET, name: '推流', kind: 'rtmp', key: INLET_KEY },
    { id: pushed, name: '转推', kind: 'rtmp', key: INLET_KEY },
  ];
  await using setup = await openRig('h265-aac', {}, inlets);
  const { rig, ports } = setup;
  const rowOf = async (id: string) => (await rig.rpc.call('listChannels', {})).rows.find(({ channelId }) => channelId === id);
  t.equal((await rowOf(INLET))?.status, 'OFF');
  const footage = await loadFootage('h264-aac');
  const publishing = ffmpeg('-re', '-r', '25', '-i', footage.videoPath, '-t', '11', '-c', 'copy', '-f', 'flv', `rtmp://127.0.0.1:${ports.rtmp}/inlet/${INLET}?key=${INLET_KEY}`);
  await until('it is ON', async () => (await rowOf(INLET))?.status === 'ON', 15_000);
  const hashes = (await decodePictures(footage.videoPath)).hashes;
  const play = { platform: rig.platforms[0]!, cameraLeg: 'tcp-passive', frames: 60, directory } as const;
  const row = await playOnce({ ...play, upstream: 'city0', channelId: (await rowOf(INLET))!.mapped[0]!.id, upstreamLeg: 'udp', footage }, hashes);
  t.same(row.faults, [], `${row.same}/${row.pictures} pictures`);
  const run = await publishing;
  t.equal(run.stderr, '');
  await until('it is OFF', async () => (await rowOf(INLET))?.status === 'OFF', 10_000);

  const url = `rtmp://127.0.0.1:${ports.rtmp}/inlet/${pushed}?key=${INLET_KEY}`;
  await rig.gateway.rewrite({ ...rig.configOf({}), outlets: { address: '127.0.0.1', httpPort: ports.http, rtmpPort: ports.rtmp, tokenKey: TOKEN_KEY, pushes: [{ channel: setup.channel, url, retryS: 1 }] }, inlets });
  const mediad = await rig.gateway.mediadRpc();
  t.equal((await mediad.call('reload', { sections: [] })).refused, null);
  await until('pushed', async () => (await rowOf(pushed))?.status === 'ON', 20_000);
  await until('it runs', async () => (await mediad.call('counters', {}))['outlet.pushes.running'] === 1, 15_000);
  const camera = await loadFootage('h265-aac');
  const back = await playOnce({ ...play, upstream: 'city0-pushed', channelId: (await rowOf(pushed))!.mapped[0]!.id, upstreamLeg: 'tcp-active', footage: camera }, (await decodePictures(camera.videoPath)).hashes);
  t.same(back.faults, [], `H.265 out and in again: ${back.same}/${back.pictures} pictures`);
  await rig.gateway.rewrite(rig.configOf({}));
  t.equal((await mediad.call('reload', { sections: [] })).refused, null);
  await until('no longer pushed', async () => (await rowOf(pushed))?.status === 'OFF', 10_000);
  t.equal((await mediad.call('counters', {}))['outlet.pushes'], undefined);
  await mediad[Symbol.asyncDispose]();
  t.equal((await fetch(`http://127.0.0.1:${ports.http}/live/${setup.channel}.flv?user=admin&password=canary`)).status, 400, 'fault 90');
  t.equal((await fetch(`http://127.0.0.1:${ports.http}/live/${setup.channel}.flv?token=canary`)).status, 401);
  t.equal((await runTool('grep', ['-c', 'outlet.password-in-url', join(rig.gateway.directory, 'mediad-1.log')])).stdout.trim(), '1', 'it is logged');
  const logs = await runTool('grep', ['-rc', 'canary', rig.gateway.directory, '--include=*.log']);
  t.ok(logs.stdout.split('\n').filter(line => line !== '').every(line => line.endsWith(':0')), logs.stdout);
});
