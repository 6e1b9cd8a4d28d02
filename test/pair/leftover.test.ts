/** A sipd that is away while its node loses the role leaves its bridges behind: they are in nobody's way when the node takes over again. */
import t from 'tap';
import { LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import { openPairScene } from '../../scripts/lab/pair-scene.ts';
import { enterWorld } from '../../scripts/lab/pair.ts';
import { until } from '../rig/until.ts';

const SILENCE_S = 3;
const LIMIT_MS = 30_000;
const sleep = (forMs: number): Promise<void> => new Promise(resolve => setTimeout(resolve, forMs));

async function run(): Promise<void> {
  t.setTimeout(160_000);
  await t.test('sipd of the active node is stopped, and the role goes; it comes back to the node that had it long ago', async t => {
    const devices = { admit: [{ networks: ['10.97.0.0/24'], password: LAB_PASSWORD }], media: { lingerS: 0, silenceS: SILENCE_S } };
    await using scene = await openPairScene(2, { cluster: { holdDownS: 2 }, config: { devices } });
    const { lab, platform, ids } = scene;
    await lab.ready(60_000);
    const plays = await Promise.all(ids.map(id => platform.play(id, { transport: 'udp' })));
    await Promise.all(plays.map(play => play.waitFrames(5)));
    const first = await lab.active();
    await first.daemon('sipd').stop();
    await lab.taken(first, LIMIT_MS);
    await first.daemon('sipd').again();
    await lab.ready(60_000);
    // What is left there has been silent for longer than any source may be.
    await sleep(1000 * (SILENCE_S + 1));
    for (const { report } of plays) t.equal(report.ended, undefined);
    lab.kill(lab.other(first));
    await until('the first one is active again', async () => (await lab.active()) === first, LIMIT_MS);
    const packets = plays.map(({ report }) => report.packets);
    await Promise.all(plays.map((play, i) => play.waitPackets(packets[i]! + 300)));
    for (const { report } of plays) t.match(report, { ended: undefined, ssrcMismatch: 0, restarts: 0 });
  });
}

if (enterWorld()) await run();
