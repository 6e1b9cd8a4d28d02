import t from 'tap';
import { LOSS_WINDOW_MS, LossWatch } from '#core/rtp/loss-watch.ts';
import { ms } from '#core/units.ts';

/** Packets at a rate, one in `every` of them lost: when loss was told, and how much. */
function run(watch: LossWatch, forMs: number, every: number, { from = 0, received = 0, lost = 0 } = {}): { told: { at: number; percent: number }[]; received: number; lost: number } {
  const told: { at: number; percent: number }[] = [];
  for (let at = from, number = 0; at < from + forMs; at += 5, number++) {
    if (number % every === every - 1) lost++;
    else received++;
    if (at < watch.due) continue;
    const percent = watch.update(received, lost, 0.5, ms(at));
    if (percent !== undefined) told.push({ at, percent });
  }
  return { told, received, lost };
}

t.test('told after a whole window above the limit, then once a minute', async t => {
  const { told } = run(new LossWatch(), 150_000, 100);
  t.ok(told[0]!.at >= LOSS_WINDOW_MS && told[0]!.at < LOSS_WINDOW_MS + 100);
  t.ok(Math.abs(told[0]!.percent - 1) < 0.1);
  t.equal(told.length, 3);
  t.ok(told[1]!.at - told[0]!.at >= 60_000);
});

t.test('not told below the limit, for few packets, or over a pause', async t => {
  t.same(run(new LossWatch(), 60_000, 500).told, []);
  const watch = new LossWatch();
  const first = run(watch, 9000, 100);
  t.same(first.told, []);
  t.same(run(watch, 9000, 100, { ...first, from: 30_000 }).told, []);
});
