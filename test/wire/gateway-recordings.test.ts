/** Recordings through the real daemons: played, steered, downloaded, ended in every way, between simulators of both sides. */
import t from 'tap';
import { LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import type { Quirk } from '../../scripts/simulators/camera/quirks.ts';
import type { Play, PlayFailed } from '../../scripts/simulators/platform/play.ts';
import type { PlayTransport } from '../../scripts/simulators/platform/receivers.ts';
import { type RelayRig, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

const START_S = 1_773_100_800;
const TRANSPORTS: readonly PlayTransport[] = ['udp', 'tcp-passive', 'tcp-active'];
const span = (seconds: number) => ({ startS: START_S, stopS: START_S + seconds });
const camera = (number: number, quirks: readonly Quirk[] = []) => ({ id: `3402000000118000000${number}`, channels: 1, quirks: [...quirks] });
const counters = (rig: RelayRig): Promise<Record<string, number>> => rig.rpc.call('counters', {});
const sessionOf = (rig: RelayRig, at: number) => [...rig.cameras[at]!.device.sessions][0];

/** Pictures from now on. */
const more = (play: Play, frames: number): Promise<void> => play.waitFrames(play.report.frames + frames);
const newest = (play: Play): number => play.arrivals.at(-1)!.pts90k;

await t.test('all nine pairs of legs', async t => {
  for (const below of TRANSPORTS) {
    await using rig = await openRelayRig({ cameras: [camera(1)], devices: { media: { transport: below } } });
    const platform = rig.platforms[0]!;
    const plays = await Promise.all(TRANSPORTS.map(transport => platform.play(rig.idOf(0, 0), { transport, history: span(2) })));
    for (const play of plays) {
      t.match(play.answer, { sessionName: 'Playback', time: span(2) });
      t.match(await play.waitMessage(), { root: 'Notify', cmdType: 'MediaStatus', deviceId: rig.idOf(0, 0) });
      const { frames, damaged, lost, ssrcMismatch } = await play.stop();
      t.ok(Math.abs(frames - 50) <= 1, `${below} below: ${frames} pictures of two seconds`);
      t.same([damaged, lost, ssrcMismatch], [0, 0, 0]);
    }
    t.match(await counters(rig), { 'recording.playback': 3, 'recording.ended': 3 });
    await until('nothing is left', async () => (await rig.rpc.call('listSessions', {})).length === 0 && rig.cameras[0]!.device.sessions.size === 0);
  }
});

await t.test('steered: what the camera hears is what the operator did', async t => {
  await using rig = await openRelayRig({ cameras: [camera(1)] });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp', history: span(600) });
  await play.waitFrames(5);
  t.match(await play.steer({ method: 'PLAY', scale: 4 }), { status: 200, answer: { kind: 'response', status: 200, cseq: 1, scale: 4 } });
  await more(play, 60);
  t.match(await play.steer({ method: 'PLAY', range: { from: 300, to: undefined } }), { status: 200, answer: { cseq: 2 } });
  const first = play.arrivals[0]!.pts90k;
  await until('it is there', () => newest(play) - first > 299 * 90_000);
  t.match((await rig.rpc.call('listSessions', {}))[0], { recording: { kind: 'Playback', startS: START_S, stopS: START_S + 600, scale: 4, state: 'playing' } });
  await play.steer({ method: 'PAUSE' });
  t.match((await rig.rpc.call('listSessions', {}))[0], { recording: { state: 'paused' } });
  await play.steer({ method: 'PLAY', range: { from: 'now', to: undefined } });
  await more(play, 5);
  const there = newest(play);
  await play.steer({ method: 'PLAY', scale: -8 });
  await until('time goes back', () => newest(play) < there);
  t.same(sessionOf(rig, 0)!.steered.map(body => body.split('\r\n')[0]), ['PLAY RTSP/1.0', 'PLAY RTSP/1.0', 'PAUSE RTSP/1.0', 'PLAY RTSP/1.0', 'PLAY RTSP/1.0']);
  t.match(sessionOf(rig, 0)!.steered[1], /Range: npt=300-/);
  t.equal(play.report.damaged, 0);
  await play.steer({ method: 'TEARDOWN' });
  t.match(await play.waitEnded(), /BYE/);
});

await t.test('a pause longer than the limit of silence is no end', async t => {
  await using rig = await openRelayRig({ cameras: [camera(1)], devices: { media: { silenceS: 2 } } });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'tcp-passive', history: span(600) });
  await play.waitFrames(5);
  await play.steer({ method: 'PAUSE' });
  await until('mediad saw the silence', async () => (await counters(rig))['recording.steer.PAUSE'] === 1 && (await rig.rpc.call('listSessions', {}))[0]?.bridge?.source.state === 'silent', 10_000);
  await play.steer({ method: 'PLAY', range: { from: 'now', to: undefined } });
  await more(play, 10);
  t.equal(play.report.ended, undefined);
  await play.stop();
});

await t.test('a download: size, pace, and the end', async t => {
  await using rig = await openRelayRig({ cameras: [camera(1)] });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'tcp-passive', history: { ...span(8), downloadSpeed: 8 } });
  t.equal(play.answer?.media.fileSize, 8 * 250_000);
  t.equal(play.answer?.sessionName, 'Download');
  await play.waitMessage(6000);
  const { frames, lost } = await play.stop();
  t.ok(Math.abs(frames - 200) <= 1, `${frames} pictures of eight seconds`);
  t.equal(lost, 0);
});

