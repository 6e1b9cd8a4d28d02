/** Both nodes carry media, reach the witness, and not each other: the one that leaves the SIP address to the other one leaves all addresses to it. */
import t from 'tap';
import { openPairScene } from '../../scripts/lab/pair-scene.ts';
import { BOTH_CARRY_MEDIA, MEDIA_ADDRESSES, type PairLab, type PairNode, enterWorld } from '../../scripts/lab/pair.ts';
import { until } from '../rig/until.ts';

const LIMIT_MS = 30_000;
/** Longer than a node needs to see it. */
const SETTLED_MS = 2000;
const sleep = (forMs: number): Promise<void> => new Promise(resolve => setTimeout(resolve, forMs));

const mediaOf = (node: PairNode): string[] => MEDIA_ADDRESSES.filter(address => node.addresses.includes(address));
const isHome = (lab: PairLab): boolean => lab.nodes.every((node, i) => node.addresses.includes(MEDIA_ADDRESSES[i]!));

async function run(): Promise<void> {
  t.setTimeout(160_000);
  await t.test('no path between the two: one of them has everything, and when they meet again sessions go on', async t => {
    await using scene = await openPairScene(2, { cluster: { ...BOTH_CARRY_MEDIA, holdDownS: 2 } });
    const { lab, platform, ids } = scene;
    await lab.ready(60_000);
    await until('each has its media address', () => isHome(lab), LIMIT_MS);
    const plays = await Promise.all(ids.map(id => platform.play(id, { transport: 'udp' })));
    await Promise.all(plays.map(play => play.waitFrames(5)));
    const active = await lab.active();
    lab.isolate(true);
    await lab.taken(active, LIMIT_MS);
    await until('it gave way', () => !active.serves, LIMIT_MS);
    await sleep(SETTLED_MS);
    t.same(mediaOf(active), []);
    t.same(mediaOf(lab.other(active)), MEDIA_ADDRESSES);
    lab.isolate(false);
    await lab.ready(60_000);
    await until('each has its media address again', () => isHome(lab), LIMIT_MS);
    const packets = plays.map(({ report }) => report.packets);
    await Promise.all(plays.map((play, i) => play.waitPackets(packets[i]! + 300)));
    for (const { report } of plays) t.match(report, { ended: undefined, ssrcMismatch: 0 });
  });
}

if (enterWorld()) await run();
