import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { LEGS, playOnce } from '../../scripts/demonstration/plays.ts';
import { prepareFootage } from '../../scripts/media/footage.ts';
import { decodePictures } from '../../scripts/media/pictures.ts';
import { PlayFailed } from '../../scripts/simulators/platform/platform.ts';
import { assertReleased, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(180_000);
const directory = await mkdtemp(join(tmpdir(), 'viewlink-legs-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));
const footage = await prepareFootage();
const clipOf = (name: string): (typeof footage)[number] => footage.find(each => each.name === name)!;

await t.test('nine leg combinations carry H.264 and H.265 picture for picture', async t => {
  const names = ['h264-g711a', 'h265-aac'] as const;
  await using rig = await openRelayRig({ cameras: names.map(name => ({ footage: name, channels: LEGS.length, transport: name === 'h264-g711a' ? ('udp' as const) : ('tcp' as const) })) });
  for (const cameraLeg of LEGS) {
    await rig.rewrite({ devices: { media: { lingerS: 0, transport: cameraLeg } } });
    const plays = names.flatMap((name, camera) =>
      LEGS.map(async (upstreamLeg, channel) => {
        const source = await decodePictures(clipOf(name).videoPath);
        const wanted = { platform: rig.platforms[0]!, upstream: 'city0', channelId: rig.idOf(camera, channel), cameraLeg, upstreamLeg, footage: clipOf(name), frames: 40, directory };
        const row = await playOnce(wanted, source.hashes);
        t.same(row.faults, [], `${cameraLeg} -> ${upstreamLeg}, ${name}: ${row.same}/${row.pictures} pictures, first after ${Math.round(row.firstFrameMs ?? -1)} ms`);
      }),
    );
    await Promise.all(plays);
  }
  await assertReleased(rig);
});

await t.test('one camera, many viewers: one INVITE below, the last one out closes it', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }], platforms: 2, devices: { media: { lingerS: 1 } } });
  const device = rig.cameras[0]!.device;
  const [first, second] = rig.platforms;
  const a = await first!.play(rig.idOf(0, 0, 0), { transport: 'udp' });
  await a.waitFrames(10);
  const b = await second!.play(rig.idOf(0, 0, 1), { transport: 'tcp-passive' });
  const c = await second!.play(rig.idOf(0, 0, 1), { transport: 'tcp-active' });
  await Promise.all([b.waitFrames(60), c.waitFrames(60)]);
  t.equal(device.counters.invites, 1, 'the camera was asked once');
  const sessions = await rig.rpc.call('listSessions', {});
  t.equal(sessions.length, 3);
  t.equal(new Set(sessions.map(session => session.bridgeId)).size, 1);
  t.equal(sessions[0]!.bridge?.sinks.length, 3);
  await a.stop();
  await b.stop();
  await c.waitFrames(c.report.frames + 20);
  t.equal(device.sessions.size, 1, 'two went, the third sees on');
  const { damaged, lost } = await c.stop();
  t.same({ damaged, lost }, { damaged: 0, lost: 0 });
  t.equal(device.sessions.size, 1, 'the source lingers');
  const d = await first!.play(rig.idOf(0, 0, 0), { transport: 'udp' });
  await d.waitFrames(5);
  t.equal(device.counters.invites, 1, 'who comes within the linger joins the running source');
  await d.stop();
  await until('the camera gets BYE after the linger', () => device.sessions.size === 0, 5000);
  await assertReleased(rig);
});

await t.test('cameras that do it their own way still play', async t => {
  const udp = ['own-ssrc', 'own-y', 'no-y', 'null-y', 'short-y', 'garbage-f', 'setup-on-udp', 'other-payload-type', 'no-contact-in-200', 'content-length-zero', 'header-spaces', 'lf-sdp', 'early-media', 'slow-answer', 'rtp-extension', 'marker-never', 'ssrc-restart'] as const;
  const tcp = ['big-frames', 'dollar-framing', 'zero-length-frames', 'garbage-start', 'tcp-once', 'port-9'] as const;
  await using rig = await openRelayRig({
    cameras: [...udp, ...tcp].map((quirk, index) => ({ id: `340200000011800001${String(index).padStart(2, '0')}`, channels: 1, quirks: [quirk], channelList: [{ id: `340200000013200001${String(index).padStart(2, '0')}`, name: quirk, online: true }] })),
    devices: { known: tcp.map((_, index) => ({ id: `340200000011800001${String(udp.length + index)}`, password: 'lab-device-secret', transport: 'tcp-passive' })) },
  });
  await Promise.all(
    [...udp, ...tcp].map(async (quirk, index) => {
      const frames = quirk === 'ssrc-restart' ? 130 : 30;
      const play = await rig.platforms[0]!.play(rig.idOf(index, 0), { transport: index % 2 === 0 ? 'udp' : 'tcp-passive' });
      await play.waitFrames(frames, 20_000);
      const report = await play.stop();
      t.equal(report.seenSsrc, report.expectedSsrc, `${quirk}: SSRC toward the upstream is the agreed one`);
      t.equal(report.lost, 0, `${quirk}: no gap toward the upstream`);
      if (quirk !== 'marker-never') t.equal(report.damaged, 0, `${quirk}: no damaged picture`);
    }),
  );
  await assertReleased(rig);
});