await t.test('recorders that refuse, say nothing, or end otherwise', async t => {
  const quirks: readonly Quirk[][] = [['no-scale', 'recording-ends-with-bye'], ['no-info-answer', 'recording-ends-silently'], ['bare-info-answer', 'media-status-outside']];
  await using rig = await openRelayRig({ cameras: quirks.map((each, index) => camera(index + 1, each)), devices: { media: { silenceS: 2 } } });
  const platform = rig.platforms[0]!;
  const [refuses, silent, outside] = await Promise.all(quirks.map((_, index) => platform.play(rig.idOf(index, 0), { transport: 'udp', history: span(5) })));
  await Promise.all([refuses, silent, outside].map(play => play!.waitFrames(3)));
  t.same(await refuses!.steer({ method: 'PLAY', scale: 2 }), { status: 400, answer: undefined }, 'a refusal stays one');
  t.match(await outside!.steer({ method: 'PLAY', scale: 1 }), { status: 200, answer: { status: 200, cseq: 1 } }, 'a bare 200 gets the body that the platform waits for');
  const unanswered = silent!.steer({ method: 'PLAY', scale: 1 });
  t.match(await refuses!.waitMessage(), { cmdType: 'MediaStatus' }, 'BYE of the recorder');
  t.match(await refuses!.waitEnded(), /BYE/);
  t.match(await outside!.waitMessage(), { cmdType: 'MediaStatus', deviceId: rig.idOf(2, 0) }, 'MediaStatus outside the dialog');
  t.match(await silent!.waitMessage(), { cmdType: 'MediaStatus' }, 'silence where it should end');
  t.equal((await unanswered).status, 504, 'nothing that ends the dialog');
  await Promise.all([silent!.stop(), outside!.stop()]);
  t.match(await counters(rig), { 'recording.steer-rejected': 1, 'recording.steer-unanswered': 1, 'recording.ended': 3 });
});

await t.test('a recorder that cannot be steered is not asked', async t => {
  await using rig = await openRelayRig({ cameras: [camera(1)], devices: { known: [{ id: camera(1).id, password: LAB_PASSWORD, dialect: 'hikvision-recorder' }] } });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp', history: span(60) });
  await play.waitFrames(5);
  t.match(await play.steer({ method: 'PLAY', scale: 2 }), { status: 501, answer: { status: 501 } });
  t.same(sessionOf(rig, 0)!.steered, []);
  await play.stop();
});

await t.test('a recorder that goes offline in the middle: the platform is hung up on and not told that it has all', async t => {
  await using rig = await openRelayRig({ cameras: [camera(1)] });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp', history: span(600) });
  await play.waitFrames(5);
  await rig.cameras[0]!.device.registration.stop(true);
  t.match(await play.waitEnded(), /BYE/);
  t.same(play.messages, []);
  t.equal((await counters(rig))['recording.ended'] ?? 0, 0);
  t.equal(await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp', history: span(600) }).then(() => 200, (error: unknown) => (error as PlayFailed).status), 480, 'and where it is offline, that is said');
});

await t.test('what is asked wrongly', async t => {
  await using rig = await openRelayRig({ cameras: [camera(1)] });
  const platform = rig.platforms[0]!;
  for (const history of [{ startS: 0, stopS: 0 }, { startS: START_S, stopS: START_S - 5 }]) {
    t.equal(await platform.play(rig.idOf(0, 0), { transport: 'udp', history }).then(() => 200, (error: unknown) => (error as PlayFailed).status), 400);
  }
  const live = await platform.play(rig.idOf(0, 0), { transport: 'udp' });
  const recorded = await platform.play(rig.idOf(0, 0), { transport: 'udp', history: span(60) });
  await Promise.all([live.waitFrames(5), recorded.waitFrames(5)]);
  t.equal(rig.cameras[0]!.device.counters.invites, 2, 'a recording is nobody else\'s source');
  t.match(await live.steer({ method: 'PAUSE' }), { status: 200, answer: { status: 455 } }, 'nothing that ends its dialog');
  await Promise.all([live.stop(), recorded.stop()]);
});

await t.test('a restart of sipd: the recording goes on, is steered and ends as before', async t => {
  await using rig = await openRelayRig({ cameras: [camera(1)] });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp', history: span(8) });
  await play.waitFrames(5);
  const ready = rig.gateway.sipd.next(line => line.msg === 'sipd.ready');
  rig.gateway.sipd.signal('SIGKILL');
  await ready;
  await rig.reconnect();
  t.equal((await play.steer({ method: 'PLAY', scale: 2 })).status, 200);
  t.match(await play.waitMessage(), { cmdType: 'MediaStatus' });
  const { lost, damaged } = await play.stop();
  t.same([lost, damaged], [0, 0]);
});

await t.test('a restart of sipd after what the recorder refused: it is hung up on with a number that it has not heard yet', async t => {
  await using rig = await openRelayRig({ cameras: [camera(1, ['no-scale'])] });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp', history: span(600) });
  await play.waitFrames(5);
  for (let i = 0; i < 3; i++) t.equal((await play.steer({ method: 'PLAY', scale: 2 })).status, 400);
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  await play.stop();
  await until('the recorder has ended it', () => rig.cameras[0]!.device.sessions.size === 0);
});
