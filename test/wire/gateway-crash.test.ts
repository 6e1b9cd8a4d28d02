import { join } from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import { assertReleased, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(160_000);

await t.test('kill -9 of sipd loses no media packet, and it takes the sessions up again', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 3 }], platforms: 2 });
  const [city, other] = rig.platforms;
  const device = rig.cameras[0]!.device;
  const plays = [
    await city!.play(rig.idOf(0, 0), { transport: 'udp' }),
    await city!.play(rig.idOf(0, 1), { transport: 'tcp-passive' }),
    await other!.play(rig.idOf(0, 2, 1), { transport: 'tcp-active' }),
  ];
  await Promise.all(plays.map(play => play.waitFrames(10)));
  const before = plays.map(play => play.report.packets);
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  t.equal(rig.gateway.sipd.restarts, 1);
  const sessions = await rig.rpc.call('listSessions', {});
  t.same(sessions.map(session => session.state), ['active', 'active', 'active'], 'all three are known again');
  t.same(sessions.map(session => session.bridge?.source.state), ['flowing', 'flowing', 'flowing']);
  await Promise.all(plays.map((play, index) => play.waitPackets(before[index]! + 100)));
  t.same(plays.map(play => play.report.lost), [0, 0, 0], 'no packet was lost meanwhile');
  t.equal(device.counters.invites, 3, 'no camera was asked again');

  const join = await other!.play(rig.idOf(0, 0, 1), { transport: 'udp' });
  await join.waitFrames(30);
  t.equal(device.counters.invites, 3, 'a new viewer joins a source from before the crash');
  await join.stop();
  await plays[0]!.stop();
  await until('the camera of the first session gets BYE', () => device.sessions.size === 2);
  const [second] = [...device.sessions].filter(session => session.channel.id === device.channels[1]!.id);
  await second!.stop();
  t.match(await plays[1]!.waitEnded(), /BYE/, "a camera's BYE reaches the upstream although the dialog is from before");
  await plays[2]!.stop();
  await assertReleased(rig);
});

await t.test('sipd that comes back to a dead media process ends what is left on both sides', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }] });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await play.waitFrames(5);
  const mediadBack = rig.gateway.mediads[0]!.crash();
  await rig.gateway.sipd.crash();
  await mediadBack;
  await rig.reconnect();
  t.match(await play.waitEnded(), /BYE/);
  await assertReleased(rig);
});

await t.test('a media process that hangs holds up nobody, and keeps its sessions when it wakes', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }] });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await play.waitFrames(5);
  rig.gateway.mediads[0]!.signal('SIGSTOP');
  const begun = performance.now();
  await rig.gateway.sipd.crash();
  t.ok(performance.now() - begun < 5000, `signalling was back after ${Math.round(performance.now() - begun)} ms`);
  rig.gateway.mediads[0]!.signal('SIGCONT');
  await rig.reconnect();
  await play.waitPackets(play.report.packets + 100);
  t.equal((await rig.rpc.call('listSessions', {})).length, 1);
  await play.stop();
  await assertReleased(rig);
});

await t.test('a session whose source is not known any more does not leave its upstream waiting', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }] });
  const play = await rig.platforms[0]!.play(rig.idOf(0, 0), { transport: 'udp' });
  await play.waitFrames(5);
  await rig.gateway.sipd.stop();
  const database = new Database(join(rig.gateway.directory, 'state/sipd.sqlite3'));
  database.exec("DELETE FROM sessions WHERE kind = 'source'");
  database.close();
  await rig.gateway.sipd.again();
  await rig.reconnect();
  t.match(await play.waitEnded(), /BYE/);
  t.same(await rig.rpc.call('listSessions', {}), []);
});

await t.test('a session of a media process that is no longer configured is ended, and the daemon starts', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 2 }], instances: 2 });
  const plays = await Promise.all([0, 1].map(channel => rig.platforms[0]!.play(rig.idOf(0, channel), { transport: 'udp' })));
  await Promise.all(plays.map(play => play.waitFrames(5)));
  await rig.gateway.rewrite({ ...rig.configOf({ media: { instances: 1 } }) });
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  const ended = await Promise.race(plays.map(play => play.waitEnded()));
  t.match(ended, /BYE/, 'the one on the second instance');
  t.equal((await rig.rpc.call('listSessions', {})).length, 1, 'the one on the first goes on');
  await Promise.all(plays.map(play => play.stop()));
});