await t.test('whatever goes wrong, both dialogs and all ports are released', async t => {
  const quirks = ['reject-486', 'no-answer', 'never-sends', 'stops-sending', 'hangs-up', 'no-bye-answer', 'third-party-media', 'answers-active', 'never-connects', 'closes-tcp'] as const;
  const id = (index: number): string => `340200000011800002${String(index).padStart(2, '0')}`;
  const transportOf = (quirk: (typeof quirks)[number]): string => (quirk === 'answers-active' ? 'tcp-active' : quirk === 'never-connects' || quirk === 'closes-tcp' ? 'tcp-passive' : 'udp');
  await using rig = await openRelayRig({
    cameras: quirks.map((quirk, index) => ({ id: id(index), quirks: [quirk], channelList: [{ id: `340200000013200002${String(index).padStart(2, '0')}`, name: quirk, online: true }] })),
    devices: {
      media: { lingerS: 0, inviteTimeoutS: 2, firstPacketS: 2, silenceS: 2 },
      known: quirks.map((quirk, index) => ({ id: id(index), password: 'lab-device-secret', transport: transportOf(quirk) })),
    },
  });
  const outcome = async (index: number): Promise<string> => {
    try {
      const play = await rig.platforms[0]!.play(rig.idOf(index, 0), { transport: 'udp' });
      return await play.waitEnded(12_000);
    } catch (error) {
      return error instanceof PlayFailed ? String(error.status) : (error as Error).message;
    }
  };
  const ends = await Promise.all(quirks.map((quirk, index) => (quirk === 'no-bye-answer' ? Promise.resolve('played') : outcome(index))));
  t.match(Object.fromEntries(quirks.map((quirk, index) => [quirk, ends[index]])), {
    'reject-486': '486',
    'no-answer': '408',
    'never-sends': /BYE/,
    'stops-sending': /BYE/,
    'hangs-up': /BYE/,
    'third-party-media': '486',
    'answers-active': '486',
    'never-connects': /BYE/,
    'closes-tcp': /BYE/,
  });
  const silent = await rig.platforms[0]!.play(rig.idOf(quirks.indexOf('no-bye-answer'), 0), { transport: 'udp' });
  await silent.waitFrames(5);
  await silent.stop();
  await assertReleased(rig, 10_000);
});

await t.test('upstreams that misbehave cost nothing', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 8 }], media: { connectTimeoutS: 1 } });
  const platform = rig.platforms[0]!;
  for (const mischief of ['cancel-at-once', 'cancel-after-100', 'cancel-crossing'] as const) {
    await platform.play(rig.idOf(0, 0), { transport: 'udp', mischief: [mischief] }).then(
      play => play.stop(),
      (error: unknown) => t.ok(error instanceof PlayFailed, `${mischief}: ${(error as Error).message}`),
    );
  }
  const glare = await platform.play(rig.idOf(0, 1), { transport: 'udp', mischief: ['bye-glare'] });
  await glare.waitFrames(5);
  await rig.cameras[0]!.device.sessions.values().next().value!.stop();
  await glare.waitEnded();
  const connects = await platform.play(rig.idOf(0, 2), { transport: 'tcp-active', mischief: ['never-connects'] });
  t.match(await connects.waitEnded(), /BYE/, 'an upstream that never connects gets BYE');
  const closes = await platform.play(rig.idOf(0, 3), { transport: 'tcp-passive', mischief: ['closes-tcp'] });
  t.match(await closes.waitEnded(), /BYE/, 'one that closes its media connection too');
  const late = await platform.play(rig.idOf(0, 4), { transport: 'udp', mischief: ['late-ack'] });
  await late.waitFrames(5);
  await late.stop();
  const again = await platform.play(rig.idOf(0, 5), { transport: 'udp', mischief: ['duplicate-invite'] });
  await again.waitFrames(5);
  t.equal((await rig.rpc.call('listSessions', {})).length, 1, 'a repeated INVITE is one session');
  await again.stop();
  for (const [mischief, status] of [['third-party-address', 488], ['unspecified-address', 488], ['zero-port', 488], ['odd-port', 488], ['long-y', 488]] as const) {
    const answered = await platform.play(rig.idOf(0, 6), { transport: 'udp', mischief: [mischief] }).then(() => 200, (error: unknown) => (error as PlayFailed).status);
    t.equal(answered, status, mischief);
  }
  for (const mischief of ['no-y', 'no-subject', 'many-payloads'] as const) {
    const play = await platform.play(rig.idOf(0, 7), { transport: 'udp', mischief: [mischief] });
    await play.waitFrames(3);
    await play.stop();
    t.pass(`${mischief} plays`);
  }
  const unacked = await platform.play(rig.idOf(0, 6), { transport: 'udp', mischief: ['no-ack'] });
  t.match(await unacked.waitEnded(40_000), /BYE/, 'no ACK in 64*T1 ends in BYE');
  await assertReleased(rig);
});
