/** Fault 107 on two whole nodes: one after the other gets the next release, and a viewer looks on. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import t from 'tap';
import { STATE_VERSION } from '#kit/store-rows.ts';
import { openPairScene } from '../../scripts/lab/pair-scene.ts';
import { type PairLab, type PairNode, enterWorld } from '../../scripts/lab/pair.ts';
import { NEXT_RELEASE } from '../rig/next-release.ts';
import { until } from '../rig/until.ts';

const LIMIT_MS = 30_000;
const READY_MS = 60_000;

/** Its daemons end in their order, and those of the next release start in their place. */
async function update(lab: PairLab, node: PairNode): Promise<void> {
  await lab.stop(node);
  Object.assign(process.env, NEXT_RELEASE);
  try {
    await lab.revive(node);
  } finally {
    for (const name of Object.keys(NEXT_RELEASE)) delete process.env[name];
  }
}

interface Kept {
  readonly version: number;
  readonly cseq: number;
  readonly sessions: number;
}

/** What stands in the file of a node that is stopped. */
function keptOf({ directory }: PairNode): Kept {
  const file = new Database(join(directory, 'state/sipd.sqlite3'), { readonly: true });
  try {
    const pick = (sql: string): number => Number(file.prepare(sql).pluck().get());
    return { version: Number(file.pragma('user_version', { simple: true })), cseq: pick('SELECT cseq FROM bindings'), sessions: pick("SELECT count(*) FROM sessions WHERE kind IN ('source', 'viewer')") };
  } finally {
    file.close();
  }
}

async function run(): Promise<void> {
  t.setTimeout(280_000);
  await t.test('fault 107: one node after the other gets the next release: the older one follows the newer one, does not take the role, and the sessions stay', async t => {
    await using scene = await openPairScene(1, { cluster: { holdDownS: 2 } });
    const { lab, camera, platform, ids } = scene;
    await lab.ready(READY_MS);
    const play = await platform.play(ids[0]!, { transport: 'udp' });
    await play.waitFrames(5);
    const sees = async (what: string): Promise<void> => {
      const now = performance.now();
      await until(what, () => (play.markers.at(-1)?.atMs ?? 0) > now, LIMIT_MS);
      t.equal(play.report.ended, undefined, what);
    };

    const first = lab.other(await lab.active());
    const second = lab.other(first);
    await update(lab, first);
    t.equal(await lab.ready(READY_MS), first, 'the standby is of the next release, and has everything');
    await sees('nobody noticed');

    {
      await using clusterd = await second.clusterd();
      await clusterd.call('switchOver', {});
    }
    await lab.taken(second, LIMIT_MS);
    await sees('it became the active one');
    await until('the older one follows', async () => (await second.report())?.state.whole === true, LIMIT_MS);
    await camera.device.registration.again();
    await until('and has all of it', async () => (await first.report())?.state.sipd?.waiting === 0 && (await second.report())?.state.whole === true, LIMIT_MS);
    {
      await using clusterd = await first.clusterd();
      await t.rejects(clusterd.call('switchOver', {}), { code: 'NOT_PERMITTED', message: /runs an older release/ });
    }
    t.equal((await first.report())?.role, 'active');
    await lab.stop(second);
    const kept = keptOf(second);
    t.match(kept, { version: STATE_VERSION, sessions: 2 }, 'in words of its own');

    await update(lab, second);
    t.equal(await lab.ready(READY_MS), second, 'both are of the next release');
    await sees('nobody noticed that either');
    await lab.stop(first);
    await lab.taken(first, LIMIT_MS);
    await sees('and the second one takes over');
    await lab.stop(second);
    const after = keptOf(second);
    t.match(after, { version: STATE_VERSION + 1, sessions: 2 });
    // The camera may have registered again while nobody answered it.
    t.ok(after.cseq >= kept.cseq, `the registration of while it was the older one: CSeq ${kept.cseq}, then ${after.cseq}`);
  });
}

if (enterWorld()) await run();
