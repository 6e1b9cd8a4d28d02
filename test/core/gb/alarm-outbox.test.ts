import fc from 'fast-check';
import t from 'tap';
import { AlarmOutbox, MAX_ALARMS, MAX_URGENT, type OutboxOutcome, type OutboxOutput } from '#core/gb/alarm-outbox.ts';
import { NEVER, ms } from '#core/units.ts';

const sent = (outputs: readonly OutboxOutput[]): number[] => outputs.flatMap(output => (output.type === 'send' ? [output.id] : []));

t.test('one at a time, the most urgent first, again until it is accepted', async t => {
  const outbox = new AlarmOutbox();
  t.same(outbox.put(1, 4), [{ type: 'send', id: 1 }]);
  for (const [id, priority] of [[2, 4], [3, 1], [4, 2], [5, 1], [6, 99]] as const) t.same(outbox.put(id, priority), []);
  t.same(outbox.settled(2, 'accepted', ms(0)), [], 'that is not the one');
  t.same(outbox.settled(1, 'accepted', ms(0)), [{ type: 'remove', id: 1, why: 'accepted' }, { type: 'send', id: 3 }]);
  t.same(outbox.settled(3, 'unanswered', ms(0)), []);
  t.equal(outbox.deadline, 1000);
  t.same(outbox.put(7, 1), []);
  t.same(outbox.tick(ms(999)), []);
  t.same(outbox.tick(ms(1000)), [{ type: 'send', id: 3 }], 'the same once more, not the next');
  t.same(outbox.settled(3, 'unanswered', ms(1000)), []);
  t.equal(outbox.deadline, 3000);
  t.same(outbox.tick(ms(3000)), [{ type: 'send', id: 3 }]);
  t.equal(outbox.deadline, NEVER);
  t.same(outbox.settled(3, 'absent', ms(3000)), []);
  t.equal(outbox.deadline, 4000, 'looked for every second');
  t.same(outbox.tick(ms(4000)), [{ type: 'send', id: 3 }]);
  t.same(outbox.settled(3, 'unwanted', ms(1100)), [{ type: 'remove', id: 3, why: 'unwanted' }, { type: 'send', id: 5 }]);
  outbox.settled(5, 'refused', ms(5000));
  t.same(outbox.tick(ms(6000)), [{ type: 'send', id: 5 }]);
  outbox.settled(5, 'refused', ms(6000));
  t.same(outbox.tick(ms(8000)), [{ type: 'send', id: 5 }]);
  t.same(outbox.settled(5, 'refused', ms(8000)), [{ type: 'remove', id: 5, why: 'refused' }, { type: 'send', id: 7 }]);
  t.same([7, 4, 2].flatMap(id => sent(outbox.settled(id, 'accepted', ms(9000)))), [4, 2, 6]);
  t.equal(outbox.size, 1);
});

t.test('fault 49: in a storm the oldest of the lowest priority goes, never one of priority 1', async t => {
  const outbox = new AlarmOutbox();
  outbox.put(0, 4);
  const dropped: number[] = [];
  const put = (id: number, priority: number): void => {
    for (const output of outbox.put(id, priority)) if (output.type === 'remove' && output.why === 'overflow') dropped.push(id, output.id);
  };
  const priorityOf = (id: number): number => (id % 2 === 0 ? 1 : id <= MAX_ALARMS / 2 ? 4 : 2);
  for (let id = 1; id < MAX_ALARMS; id++) put(id, priorityOf(id));
  t.same(dropped, []);
  put(MAX_ALARMS, 1);
  t.same(dropped, [MAX_ALARMS, 1]);
  put(MAX_ALARMS + 1, 3);
  t.same(dropped.slice(2), [MAX_ALARMS + 1, 3], 'lower than the new one');
  for (let id = MAX_ALARMS + 2; dropped.length < 2 * MAX_ALARMS && id < 3 * MAX_ALARMS; id += 2) put(id, 1);
  const gone = dropped.filter((_, index) => index % 2 === 1);
  t.same(gone.filter(id => priorityOf(id) === 1), []);
  t.same(gone.slice(0, MAX_ALARMS / 4), Array.from({ length: MAX_ALARMS / 4 }, (_, index) => 2 * index + 1), 'oldest first');
  const before = outbox.size;
  put(90_000, 4);
  t.equal(outbox.size, before, 'nothing but priority 1 is left: the new one goes itself');
  for (let id = 100_000; !outbox.isFull; id++) put(id, 1);
  t.equal(outbox.size, MAX_URGENT);
});

t.test('property: whatever happens, every alarm leaves exactly once', async () => {
  const outcomes = fc.constantFrom<OutboxOutcome>('accepted', 'unwanted', 'refused', 'unanswered', 'absent');
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.integer({ min: 1, max: 4 }), outcomes), { maxLength: 200 }), script => {
      const outbox = new AlarmOutbox();
      const left: number[] = [];
      let flying: number | undefined;
      let now = 0;
      let id = 0;
      const take = (outputs: readonly OutboxOutput[]): void => {
        for (const output of outputs) {
          if (output.type === 'remove') left.push(output.id);
          else if (flying !== undefined) throw new Error('two at once');
          else flying = output.id;
        }
      };
      const settle = (outcome: OutboxOutcome): void => {
        take(outbox.tick(ms((now += 60_000))));
        const settled = flying;
        flying = undefined;
        if (settled !== undefined) take(outbox.settled(settled, outcome, ms(now)));
      };
      for (const step of script) typeof step === 'number' ? take(outbox.put(++id, step)) : settle(step);
      for (let rounds = 0; rounds < 1000 && outbox.size > 0; rounds++) settle('accepted');
      return outbox.size === 0 && left.length === id && new Set(left).size === id;
    }),
  );
});
