import t from 'tap';
import { NEVER, type Ms, addMs, ms } from '#core/units.ts';
import { Alarm } from '#kit/clock.ts';
import { ManualClock } from '../rig/manual-clock.ts';

function alarmAt(clock: ManualClock): { alarm: Alarm; woken: Ms[] } {
  const woken: Ms[] = [];
  return { alarm: new Alarm(clock, () => woken.push(clock.now())), woken };
}

t.test('an alarm wakes at the deadline that was armed last, and once', async t => {
  const clock = new ManualClock();
  const start = clock.now();
  const { alarm, woken } = alarmAt(clock);
  alarm.arm(addMs(start, 100));
  alarm.arm(addMs(start, 300));
  clock.advance(299);
  t.same(woken, [], 'not at the earlier one');
  clock.advance(1);
  t.same(woken, [addMs(start, 300)]);
  alarm.arm(addMs(start, 900));
  alarm.arm(addMs(start, 400));
  clock.advance(100);
  t.same(woken, [addMs(start, 300), addMs(start, 400)], 'a deadline that comes nearer counts at once');
  clock.advance(1000);
  t.equal(woken.length, 2);
  t.equal(clock.scheduled, 0);
});

t.test('deadlines that move away with every message cost one timer', async t => {
  const clock = new ManualClock();
  const { alarm, woken } = alarmAt(clock);
  let timers = 0;
  const schedule = clock.schedule.bind(clock);
  clock.schedule = (at, task) => {
    timers += 1;
    return schedule(at, task);
  };
  for (let message = 0; message < 1000; message++) {
    alarm.arm(addMs(clock.now(), 100));
    clock.advance(1);
  }
  t.ok(timers <= 12, `${timers} timers`);
  t.same(woken, []);
  clock.advance(100);
  t.equal(woken.length, 1);
});

t.test('NEVER and disposing leave nothing behind', async t => {
  const clock = new ManualClock();
  const { alarm, woken } = alarmAt(clock);
  alarm.arm(ms(clock.now() + 10));
  alarm.arm(NEVER);
  t.equal(clock.scheduled, 0);
  alarm.arm(ms(clock.now() + 10));
  alarm[Symbol.dispose]();
  clock.advance(20);
  t.equal(clock.scheduled, 0);
  t.same(woken, []);
});
