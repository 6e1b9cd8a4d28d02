/** More than fits: refused upward at once, and what runs loses nothing (faults.md 8 R22). */
import t from 'tap';
import type { PlayFailed } from '../../scripts/simulators/platform/platform.ts';
import { assertReleased, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(60_000);

await t.test('beyond the limit: 486 within 100 ms, once by mediad itself and then without asking it', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 2 }], media: { maxBridges: 1 } });
  const [city] = rig.platforms;
  const running = await city!.play(rig.idOf(0, 0), { transport: 'udp' });
  await running.waitFrames(5);
  for (const attempt of ['mediad refuses', 'mediad said so before']) {
    const began = performance.now();
    await t.rejects(city!.play(rig.idOf(0, 1), { transport: 'udp' }), { status: 486 } as unknown as PlayFailed, attempt);
    const tookMs = performance.now() - began;
    t.ok(tookMs < 100, `${attempt}: ${Math.round(tookMs)} ms`);
    await until('sipd knows the load', async () => {
      const mediad = await rig.gateway.mediadRpc(1);
      const { refuses } = await mediad.call('load', {});
      await mediad[Symbol.asyncDispose]();
      return refuses !== null && performance.now() - began > 1500;
    });
  }
  await running.waitFrames(running.report.frames + 20);
  t.match(await running.stop(), { damaged: 0, lost: 0 });
  await assertReleased(rig);
});

await t.test('two instances share the load', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 4 }], instances: 2 });
  const plays = [];
  for (let channel = 0; channel < 4; channel++) plays.push(await rig.platforms[0]!.play(rig.idOf(0, channel), { transport: 'udp' }));
  const sessions = await rig.rpc.call('listSessions', {});
  t.same(sessions.map(({ instance }) => instance).sort(), ['1', '1', '2', '2']);
  await Promise.all(plays.map(play => play.stop()));
  await assertReleased(rig);
});
