/** The simulated camera's recordings, played by the simulated platform without a gateway between: what later tests stand on. */
import t from 'tap';
import { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import type { Quirk } from '../../scripts/simulators/camera/quirks.ts';
import { Platform } from '../../scripts/simulators/platform/platform.ts';
import type { Play } from '../../scripts/simulators/platform/play.ts';

const PASSWORD = 'recordings';
const START_S = 1_773_100_800;

async function open(test: { teardown(work: () => Promise<void>): void }, quirks: readonly Quirk[] = []): Promise<{ platform: Platform; channelId: string }> {
  const platform = await Platform.open({ password: PASSWORD });
  const camera = await CameraSimulator.open({ id: '34020000001180000001', platform: { id: platform.id, address: platform.address, port: platform.port }, password: PASSWORD, quirks: [...quirks] });
  test.teardown(async () => {
    await camera[Symbol.asyncDispose]();
    await platform[Symbol.asyncDispose]();
  });
  await platform.waitRegistered(camera.device.id);
  return { platform, channelId: camera.device.channels[0]!.id };
}

const newest = (play: Play): number => play.arrivals.at(-1)?.pts90k ?? 0;
const later = async (play: Play, frames: number): Promise<void> => play.waitFrames(play.report.frames + frames);

t.test('a recording plays to its end, then MediaStatus', async t => {
  const { platform, channelId } = await open(t);
  const play = await platform.play(channelId, { transport: 'udp', history: { startS: START_S, stopS: START_S + 2 } });
  t.match(await play.waitMessage(), { root: 'Notify', cmdType: 'MediaStatus', deviceId: channelId });
  t.match(play.answer, { sessionName: 'Playback', time: { startS: START_S, stopS: START_S + 2 }, uri: `${channelId}:0` });
  const { frames, damaged } = await play.stop();
  t.ok(Math.abs(frames - 50) <= 1, `${frames} pictures of two seconds`);
  t.equal(damaged, 0);
});

t.test('faster, elsewhere, stopped and on, backwards', async t => {
  const { platform, channelId } = await open(t);
  const play = await platform.play(channelId, { transport: 'udp', history: { startS: START_S, stopS: START_S + 600 } });
  await play.waitFrames(5);
  t.match(await play.steer({ method: 'PLAY', scale: 4 }), { status: 200, answer: { kind: 'response', status: 200, scale: 4 } });
  const before = play.report.frames;
  const at = performance.now();
  await later(play, 100);
  t.ok((play.report.frames - before) / (performance.now() - at) > 0.06, 'more than the 25 pictures a second of real time');
  await play.steer({ method: 'PLAY', range: { from: 300, to: undefined } });
  await later(play, 30);
  t.ok(newest(play) - play.arrivals[0]!.pts90k > 300 * 90_000, 'time stamps say where');
  await play.steer({ method: 'PAUSE' });
  t.same((await play.steer({ method: 'PAUSE' })).status, 200);
  const paused = play.report.packets;
  await play.steer({ method: 'PLAY', range: { from: 'now', to: undefined } });
  await later(play, 5);
  t.ok(play.report.packets > paused);
  await play.steer({ method: 'PLAY', scale: -8 });
  const there = newest(play);
  await later(play, 10);
  t.ok(newest(play) < there, 'time goes back');
  await play.steer({ method: 'TEARDOWN' });
  t.match(await play.waitEnded(), /BYE/);
});

t.test('a download is faster and says how much comes', async t => {
  const { platform, channelId } = await open(t);
  const play = await platform.play(channelId, { transport: 'tcp-passive', history: { startS: START_S, stopS: START_S + 8, downloadSpeed: 8 } });
  t.equal(play.answer?.media.fileSize, 8 * 250_000);
  await play.waitMessage(6000);
  const { frames, lost } = await play.stop();
  t.ok(Math.abs(frames - 200) <= 1, `${frames} pictures of eight seconds`);
  t.equal(lost, 0);
});

t.test('recorders that cannot, or that end otherwise', async t => {
  const cannot = await open(t, ['no-scale', 'recording-ends-with-bye']);
  const play = await cannot.platform.play(cannot.channelId, { transport: 'udp', history: { startS: START_S, stopS: START_S + 1 } });
  t.equal((await play.steer({ method: 'PLAY', scale: 2 })).status, 400);
  t.match(await play.waitEnded(), /BYE/);
  const outside = await open(t, ['media-status-outside', 'bare-info-answer']);
  const other = await outside.platform.play(outside.channelId, { transport: 'udp', history: { startS: START_S, stopS: START_S + 1 } });
  t.same(await other.steer({ method: 'PLAY', scale: 1 }), { status: 200, answer: undefined });
  await other.waitFrames(20);
  t.equal(other.messages.length, 0);
  await other.stop();
});
