import fc from 'fast-check';
import t from 'tap';
import { Deadlines } from '#core/deadlines.ts';
import { NEVER, ms } from '#core/units.ts';

t.test('keys come in the order of their deadlines, whatever was moved or taken out before', async () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('set' as const), key: fc.nat(20), at: fc.nat(50) }),
    fc.record({ type: fc.constant('delete' as const), key: fc.nat(20) }),
    fc.record({ type: fc.constant('take' as const), now: fc.nat(50) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const deadlines = new Deadlines<number>();
      const plain = new Map<number, number>();
      for (const each of steps) {
        if (each.type === 'set') {
          deadlines.set(each.key, ms(each.at));
          plain.set(each.key, each.at);
        } else if (each.type === 'delete') {
          deadlines.delete(each.key);
          plain.delete(each.key);
        } else {
          const key = deadlines.takeDue(ms(each.now));
          const earliest = Math.min(...plain.values());
          if (key === undefined ? earliest <= each.now : plain.get(key) !== earliest) return false;
          if (key !== undefined) plain.delete(key);
        }
        if (deadlines.size !== plain.size || deadlines.next !== Math.min(NEVER, ...plain.values())) return false;
      }
      return true;
    }),
  );
});

t.test('NEVER takes a key out', async t => {
  const deadlines = new Deadlines<string>();
  deadlines.set('a', ms(1));
  deadlines.set('a', NEVER);
  deadlines.set('b', NEVER);
  t.equal(deadlines.size, 0);
  t.equal(deadlines.next, NEVER);
});
