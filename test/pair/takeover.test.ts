/** What goes on when the active role moves: media over TCP, registrations, alarms; seen from the platform above and the cameras below. */
import t, { type Test } from 'tap';
import { gapSince, openPairScene } from '../../scripts/lab/pair-scene.ts';
import { enterWorld } from '../../scripts/lab/pair.ts';
import type { Play } from '../../scripts/simulators/platform/play.ts';
import { until } from '../rig/until.ts';

/** faults.md 1; this machine does much else at the same time. */
const TCP_BACK_MS = 8000;

async function goOn(test: Test, plays: Readonly<Record<string, Play>>, what: () => Promise<void>): Promise<void> {
  const before = Object.values(plays).map(play => ({ at: play.markers.at(-1)!.atMs, packets: play.report.packets }));
  await what();
  const went = await Promise.allSettled(Object.values(plays).map((play, i) => play.waitPackets(before[i]!.packets + 300)));
  for (const [i, [name, play]] of Object.entries(plays).entries()) {
    test.equal(went[i]!.status, 'fulfilled', `${name}: ${play.report.ended ?? play.report.mediaClosed ?? 'goes on'}`);
    const gapMs = gapSince(play, before[i]!.at);
    test.comment(`${name}: ${Math.round(gapMs)} ms, ${play.report.connections} connections, ${play.report.reinvites} re-INVITEs`);
    test.ok(gapMs <= TCP_BACK_MS, `${name}: no picture for ${Math.round(gapMs)} ms`);
    test.match(play.report, { ended: undefined, ssrcMismatch: 0, payloadTypeMismatch: 0, restarts: 0 }, name);
  }
}

async function run(): Promise<void> {
  t.setTimeout(200_000);
  await t.test('a takeover', async t => {
    await using scene = await openPairScene(6, { transports: ['udp', 'tcp-passive', 'tcp-active'] });
    const { lab, platform, ids } = scene;
    await lab.ready();
    const [udp, passive, active] = [ids.slice(0, 6), ids.slice(6, 12), ids.slice(12, 18)];
    const plays = {
      'udp to udp': await platform.play(udp[0]!, { transport: 'udp' }),
      'udp to a platform that listens': await platform.play(udp[1]!, { transport: 'tcp-passive' }),
      'udp to a platform that connects': await platform.play(udp[2]!, { transport: 'tcp-active' }),
      'udp to a platform that listens once': await platform.play(udp[3]!, { transport: 'tcp-passive', mischief: ['one-connection'] }),
      'camera that connects, to udp': await platform.play(passive[0]!, { transport: 'udp' }),
      'camera that connects, to a platform that connects': await platform.play(passive[1]!, { transport: 'tcp-active' }),
      'camera that listens, to udp': await platform.play(active[0]!, { transport: 'udp' }),
      'camera that listens, to a platform that listens': await platform.play(active[1]!, { transport: 'tcp-passive' }),
    };
    const refusing = await platform.play(udp[4]!, { transport: 'tcp-passive', mischief: ['one-connection', 'refuses-reinvite'] });
    await Promise.all(Object.values(plays).map(play => play.waitFrames(10)));

    await t.test('the active node loses its power: every session goes on, over TCP too', async t => {
      const first = await lab.active();
      await goOn(t, plays, async () => {
        lab.kill(first);
        await lab.active();
      });
      t.equal(await refusing.waitEnded(), 'BYE of the sender', 'an upstream that does not want to is not left without a word');
      t.match(plays['udp to a platform that connects'].report, { reinvites: 1, connections: 2 });
      t.match(plays['udp to a platform that listens'].report, { reinvites: 0, connections: 2 }, 'who still listens is not asked');
      t.match(plays['udp to a platform that listens once'].report, { reinvites: 1, connections: 2 });
      await until('no camera sends to nobody', () => scene.cameras.flatMap(({ sessions }) => sessions).length === Object.keys(plays).length, 20_000);
      await lab.revive(first);
      await lab.ready(60_000);
    });

    await t.test('a planned switch: the same', async t => {
      const active = await lab.active();
      await goOn(t, plays, async () => {
        await using clusterd = await active.clusterd();
        await clusterd.call('switchOver', {});
        await until('the other one is active', async () => (await lab.other(active).report())?.state.sipd?.state === 'active', 10_000);
      });
      await Promise.all(Object.values(plays).map(play => play.stop()));
      await until('every session ends at its camera', () => scene.cameras.every(({ sessions }) => sessions.length === 0), 20_000);
    });
  });
}

if (enterWorld()) await run();
