import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { playOnce } from '../../scripts/demonstration/plays.ts';
import { type FootageName, loadFootage } from '../../scripts/media/footage.ts';
import { decodePictures } from '../../scripts/media/pictures.ts';
import { PlayFailed } from '../../scripts/simulators/platform/platform.ts';
import { FootageUnits } from '../rig/footage-units.ts';
import { assertReleased, openRelayRig, type RelayRig } from '../rig/relay-rig.ts';
import { PASSWORD, USER, openRtspRig, type RtspRig } from '../rig/rtsp-outlet.ts';
import { runTool } from '../rig/run-tool.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';

t.setTimeout(240_000);
const directory = await mkdtemp(join(tmpdir(), 'viewlink-inlets-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));

const DOOR = '34020000001310000501';
const AWAY = '34020000001310000502';
/** Device of all inlets: behind the region of the gateway's own ID. */
const INLETS = '34020000001180999999';

interface Source extends AsyncDisposable {
  readonly rtsp: RtspRig;
  readonly units: FootageUnits;
}

async function openSource(name: FootageName): Promise<Source> {
  const units = new FootageUnits(await loadFootage(name));
  const rtsp = await openRtspRig({ stream: () => units });
  return {
    rtsp,
    units,
    async [Symbol.asyncDispose]() {
      units[Symbol.dispose]();
      await rtsp[Symbol.asyncDispose]();
    },
  };
}

const inlet = (id: string, url: string, more: object = {}): object => ({ id, name: `门口 ${id.slice(-1)}`, kind: 'rtsp', url, username: USER, password: PASSWORD, ...more });

async function openRig(inlets: readonly object[], more: Partial<Parameters<typeof openRelayRig>[0]> = {}): Promise<RelayRig> {
  return openRelayRig({ cameras: [], ...more, sections: { inlets, ...more.sections } as never });
}

/** ID by which the platform knows the inlet. */
async function upstreamId(rig: RelayRig, id: string): Promise<string> {
  const { rows } = await rig.rpc.call('listChannels', {});
  return rows.find(({ channelId }) => channelId === id)!.mapped[0]!.id;
}

const statusOf = async (rig: RelayRig, id: string): Promise<string | undefined> => (await rig.rpc.call('listChannels', {})).rows.find(({ channelId }) => channelId === id)?.status;

await t.test('an RTSP camera is a channel of a platform above, picture for picture', async t => {
  for (const [name, transport, upstreamLeg] of [['h264-g711a', 'tcp', 'udp'], ['h265-aac', 'udp', 'tcp-active']] as const) {
    await using source = await openSource(name);
    await using rig = await openRig([inlet(DOOR, source.rtsp.bareUrl, { transport }), inlet(AWAY, `rtsp://127.0.0.1:${await freePort()}/x`)]);
    await until('the camera is there', async () => (await statusOf(rig, DOOR)) === 'ON', 10_000);
    t.equal(await statusOf(rig, AWAY), 'OFF');
    const footage = await loadFootage(name);
    const hashes = (await decodePictures(footage.videoPath)).hashes;
    const row = await playOnce({ platform: rig.platforms[0]!, upstream: `city0-${name}`, channelId: await upstreamId(rig, DOOR), cameraLeg: 'tcp-active', upstreamLeg, footage, frames: 60, directory }, hashes);
    t.same(row.faults, [], `${name} ${transport}: ${row.same}/${row.pictures} pictures, first after ${Math.round(row.firstFrameMs ?? -1)} ms`);
    await assertReleased(rig);
    await until('the camera is left', () => source.rtsp.leases.size === 0);
    const failure = await rig.platforms[0]!.play(await upstreamId(rig, AWAY), { transport: 'udp' }).then(() => undefined, (error: unknown) => error);
    t.ok(failure instanceof PlayFailed, 'nobody is there: the upstream is told');
  }
});

await t.test('many viewers, one pull; the state goes up; a restart of the signalling leaves the pictures alone', async t => {
  const source = await openSource('h264');
  await using rig = await openRig([inlet(DOOR, source.rtsp.bareUrl)], { devices: { media: { lingerS: 1 } } });
  await until('the camera is there', async () => (await statusOf(rig, DOOR)) === 'ON', 10_000);
  const id = await upstreamId(rig, DOOR);
  const platform = rig.platforms[0]!;
  const first = await platform.play(id, { transport: 'udp' });
  await first.waitFrames(10);
  const second = await platform.play(id, { transport: 'tcp-passive' });
  await second.waitFrames(30);
  t.equal(source.rtsp.leases.size, 1, 'the camera is pulled once');
  const [session] = await rig.rpc.call('listSessions', {});
  t.match(session, { deviceId: INLETS, channelId: DOOR, bridge: { source: { state: 'flowing', codecs: ['h264'] } } });
  const devices = await rig.rpc.call('listDevices', {});
  t.match(devices.find(({ id: device }) => device === INLETS), { state: 'online', channels: 1 });
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  const before = first.report.frames;
  await first.waitFrames(before + 40);
  t.equal(source.rtsp.leases.size, 1);
  t.equal(source.rtsp.counters.get('rtsp.play'), 1, 'it was not pulled anew');
  t.same([first.report.damaged, first.report.lost], [0, 0]);
  await second.stop();
  await first.stop();
  await until('left when nobody watches', () => source.rtsp.leases.size === 0);
  await assertReleased(rig);
  const why = await rig.rpc.call('why', { channel: DOOR, probe: true }, { timeoutMs: 60_000 });
  t.equal(why.verdict, 'playable', JSON.stringify(why.steps));
  await source[Symbol.asyncDispose]();
  await until('the camera is away', async () => (await statusOf(rig, DOOR)) === 'OFF', 60_000);
});

await t.test('why an inlet does not play; its sub-stream is a stream of its own', async t => {
  await using source = await openSource('h264');
  await using sub = await openSource('h265');
  const wrong = '34020000001310000504';
  const rtspPort = await freePort();
  await using rig = await openRig([inlet(DOOR, source.rtsp.bareUrl, { subUrl: sub.rtsp.bareUrl }), inlet(AWAY, `rtsp://127.0.0.1:${await freePort()}/x`), inlet(wrong, source.rtsp.bareUrl, { password: 'wrong' })], { sections: { outlets: { address: '127.0.0.1', rtspPort, tokenKey: 'k'.repeat(32) } } });
  await until('both cameras are there', async () => (await statusOf(rig, DOOR)) === 'ON' && (await statusOf(rig, wrong)) === 'ON', 10_000);
  const why = (channel: string) => rig.rpc.call('why', { channel, probe: true }, { timeoutMs: 60_000 });
  t.match(await why(AWAY), { verdict: 'broken', firstBroken: 'register', steps: [{}, { says: /does not answer at rtsp:\/\/127.0.0.1:\d+\/x over tcp: .*ECONNREFUSED/ }] });
  t.match((await why(wrong)).steps.at(-1), { step: 'invite', verdict: 'broken', says: /refused the user or password/ });
  t.equal((await why(DOOR)).verdict, 'playable');
  t.notMatch(JSON.stringify(await why(wrong)), /wrong-secret|"wrong"/, 'no password in it');
  const mediad = await rig.gateway.mediadRpc();
  const { urls } = await mediad.call('outletUrls', { channel: DOOR, streamNumber: 1, minutes: 5 });
  const probe = await runTool('ffprobe', ['-v', 'warning', '-rtsp_transport', 'tcp', '-show_entries', 'stream=codec_name', '-of', 'compact=p=0:nk=1', urls[0]!.url]);
  t.equal(probe.stdout.trim(), 'hevc', probe.stderr);
  await mediad[Symbol.asyncDispose]();
  await assertReleased(rig);
});

await t.test('a channel is watched at the outlet while it is played above', async t => {
  await using source = await openSource('h264-g711a');
  const rtspPort = await freePort();
  await using rig = await openRig([inlet(DOOR, source.rtsp.bareUrl)], { sections: { outlets: { address: '127.0.0.1', rtspPort, tokenKey: 'k'.repeat(32) } } });
  await until('the camera is there', async () => (await statusOf(rig, DOOR)) === 'ON', 10_000);
  const play = await rig.platforms[0]!.play(await upstreamId(rig, DOOR), { transport: 'udp' });
  await play.waitFrames(20);
  const mediad = await rig.gateway.mediadRpc();
  t.teardown(() => mediad[Symbol.asyncDispose]());
  const { urls } = await mediad.call('outletUrls', { channel: DOOR, streamNumber: 0, minutes: 5 });
  const run = await runTool('ffmpeg', ['-nostdin', '-v', 'warning', '-rtsp_transport', 'tcp', '-i', urls[0]!.url, '-t', '2', '-f', 'null', '-']);
  t.same([run.code, run.stderr], [0, '']);
  t.equal(source.rtsp.leases.size, 1, 'one pull for both');
  await play.stop();
  await assertReleased(rig);
});

await t.test('the configuration takes inlets and gives them back without a restart', async t => {
  await using source = await openSource('h264');
  await using rig = await openRig([inlet(AWAY, `rtsp://127.0.0.1:${await freePort()}/x`)]);
  await rig.gateway.rewrite({ ...rig.configOf({}), inlets: [inlet(DOOR, source.rtsp.bareUrl)] as never });
  t.equal((await rig.rpc.call('reload', { sections: [] })).refused, null);
  const mediad = await rig.gateway.mediadRpc();
  t.teardown(() => mediad[Symbol.asyncDispose]());
  await mediad.call('reload', { sections: [] });
  await until('the new one is there', async () => (await statusOf(rig, DOOR)) === 'ON', 10_000);
  t.equal(await statusOf(rig, AWAY), undefined);
  const play = await rig.platforms[0]!.play(await upstreamId(rig, DOOR), { transport: 'udp' });
  await play.waitFrames(10);
  await play.stop();
});

await t.test('what is published over RTMP is a channel as long as somebody publishes it, in whichever media process', async t => {
  const rtmpPort = await freePort();
  const id = '34020000001310000503';
  const key = 'publisher-of-the-tests';
  await using rig = await openRig([{ id, name: '直播', kind: 'rtmp', key }], { instances: 2, sections: { outlets: { address: '127.0.0.1', rtmpPort } } });
  t.equal(await statusOf(rig, id), 'OFF');
  const footage = await loadFootage('h264');
  const publish = (port: number): ReturnType<typeof spawn> =>
    spawn('ffmpeg', ['-nostdin', '-v', 'error', '-re', '-stream_loop', '-1', '-framerate', '25', '-i', footage.videoPath, '-c', 'copy', '-f', 'flv', `rtmp://127.0.0.1:${port}/inlet/${id}?key=${key}`], { stdio: 'ignore' });
  for (const instance of [2, 1]) {
    const publisher = publish(rtmpPort + instance - 1);
    await until('it is there', async () => (await statusOf(rig, id)) === 'ON', 15_000);
    const recordTo = join(directory, `rtmp-${instance}`);
    const play = await rig.platforms[0]!.play(await upstreamId(rig, id), { transport: 'udp', recordTo });
    await play.waitFrames(60);
    const [session] = await rig.rpc.call('listSessions', {});
    t.equal(session?.instance, String(instance), 'where it is published');
    const { files, damaged, lost } = await play.stop();
    t.same({ damaged, lost }, { damaged: 0, lost: 0 });
    const got = await decodePictures(files.ps!);
    const source = (await decodePictures(footage.videoPath)).hashes;
    t.same([got.hashes.filter(hash => !source.includes(hash)), got.complaints], [[], []]);
    publisher.kill('SIGKILL');
    await until('it is gone', async () => (await statusOf(rig, id)) === 'OFF', 15_000);
  }
  const failure = await rig.platforms[0]!.play(await upstreamId(rig, id), { transport: 'udp' }).then(() => undefined, (error: unknown) => error);
  t.ok(failure instanceof PlayFailed);
  await assertReleased(rig);
});
