/** One camera, several ways to it: what feeds a running session dies or loses too much, and the upstream's stream goes on. */
import t from 'tap';
import { formatDeviceControl } from '#core/gb/device-control.ts';
import { PTZ_STOP } from '#core/gb/ptz.ts';
import type { CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import type { Play, PlayFailed } from '../../scripts/simulators/platform/platform.ts';
import { loadFootage } from '../../scripts/media/footage.ts';
import { FootageUnits } from '../rig/footage-units.ts';
import { PASSWORD, USER, openRtspRig } from '../rig/rtsp-outlet.ts';
import { assertReleased, openRelayRig, type RelayRig } from '../rig/relay-rig.ts';
import { runTool } from '../rig/run-tool.ts';
import { until } from '../rig/until.ts';
import { freePort } from './free-port.ts';

t.setTimeout(180_000);

const GATE = '34020000001320009001';
const channelOf = (camera: number): { device: string; channel: string } => ({ device: `3402000000118000000${camera + 1}`, channel: `3402000000132000000${camera + 1}` });
const cameraWith = (camera: number, more: object = {}): object => ({ channelList: [{ id: channelOf(camera).channel, name: `way ${camera}`, online: true }], ...more });
const gate = (...cameras: number[]): object => ({ resources: [{ id: GATE, name: 'Gate', sources: cameras.map(channelOf) }] });

/** The camera that sends now. */
const sending = (rig: RelayRig): CameraSimulator | undefined => rig.cameras.find(camera => camera.sessions.some(session => session.state === 'sending'));
const counter = async (rig: RelayRig, name: string): Promise<number> => (await rig.rpc.call('counters', {}))[name] ?? 0;
const goesOn = (play: Play, more = 40): Promise<void> => play.waitFrames(play.report.frames + more, 20_000);

await t.test('kill the playing source and the upstream sees on: silent, BYE, closed connection, device gone', async t => {
  const ends: readonly [string, 'udp' | 'tcp-passive', (camera: CameraSimulator) => Promise<unknown>][] = [
    ['silent', 'udp', camera => camera.sessions[0]!.vanish()],
    ['BYE', 'udp', camera => camera.sessions[0]!.stop()],
    ['closed connection', 'tcp-passive', camera => camera.sessions[0]!.vanish()],
    ['device gone', 'udp', camera => camera[Symbol.asyncDispose]()],
  ];
  for (const [name, transport, end] of ends) {
    await using rig = await openRelayRig({ cameras: [cameraWith(0), cameraWith(1)], devices: { media: { lingerS: 0, silenceS: 2, transport } }, sections: gate(0, 1) as never });
    const rows = await rig.rpc.call('listResources', {});
    t.match(rows, [{ id: GATE, name: 'Gate', status: 'ON', rule: 'configured', sources: [{ known: true, status: 'ON' }, { known: true, status: 'ON' }] }]);
    const { items } = await rig.platforms[0]!.catalog();
    t.same(items.filter(item => item.name === 'Gate').map(item => item.deviceId), [GATE], 'one entry upward, under the ID of the engineer');
    t.equal(items.filter(item => item.name?.startsWith('way')).length, 0);
    const plays = [await rig.platforms[0]!.play(GATE, { transport: 'udp' }), await rig.platforms[0]!.play(GATE, { transport: 'tcp-passive' })];
    await Promise.all(plays.map(play => play.waitFrames(20)));
    t.equal(sending(rig), rig.cameras[0], 'the first of the list');
    const [before] = await rig.rpc.call('listSessions', {});
    const { sipd } = rig.gateway;
    const taken = sipd.next(line => line.msg === 'source.taken-over');
    await end(rig.cameras[0]!);
    t.match(await taken, { viewers: 2, to: `${channelOf(1).device}/${channelOf(1).channel} ${transport}` });
    await Promise.all(plays.map(play => goesOn(play)));
    const after = (await rig.rpc.call('listSessions', {})).find(row => row.sessionId === before!.sessionId);
    t.match(after, { upstreamCallId: before!.upstreamCallId, bridgeId: before!.bridgeId, deviceId: channelOf(1).device, mappedId: GATE, sourceState: 'flowing', bridge: { source: { state: 'flowing' }, replacement: null } }, `${name}: same dialog, same bridge, another camera`);
    await rig.platforms[0]!.control(GATE, formatDeviceControl({ kind: 'ptz', instruction: { command: PTZ_STOP, address: 1 } }, '2016'));
    await until('whoever turns the camera turns the one that is seen', () => rig.cameras[1]!.device.controls.length === 1);
    for (const play of plays) {
      const { ended, seenSsrc, expectedSsrc, lost } = play.report;
      t.same({ ended, lost, sameSsrc: seenSsrc === expectedSsrc }, { ended: undefined, lost: 0, sameSsrc: true }, `${name}: no BYE, no gap, one SSRC`);
      await play.stop();
    }
    await until('nobody sends', () => rig.cameras[1]!.sessions.length === 0);
    t.equal(await counter(rig, 'relay.taken-over'), 1);
    if (name !== 'device gone') await assertReleased(rig);
  }
});

await t.test('a source that refuses is passed over before anybody is answered; when none is left the first refusal is told', async t => {
  await using rig = await openRelayRig({ cameras: [cameraWith(0, { quirks: ['reject-486'] }), cameraWith(1), cameraWith(2, { quirks: ['reject-486'] })], sections: { resources: [...(gate(0, 1) as { resources: object[] }).resources, { id: '34020000001320009002', sources: [channelOf(2)] }] } as never });
  const play = await rig.platforms[0]!.play(GATE, { transport: 'udp' });
  await play.waitFrames(5);
  t.equal(sending(rig), rig.cameras[1]);
  await play.stop();
  t.equal(await rig.platforms[0]!.play('34020000001320009002', { transport: 'udp' }).then(() => 200, (error: unknown) => (error as PlayFailed).status), 486);
  await assertReleased(rig);
});

await t.test('the same channel ID under two devices: one camera by rule, ON as long as one of them is there', async t => {
  const same = { channelList: [{ id: '34020000001320000777', name: 'Bridge', online: true }] };
  await using rig = await openRelayRig({ cameras: [same, same], sections: { resourceRules: { sameId: true } }, devices: { media: { lingerS: 0, silenceS: 2 } } });
  const platform = rig.platforms[0]!;
  t.match(await rig.rpc.call('listResources', {}), [{ id: '34020000001320000777', rule: 'same-id', sources: [{}, {}] }]);
  t.equal((await platform.catalog()).items.filter(item => item.name === 'Bridge').length, 1);
  const subscription = platform.subscribe('Catalog');
  await subscription.when('the first NOTIFY', ({ notifications }) => notifications.length === 1);
  const told = subscription.events.length;
  await rig.cameras[0]![Symbol.asyncDispose]();
  await until('the first device is gone', async () => (await rig.rpc.call('listDevices', {})).some(device => device.state === 'offline'));
  t.equal((await rig.rpc.call('listResources', {}))[0]?.status, 'ON');
  t.match((await platform.catalog()).items.find(item => item.name === 'Bridge'), { deviceId: '34020000001320000777', status: 'ON' });
  const play = await platform.play('34020000001320000777', { transport: 'udp' });
  await play.waitFrames(5);
  await play.stop();
  t.same(subscription.events.slice(told), [], 'nobody hears of the way that is gone');
  await rig.cameras[1]![Symbol.asyncDispose]();
  await subscription.when('OFF when the last one is gone', ({ events }) => events.length > told);
  t.same(subscription.events.slice(told), ['OFF 34020000001320000777']);
});

await t.test('an RTSP camera is one of the ways: it takes over from a GB/T 28181 one, and that one from it', async t => {
  const units = new FootageUnits(await loadFootage('h264'));
  await using rtsp = await openRtspRig({ stream: () => units });
  const door = '34020000001310000501';
  const sections = {
    inlets: [{ id: door, name: 'by RTSP', kind: 'rtsp', url: rtsp.bareUrl, username: USER, password: PASSWORD }],
    resources: [{ id: GATE, name: 'Gate', sources: [channelOf(0), { device: '34020000001180999999', channel: door }, channelOf(1)] }],
  };
  await using rig = await openRelayRig({ cameras: [cameraWith(0), cameraWith(1)], devices: { media: { lingerS: 0, silenceS: 2 } }, sections: sections });
  await until('three ways', async () => (await rig.rpc.call('listResources', {}))[0]?.sources.every(source => source.status === 'ON'), 10_000);
  const taken = (): Promise<unknown> => rig.gateway.sipd.next(line => line.msg === 'source.taken-over');
  const play = await rig.platforms[0]!.play(GATE, { transport: 'udp' });
  await play.waitFrames(10);
  const first = taken();
  await rig.cameras[0]![Symbol.asyncDispose]();
  await first;
  await goesOn(play);
  t.match(await rig.rpc.call('listSessions', {}), [{ channelId: door, sourceState: 'flowing', bridge: { source: { state: 'flowing' } } }]);
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  await goesOn(play);
  t.match(await rig.rpc.call('listSessions', {}), [{ channelId: door, sourceState: 'flowing' }], 'after a restart too');
  const second = taken();
  await rtsp[Symbol.asyncDispose]();
  await second;
  await goesOn(play);
  t.match(await rig.rpc.call('listSessions', {}), [{ deviceId: channelOf(1).device, bridge: { source: { state: 'flowing' } } }]);
  const { ended, lost } = play.report;
  t.same({ ended, lost }, { ended: undefined, lost: 0 });
  await play.stop();
  units[Symbol.dispose]();
  const mediad = await rig.gateway.mediadRpc();
  await until('no bridge is left, nor one beside it', async () => (await mediad.call('listBridges', {})).bridges.length === 0, 10_000);
  await mediad[Symbol.asyncDispose]();
});

await t.test('an outlet sees on too: a foreign player hears of nothing', async t => {
  const rtspPort = await freePort();
  await using rig = await openRelayRig({ cameras: [cameraWith(0), cameraWith(1)], sections: { outlets: { address: '127.0.0.1', rtspPort, tokenKey: 'k'.repeat(32) }, ...gate(0, 1) } });
  const mediad = await rig.gateway.mediadRpc();
  const { urls } = await mediad.call('outletUrls', { channel: channelOf(0).channel, streamNumber: 0, minutes: 5 });
  const run = runTool('ffmpeg', ['-nostdin', '-v', 'warning', '-rtsp_transport', 'tcp', '-i', urls[0]!.url, '-t', '6', '-an', '-f', 'framemd5', '-'], 60_000);
  await until('it plays', async () => (await mediad.call('listBridges', {})).bridges.some(bridge => bridge.source.packets > 100));
  await rig.cameras[0]!.sessions[0]!.stop();
  const { code, stderr, stdout } = await run;
  t.same([code, stderr], [0, '']);
  t.equal(stdout.split('\n').filter(line => line.startsWith('0,')).length, 150, 'six seconds of pictures');
  t.equal(await counter(rig, 'relay.taken-over'), 1);
  await mediad[Symbol.asyncDispose]();
});

await t.test('sipd dies between take-over and BYE: the new source is the one that is remembered', async t => {
  await using rig = await openRelayRig({ cameras: [cameraWith(0), cameraWith(1)], devices: { media: { lingerS: 0, silenceS: 2 } }, sections: gate(0, 1) as never });
  const play = await rig.platforms[0]!.play(GATE, { transport: 'udp' });
  await play.waitFrames(10);
  await rig.cameras[0]!.sessions[0]!.stop();
  await goesOn(play);
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  t.match(await rig.rpc.call('listSessions', {}), [{ deviceId: channelOf(1).device, state: 'active', sourceState: 'flowing' }]);
  await goesOn(play);
  const { ended, lost } = play.report;
  t.same({ ended, lost }, { ended: undefined, lost: 0 });
  await play.stop();
  await assertReleased(rig);
});

await t.test('sipd dies while the next source is being tried: it goes on from there', async t => {
  await using rig = await openRelayRig({ cameras: [cameraWith(0), cameraWith(1, { quirks: ['slow-answer'] })], devices: { media: { lingerS: 0, silenceS: 2 } }, sections: gate(0, 1) as never });
  const play = await rig.platforms[0]!.play(GATE, { transport: 'udp' });
  await play.waitFrames(10);
  const next = rig.gateway.sipd.next(line => line.msg === 'source.next-leg');
  await rig.cameras[0]!.sessions[0]!.vanish();
  await next;
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  await goesOn(play);
  t.equal(play.report.ended, undefined);
  await play.stop();
  await until('the bridge is gone', async () => (await rig.rpc.call('listSessions', {})).length === 0);
});

await t.test('a media process that hangs is passed over, and show says what the others carry', async t => {
  await using rig = await openRelayRig({ cameras: [cameraWith(0)], instances: 2 });
  rig.gateway.mediads[0]!.signal('SIGSTOP');
  const begun = performance.now();
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await play.waitFrames(5);
  const tookMs = performance.now() - begun;
  t.ok(tookMs < 5000, `played after ${Math.round(tookMs)} ms`);
  t.match(await rig.rpc.call('listSessions', {}), [{ instance: '2', bridge: { source: { state: 'flowing' } } }]);
  const asked = performance.now();
  await rig.rpc.call('listSessions', {});
  t.ok(performance.now() - asked < 1500, 'one that hung a moment ago is not waited for again');
  rig.gateway.mediads[0]!.signal('SIGCONT');
  await play.stop();
  await assertReleased(rig);
});
