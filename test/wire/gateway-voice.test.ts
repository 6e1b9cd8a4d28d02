/** Voice from a platform to a loudspeaker, through the real daemons and the simulators of both sides. */
import t from 'tap';
import { toLaw } from '#core/media/g711.ts';
import { LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import { voicePayload } from '../../scripts/simulators/platform/microphone.ts';
import type { PlayTransport } from '../../scripts/simulators/platform/receivers.ts';
import type { PlayFailed } from '../../scripts/simulators/platform/platform.ts';
import { openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

const TRANSPORTS: readonly PlayTransport[] = ['udp', 'tcp-passive', 'tcp-active'];

/** What was heard is what was said, from some packet on and without a gap. */
function isSpeech(heard: readonly Uint8Array[]): boolean {
  const first = heard[0]?.[2] ?? 0;
  return heard.length > 0 && heard.every((payload, index) => Buffer.compare(payload, voicePayload(first + index)) === 0);
}

await t.test('every pair of legs: heard as it was said, ended by who spoke', async t => {
  for (const above of TRANSPORTS) {
    await using rig = await openRelayRig({ cameras: [{ channels: 1 }], upstream: { voiceTransport: above } });
    const [platform, speaker] = [rig.platforms[0]!, rig.cameras[0]!.device.loudspeaker];
    for (const below of TRANSPORTS) {
      speaker.transport = below;
      speaker.heard.length = 0;
      speaker.ended = undefined;
      const { result, microphone } = await platform.speak(rig.idOf(0, 0));
      t.match(result, { root: 'Response', cmdType: 'Broadcast', deviceId: rig.idOf(0, 0), body: { result: 'OK' } });
      t.match(speaker.notices.at(-1), { targetId: rig.cameras[0]!.device.channels[0]!.id }, 'the device hears of IDs that it knows');
      await speaker.when(`${above} above, ${below} below`, ({ heard }) => heard.length >= 50);
      t.ok(isSpeech(speaker.heard), `${above} above, ${below} below`);
      t.equal(speaker.ssrc, 100_000_055, 'under the SSRC that it asked for');
      await microphone.stop();
      await speaker.when('hung up', ({ ended }) => ended === 'BYE');
    }
    t.equal((await rig.rpc.call('counters', {}))['voice.answered'], 3);
    const media = await rig.gateway.mediadRpc();
    await until('nothing is left', async () => (await media.call('listBridges', {})).bridges.length === 0);
    await media[Symbol.asyncDispose]();
  }
});

await t.test('the device hangs up, the platform hears of it', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }] });
  const [platform, speaker] = [rig.platforms[0]!, rig.cameras[0]!.device.loudspeaker];
  const { microphone } = await platform.speak(rig.idOf(0, 0));
  await speaker.when('it hears', ({ heard }) => heard.length >= 5);
  await speaker.stop();
  t.equal(await microphone.waitEnded(), 'BYE');
});

await t.test('no, silence, a promise that is not kept, and a call without a word', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }] });
  const [platform, speaker] = [rig.platforms[0]!, rig.cameras[0]!.device.loudspeaker];
  speaker.result = 'ERROR';
  t.match((await platform.speak(rig.idOf(0, 0))).result, { body: { result: 'ERROR' } });
  speaker.result = 'silence';
  const called = await platform.speak(rig.idOf(0, 0));
  t.match(called.result, { body: { result: 'OK' } }, 'who calls has said yes');
  await speaker.when('it hears', ({ heard }) => heard.length >= 5);
  await called.microphone.stop();
  await speaker.when('hung up', ({ ended }) => ended === 'BYE');
  speaker.transport = undefined;
  t.match((await platform.speak(rig.idOf(0, 0))).result, { body: { result: 'ERROR' } }, 'nothing at all');
  t.match((await platform.speak('34020000001329999999')).result, { body: { result: 'ERROR' } }, 'a channel that it does not see');
  t.match(await rig.rpc.call('counters', {}), { 'voice.asked': 3, 'voice.refused.unknown': 1 });
});

