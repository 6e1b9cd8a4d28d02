import fc from 'fast-check';
import t from 'tap';
import { AlarmMemory, HEARD_MS, type HeardAlarm, MAX_HEARD } from '#core/gb/alarm-memory.ts';
import { wallMs } from '#core/units.ts';

t.test('said again it is known, for a while, and then it is news', async t => {
  const memory = new AlarmMemory();
  t.same(memory.hear('a', wallMs(1000)), { slot: 0, mark: 'a', atWallMs: 1000 });
  t.equal(memory.hear('a', wallMs(1000)), undefined);
  t.same(memory.hear('b', wallMs(2000)), { slot: 1, mark: 'b', atWallMs: 2000 });
  t.equal(memory.hear('a', wallMs(1000 + HEARD_MS - 1)), undefined);
  t.equal(memory.hear('a', wallMs(500)), undefined, 'the clock was set back');
  t.same(memory.hear('a', wallMs(1000 + HEARD_MS)), { slot: 2, mark: 'a', atWallMs: 1000 + HEARD_MS });
  t.equal(memory.hear('a', wallMs(1001 + HEARD_MS)), undefined);
});

t.test('the other node knows what was written, and overwrites the oldest', async t => {
  const ours = new AlarmMemory();
  const rows = new Map<number, HeardAlarm>();
  for (let n = 0; n < MAX_HEARD + 10; n++) {
    const heard = ours.hear(`alarm ${n}`, wallMs(n))!;
    rows.set(heard.slot, heard);
  }
  t.equal(ours.size, MAX_HEARD);
  t.equal(rows.size, MAX_HEARD);
  const theirs = new AlarmMemory();
  theirs.restore([...rows.values()]);
  t.equal(theirs.size, MAX_HEARD);
  const now = wallMs(MAX_HEARD + 10);
  t.equal(theirs.hear('alarm 10', now), undefined);
  t.equal(theirs.hear(`alarm ${MAX_HEARD + 9}`, now), undefined);
  t.same(theirs.hear('another', now), { slot: 10, mark: 'another', atWallMs: now });
  t.equal(theirs.hear('alarm 10', now)?.slot, 11, 'the oldest made room');
});

t.test('rows that nobody can have written are left alone', async t => {
  const memory = new AlarmMemory();
  memory.restore([{ slot: -1, mark: 'a', atWallMs: 0 }, { slot: MAX_HEARD, mark: 'b', atWallMs: 0 }]);
  t.equal(memory.size, 0);
  t.equal(memory.hear('a', wallMs(0))?.slot, 0);
});

t.test('whatever is said, and whenever the node changes: nothing new is taken for old, nothing of a moment ago for new', async () => {
  const saying = fc.record({ mark: fc.nat({ max: 30 }), after: fc.nat({ max: HEARD_MS / 8 }), moves: fc.boolean() });
  fc.assert(
    fc.property(fc.array(saying, { maxLength: 200 }), course => {
      let memory = new AlarmMemory();
      const rows = new Map<number, HeardAlarm>();
      const heardAt = new Map<number, number>();
      let now = 0;
      for (const { mark, after, moves } of course) {
        now += after;
        if (moves) {
          memory = new AlarmMemory();
          memory.restore([...rows.values()]);
        }
        const heard = memory.hear(`m${mark}`, wallMs(now));
        const isKnown = now - (heardAt.get(mark) ?? -Infinity) < HEARD_MS;
        if ((heard === undefined) !== isKnown) return false;
        if (heard === undefined) continue;
        heardAt.set(mark, now);
        rows.set(heard.slot, heard);
      }
      return memory.size <= MAX_HEARD;
    }),
    { seed: 28181 },
  );
});
