import t from 'tap';
import { type AskedFrom, WitnessWatch } from '#core/cluster/witness-watch.ts';
import { ms } from '#core/units.ts';

const STEP_MS = 50;

interface Course {
  readonly peerSilentMs: (at: number) => number;
  readonly owns: boolean;
  readonly answers: (from: AskedFrom, at: number) => boolean;
}

/** Steps until `toMs`; what was asked and when, and what it said at the end of each step. */
function walk(watch: WitnessWatch, toMs: number, { peerSilentMs, owns, answers }: Course): { asked: { at: number; from: AskedFrom }[]; lost: number | undefined; elsewhere: number | undefined } {
  const seen: ReturnType<typeof walk> = { asked: [], lost: undefined, elsewhere: undefined };
  for (let at = 0; at <= toMs; at += STEP_MS) {
    for (const from of watch.step(peerSilentMs(at), owns, ms(at))) {
      seen.asked.push({ at, from });
      if (answers(from, at)) watch.answered(from, ms(at));
    }
    const view = watch.view(ms(at));
    if (at > 0 && !view.reachable) seen.lost ??= at;
    if (view.elsewhere) seen.elsewhere ??= at;
  }
  return seen;
}

t.test('four times a second while the peer speaks, and at every step once it does not', async t => {
  const calm = walk(new WitnessWatch(), 10_000, { peerSilentMs: () => 50, owns: false, answers: () => true });
  t.equal(calm.asked.length, 41);
  t.equal(calm.lost, undefined);
  const urgent = walk(new WitnessWatch(), 5000, { peerSilentMs: at => at, owns: false, answers: () => true });
  t.ok(urgent.asked.filter(({ at }) => at >= 150 && at < 2000).length === 37);
  t.ok(urgent.asked.filter(({ at }) => at >= 2000).length <= 13, 'who is gone for good is no reason to hurry');
});

t.test('it stays away together with the peer: known before the other node can have taken over', async t => {
  const { lost } = walk(new WitnessWatch(), 3000, { peerSilentMs: at => Math.max(0, at - 1000), owns: true, answers: (_, at) => at < 1000 });
  t.ok(lost! >= 1000 && lost! <= 1350, `lost at ${lost}`);
  t.equal(walk(new WitnessWatch(), 3000, { peerSilentMs: () => 0, owns: true, answers: (_, at) => at < 1000 }).elsewhere, undefined, 'no answer at all says nothing about the address');
});

t.test('the address of the pair is answered no more, our own is', async t => {
  const moved = walk(new WitnessWatch(), 3000, { peerSilentMs: at => Math.max(0, at - 1000), owns: true, answers: (from, at) => from === 'node' || at < 1500 });
  t.ok(moved.elsewhere! >= 2100 && moved.elsewhere! <= 2300, `elsewhere at ${moved.elsewhere}`);
  t.equal(walk(new WitnessWatch(), 5000, { peerSilentMs: () => 1000, owns: true, answers: from => from === 'node' }).elsewhere, undefined, 'it never answered there: somebody filters it');
  t.equal(walk(new WitnessWatch(), 5000, { peerSilentMs: () => 0, owns: false, answers: from => from === 'node' }).asked.some(({ from }) => from === 'pair'), false, 'who does not have the address does not ask from it');
});
