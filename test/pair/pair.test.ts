/** Two nodes in namespaces of their own, with everything real: who is killed, cut off or relieved, and what the platform above sees of it. */
import t, { type Test } from 'tap';
import { type PairScene, gapSince, openPairScene } from '../../scripts/lab/pair-scene.ts';
import { type PairLab, enterWorld } from '../../scripts/lab/pair.ts';
import type { Play } from '../../scripts/simulators/platform/play.ts';
import { until } from '../rig/until.ts';

const CHANNELS = 3;
/** Longest time without a picture, on a machine that does much else at the same time; scripts/bench failover says what it really takes. */
const GAP_MS = 4000;

const lastPicture = ({ markers }: Play): number => markers.at(-1)!.atMs;

/** Media goes on on every session, from where it was, without a question to anybody. */
async function goesOn(test: Test, { camera }: PairScene, plays: readonly Play[], what: () => Promise<void>, limitMs: number): Promise<void> {
  const before = plays.map(play => ({ at: lastPicture(play), packets: play.report.packets }));
  const { invites } = camera.device.counters;
  await what();
  await Promise.all(plays.map((play, i) => play.waitPackets(before[i]!.packets + 300)));
  for (const [i, play] of plays.entries()) {
    const gapMs = gapSince(play, before[i]!.at);
    test.ok(gapMs <= limitMs, `session ${i}: no picture for ${Math.round(gapMs)} ms`);
    test.equal(play.report.ended, undefined);
    test.match(play.report, { ssrcMismatch: 0, restarts: 0, payloadTypeMismatch: 0 });
  }
  test.equal(camera.device.counters.invites, invites, 'no camera was asked again');
}

const owners = ({ nodes }: PairLab): number => nodes.filter(node => node.serves).length;

/** Watches until it is told to stop: how often both had the address, and how often somebody else than before was active. */
function watchOwners(lab: PairLab): { stop(): { readonly both: number; readonly looks: number } } {
  let both = 0;
  let looks = 0;
  const timer = setInterval(() => {
    looks += 1;
    // They are asked one after the other: the first one again, for what went from it to the second in between.
    if (owners(lab) > 1 && lab.nodes[0].serves) both += 1;
  }, 25);
  return {
    stop: () => {
      clearInterval(timer);
      return { both, looks };
    },
  };
}

async function run(): Promise<void> {
  t.setTimeout(240_000);
  await t.test('a pair', async t => {
    await using scene = await openPairScene(CHANNELS);
    const { lab, platform, camera, ids } = scene;
    const first = await lab.active();
    const catalog = platform.subscribe('Catalog');
    const udp = [await platform.play(ids[0]!, { transport: 'udp' }), await platform.play(ids[1]!, { transport: 'udp' })];
    await Promise.all(udp.map(play => play.waitFrames(10)));
    await lab.ready();
    t.equal(owners(lab), 1);
    await until('the subscription stands', () => catalog.granted !== undefined);
    const eventsBefore = catalog.events.length;

    await t.test('the standby has opened nothing and says so', async t => {
      await using rpc = await lab.other(first).sipd();
      t.match(await rpc.call('duty', {}), { state: 'standby', replication: 'in-step' });
      await t.rejects(rpc.call('listDevices', {}), { code: 'NODE_STANDBY' });
    });

    await t.test('fault 100: the active node loses its power: sessions go on, nothing is asked, nothing flaps', async t => {
      // On a machine that stood still for a moment it is not the first one any more.
      const { term } = (await first.report())!;
      await goesOn(t, scene, udp, async () => {
        lab.kill(first);
        await lab.active();
      }, GAP_MS);
      const second = await lab.active();
      t.equal(second, lab.other(first));
      t.match(await second.report(), { role: 'active', term: term + 1, peer: { alive: false } });
      await using rpc = await second.sipd();
      t.match(await rpc.call('listDevices', {}), [{ state: 'online', channels: CHANNELS }]);
      t.equal((await rpc.call('listSessions', {})).length, 2);
      const third = await platform.play(ids[2]!, { transport: 'udp' });
      await third.waitFrames(5);
      await third.stop();
      await udp[1]!.stop();
      await until('a BYE of the platform reaches the camera through the new node', () => [...camera.device.sessions].length === 1);
      t.same(catalog.events.slice(eventsBefore), [], 'the subscriber of the catalogue was told of no change');
      t.equal(catalog.ended, undefined);
    });

    await t.test('a node that comes back is standby, and a planned switch gives it the role', async t => {
      await lab.revive(first);
      t.equal(await lab.ready(60_000), first);
      const second = lab.other(first);
      const watch = watchOwners(lab);
      const { term } = (await second.report())!;
      await goesOn(t, scene, udp.slice(0, 1), async () => {
        await using clusterd = await second.clusterd();
        await clusterd.call('switchOver', {});
        await until('the other one is active', async () => (await first.report())?.state.sipd?.state === 'active', 10_000);
      }, GAP_MS);
      t.match(watch.stop(), { both: 0 });
      t.match(await first.report(), { role: 'active', term: term + 1 });
    });

    await t.test('fault 98: clusterd of the active node is killed, then sipd: sessions go on', async t => {
      const watch = watchOwners(lab);
      for (const daemon of ['clusterd', 'sipd']) {
        const active = lab.other(await lab.ready(60_000));
        // Where its start takes longer than the other node waits, that one takes over: sessions go on in either case.
        await goesOn(t, scene, udp.slice(0, 1), async () => {
          await active.daemon(daemon).crash();
          await lab.active(30_000);
        }, GAP_MS);
      }
      t.match(watch.stop(), { both: 0 });
    });

    await t.test('keepalived is killed: what it leaves behind is removed, and the other node takes over', async t => {
      const second = await lab.ready(60_000);
      const watch = watchOwners(lab);
      lab.other(second).daemon('keepalived').signal('SIGKILL');
      await until('the other one is active', async () => (await second.report())?.state.sipd?.state === 'active', 20_000);
      t.match(watch.stop(), { both: 0 });
      t.equal(lab.other(second).serves, false);
    });

    await t.test('faults 101 and 102: one path cut changes nothing; all of them, and the other node takes over', async t => {
      const third = await lab.ready(60_000);
      const second = lab.other(third);
      second.link(false);
      await until('the path is known to be dead', async () => (await second.report())?.peer.paths[0]?.alive === false, 10_000);
      t.equal((await second.report())?.role, 'active');
      second.cable(false);
      await until('the other one is active', async () => (await third.report())?.state.sipd?.state === 'active', 20_000);
      await until('who was cut off knows it', async () => (await second.report())?.role === 'isolated', 10_000);
      second.cable(true);
      second.link(true);
      await until('healed, one of them serves', async () => (await second.report())?.role === 'standby' && owners(lab) === 1, 20_000);
      t.equal(await lab.active(), third);
    });

    await udp[0]!.stop();
  });
}

if (enterWorld()) await run();