await t.test('what ended while sipd was away is ended when it is back', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 2 }], devices: { media: { lingerS: 0, silenceS: 2 } } });
  const platform = rig.platforms[0]!;
  const [closing, falling] = [await platform.play(rig.idOf(0, 0), { transport: 'tcp-passive', mischief: ['closes-tcp'] }), await platform.play(rig.idOf(0, 1), { transport: 'udp' })];
  await Promise.all([closing, falling].map(play => play.waitFrames(3)));
  const mediad = await rig.gateway.mediadRpc();
  rig.gateway.sipd.signal('SIGSTOP');
  for (const session of rig.cameras[0]!.device.sessions) if (session.channel.id === rig.cameras[0]!.device.channels[1]!.id) await session.vanish();
  const gone = (): Promise<boolean> => mediad.call('listBridges', {}).then(({ bridges }) => bridges.some(bridge => bridge.sinks.some(sink => sink.state === 'closed')) && bridges.some(bridge => bridge.source.state === 'silent'));
  await until('one platform hung up its media, one camera fell silent', gone, 15_000);
  await rig.gateway.sipd.crash();
  await rig.reconnect();
  t.match(await closing.waitEnded(), /BYE/, 'the sink was closed meanwhile');
  t.match(await falling.waitEnded(), /BYE/, 'the camera fell silent meanwhile');
  await mediad[Symbol.asyncDispose]();
  await assertReleased(rig);
});

await t.test('kill -9 of one mediad ends its own bridges, cleanly on both legs, and no other', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 4 }], instances: 2 });
  const platform = rig.platforms[0]!;
  const device = rig.cameras[0]!.device;
  const plays = await Promise.all([0, 1, 2, 3].map(channel => platform.play(rig.idOf(0, channel), { transport: channel % 2 === 0 ? 'udp' : 'tcp-passive' })));
  await Promise.all(plays.map(play => play.waitFrames(5)));
  const sessions = await rig.rpc.call('listSessions', {});
  const instanceOf = new Map(sessions.map(session => [session.mappedId, session.instance]));
  t.same([...instanceOf.values()].sort(), ['1', '1', '2', '2'], 'the pool is shared evenly');
  const [dying, living] = [plays.filter(play => instanceOf.get(play.report.channelId) === '1'), plays.filter(play => instanceOf.get(play.report.channelId) === '2')];
  await rig.gateway.mediads[0]!.crash();
  for (const play of dying) t.match(await play.waitEnded(), /BYE/, 'the upstream gets BYE');
  await until('their cameras get BYE', () => device.sessions.size === 2);
  const at = living.map(play => play.report.packets);
  await Promise.all(living.map((play, index) => play.waitPackets(at[index]! + 100)));
  t.same(living.map(play => play.report.lost), [0, 0], 'the others lose nothing');
  const again = await platform.play(dying[0]!.report.channelId, { transport: 'udp' });
  await again.waitFrames(5);
  t.pass('and the same channel plays again');
  await Promise.all([again, ...living].map(play => play.stop()));
  await assertReleased(rig);
});

await t.test('an orderly restart of sipd keeps sessions too; a camera that reboots ends its own', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }, { channels: 1, channelList: [{ id: '34020000001320000777', name: 'other', online: true }] }] });
  const platform = rig.platforms[0]!;
  const plays = [await platform.play(rig.idOf(0, 0), { transport: 'udp' }), await platform.play(rig.idOf(1, 0), { transport: 'tcp-passive' })];
  await Promise.all(plays.map(play => play.waitFrames(5)));
  const ready = rig.gateway.sipd.next(line => line.msg === 'sipd.ready');
  rig.gateway.sipd.signal('SIGTERM');
  await ready;
  await rig.reconnect();
  t.equal((await rig.rpc.call('listSessions', {})).length, 2);
  const rebooting = rig.cameras[0]!;
  await rebooting.vanish();
  t.match(await plays[0]!.waitEnded(30_000), /BYE/, 'silence of the vanished camera ends its session');
  await plays[1]!.waitPackets(plays[1]!.report.packets + 50);
  t.equal(plays[1]!.report.lost, 0);
  await plays[1]!.stop();
});
