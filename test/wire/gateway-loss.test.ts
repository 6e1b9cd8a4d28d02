/** A camera leg that loses packets: what the upstream sees, what the camera is asked, what is told (faults 57, 58; design.md 7). */
import t from 'tap';
import { assertReleased, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(120_000);
const QUIRKS = ['loss'] as const;
/** The leg stays what it is: another transport is another test's. */
const devices = { media: { lingerS: 0, tcpForS: 0 } };

await t.test('1 % lost: whole pictures only, and the camera is asked for key pictures', async t => {
  await using rig = await openRelayRig({ devices, cameras: [{ channels: 1, quirks: QUIRKS, footage: 'h264-g711a' }, { channels: 1, quirks: QUIRKS, version: '2022', footage: 'h265-aac' }] });
  const plays = await Promise.all(rig.cameras.map((_, camera) => rig.platforms[0]!.play(rig.idOf(camera, 0), { transport: 'udp' })));
  await until('freezes that ended', async () => (await rig.rpc.call('listSessions', {})).every(({ bridge }) => (bridge?.gate?.freezes ?? 0) >= 3 && bridge!.gate!.keyPictures > 3), 60_000);
  const sessions = await rig.rpc.call('listSessions', {});
  for (const { bridge } of sessions) {
    t.ok(bridge!.source.lost > 0);
    t.ok(bridge!.gate!.frozenMs > 0 && bridge!.gate!.picturesDropped > 0);
  }
  for (const [camera, play] of plays.entries()) {
    const report = await play.stop();
    t.match(report, { damaged: 0, lost: 0, reordered: 0 }, 'numbers without a gap, pictures without a hole');
    t.ok(report.frames > 0);
    const { device } = rig.cameras[camera]!;
    t.ok(device.counters.keyFrameRequests > 0);
    t.equal(device.controls.at(-1)!.command, camera === 0 ? 'IFameCmd' : 'IFrameCmd');
  }
  t.ok(((await rig.rpc.call('counters', {}))['key-picture.loss'] ?? 0) > 0);
  await assertReleased(rig);
});

await t.test('an upstream that wants everything as it comes gets it so', async t => {
  await using rig = await openRelayRig({ devices, cameras: [{ channels: 1, quirks: QUIRKS }], upstream: { pictures: 'as-received' } });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await until('loss above', () => play.report.lost > 2, 30_000);
  t.equal((await rig.rpc.call('listSessions', {}))[0]!.bridge!.gate, null);
  t.ok((await play.stop()).damaged > 0);
  await assertReleased(rig);
});