await t.test('the platform does not answer the call: the device is told', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }] });
  const [platform, speaker] = [rig.platforms[0]!, rig.cameras[0]!.device.loudspeaker];
  await platform.speak(rig.idOf(0, 0), { refuseWith: 486 });
  await until('refused', () => speaker.refused !== undefined);
  t.equal(speaker.refused, 486);
  t.same(speaker.heard, []);
});

await t.test('not permitted, and a device that nobody told to call', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }], upstream: { permissions: { voice: false } } });
  const [platform, { loudspeaker: speaker }] = [rig.platforms[0]!, rig.cameras[0]!.device];
  t.match((await platform.speak(rig.idOf(0, 0))).result, { body: { result: 'ERROR' } });
  t.equal(speaker.notices.length, 0);
  t.match(await rig.rpc.call('counters', {}), { 'voice.refused.not-permitted': 1 });
});

await t.test('devices that want it otherwise: called in place of told, the other law, sound with the 200', async t => {
  const ids = ['34020000001180000001', '34020000001180000002', '34020000001180000003'] as const;
  const known = [{ id: ids[0], talkMode: 'talk' }, { id: ids[1], talkMode: 'talk', talkCodec: 'pcmu' }, { id: ids[2], talkStart: 'answer' }].map(device => ({ ...device, password: LAB_PASSWORD }));
  await using rig = await openRelayRig({ cameras: ids.map(id => ({ id, channels: 1 })), devices: { known } });
  const platform = rig.platforms[0]!;
  const [called, other, early] = rig.cameras.map(({ device }) => device.loudspeaker);
  early!.payload = { payloadType: 0, encoding: 'PCMU', clockRate: 8000 };
  early!.neverAcks = true;
  const spoken = [await platform.speak(rig.idOf(0, 0)), await platform.speak(rig.idOf(1, 0)), await platform.speak(rig.idOf(2, 0))];
  for (const { result } of spoken) t.match(result, { body: { result: 'OK' } });
  await Promise.all([called, other, early].map(speaker => speaker!.when('it hears', ({ heard }) => heard.length >= 20)));
  t.ok(isSpeech(called!.heard));
  const mu = toLaw(voicePayload(0), 'g711a', 'g711u');
  for (const speaker of [other!, early!]) {
    const first = toLaw(voicePayload(Array.from({ length: 256 }, (_, index) => index).find(index => toLaw(voicePayload(index), 'g711a', 'g711u')[2] === speaker.heard[0]![2]!)!), 'g711a', 'g711u');
    t.same([...speaker.heard[0]!.subarray(0, 2)], [...mu.subarray(0, 2)], 'in mu-law');
    t.equal(speaker.heard[0]!.length, first.length);
  }
  t.equal(called!.notices.length + other!.notices.length, 0);
  await called!.stop();
  t.equal(await spoken[0]!.microphone.waitEnded(), 'BYE');
  await spoken[1]!.microphone.stop();
  await other!.when('hung up', ({ ended }) => ended === 'BYE');
  await spoken[2]!.microphone.stop();
});

await t.test('a loudspeaker is listed like a camera, spoken to, and never played', async t => {
  const speakerId = '34020000001370000001';
  const channelList = [{ id: '34020000001320000001', name: 'camera', online: true }, { id: speakerId, name: 'loudspeaker', online: true }];
  await using rig = await openRelayRig({ cameras: [{ channelList }] });
  const [platform, { loudspeaker }] = [rig.platforms[0]!, rig.cameras[0]!.device];
  const catalogue = await platform.catalog();
  const listed = catalogue.items.find(({ name }) => name === 'loudspeaker');
  t.match(listed?.deviceId, /^\d{10}137/);
  const { result, microphone } = await platform.speak(listed!.deviceId);
  t.match(result, { body: { result: 'OK' }, deviceId: listed!.deviceId });
  t.equal(loudspeaker.notices[0]?.targetId, speakerId);
  await loudspeaker.when('it hears', ({ heard }) => heard.length >= 10);
  await microphone.stop();
  t.equal(await platform.play(listed!.deviceId, { transport: 'udp' }).then(() => 200, (error: unknown) => (error as PlayFailed).status), 488);
  await platform.speak(rig.idOf(0, 0)).then(spoken => spoken.microphone.stop());
  t.equal(loudspeaker.notices[1]?.targetId, speakerId, 'the camera has just one');
});
