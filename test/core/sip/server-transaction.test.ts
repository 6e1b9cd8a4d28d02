import t from 'tap';
import fc from 'fast-check';
import { InviteServerTransaction, NonInviteServerTransaction, type ServerAction, type ServerMachine } from '#core/sip/server-transaction.ts';
import { RFC_TIMING } from '#core/sip/timing.ts';
import { NEVER, ms } from '#core/units.ts';

/** Lets the machine's own deadlines pass until `until`. */
function wait(machine: ServerMachine, until: number): string[] {
  const heard: string[] = [];
  for (let steps = 0; machine.deadline <= until && steps < 1000; steps++) {
    const at = machine.deadline;
    heard.push(...machine.tick(at).map(action => `${at} ${action}`));
  }
  return heard;
}
const invite = (reliable: boolean, quiet = false): InviteServerTransaction => new InviteServerTransaction(RFC_TIMING, reliable, ms(0), quiet);

t.test('INVITE: 100 after 200 ms when nobody answers', async t => {
  const machine = invite(false);
  t.same(machine.again(), [], 'nothing to repeat yet');
  t.same(wait(machine, 1000), ['200 trying']);
  machine.respond(100, ms(200));
  t.same(machine.again(), ['transmit'], 'the 100 answers a repetition');
  const quick = invite(false);
  quick.respond(180, ms(50));
  t.same(wait(quick, 1000), [], 'a quick answer needs no 100');
});

t.test('INVITE: final non-2xx until its ACK', async t => {
  const unacknowledged = invite(false);
  t.same(unacknowledged.respond(486, ms(0)), ['transmit']);
  t.same(wait(unacknowledged, 100_000), [
    '500 transmit', '1500 transmit', '3500 transmit', '7500 transmit', '11500 transmit', '15500 transmit', '19500 transmit', '23500 transmit', '27500 transmit', '31500 transmit',
    '32000 timeout', '32000 terminate',
  ], 'G doubles to T2, H at 64*T1');
  const acknowledged = invite(false);
  acknowledged.respond(486, ms(0));
  t.same(acknowledged.again(), ['transmit'], 'the INVITE again: the 486 again');
  t.same(acknowledged.ack(ms(700)), []);
  t.same(acknowledged.ack(ms(800)), [], 'a second ACK is swallowed');
  t.same(acknowledged.again(), [], 'nothing more to say');
  t.same(wait(acknowledged, 100_000), ['5700 terminate'], 'I is T4');
  const reliable = invite(true);
  reliable.respond(486, ms(0));
  t.same(wait(reliable, 31_999), [], 'no G');
  t.same(reliable.ack(ms(31_999)), ['terminate'], 'I is 0');
  const quiet = invite(false, true);
  quiet.respond(403, ms(0));
  t.same(wait(quiet, 100_000), ['32000 timeout', '32000 terminate'], 'a stranger gets no more than he sends');
});

t.test('INVITE: 2xx (RFC 6026)', async t => {
  const machine = invite(false);
  t.same(machine.respond(200, ms(0)), ['transmit']);
  t.same(machine.respond(486, ms(1)), [], 'answered is answered');
  t.same(machine.again(), [], 'the user repeats his 2xx, not the transaction');
  t.same(machine.ack(ms(20)), ['deliver-ack']);
  t.same(wait(machine, 100_000), ['32000 terminate'], 'L is 64*T1');
});

t.test('others', async t => {
  const machine = new NonInviteServerTransaction(RFC_TIMING, false, ms(0));
  t.same(machine.again(), [], 'trying: swallowed');
  t.same(machine.respond(100, ms(1)), ['transmit']);
  t.same(machine.again(), ['transmit'], 'proceeding: the 100 again');
  t.same(machine.respond(200, ms(10)), ['transmit']);
  t.same(machine.respond(500, ms(11)), [], 'answered is answered');
  t.same(machine.again(), ['transmit']);
  t.same(wait(machine, 100_000), ['32010 terminate'], 'J is 64*T1');
  const reliable = new NonInviteServerTransaction(RFC_TIMING, true, ms(0));
  t.same(reliable.respond(200, ms(10)), ['transmit', 'terminate'], 'J is 0');
  const forgotten = new NonInviteServerTransaction(RFC_TIMING, false, ms(0));
  t.same(wait(forgotten, 100_000), ['32000 timeout', '32000 terminate'], 'nobody answered: not for ever');
});

t.test('silence: nothing is sent, repetitions are swallowed, and it ends', async t => {
  for (const machine of [invite(false), invite(true), new NonInviteServerTransaction(RFC_TIMING, false, ms(0))]) {
    machine.silence(ms(5));
    t.same(machine.respond(200, ms(6)), []);
    t.notOk(wait(machine, 31_000).some(line => line.includes('trying') || line.includes('transmit')));
    t.same(wait(machine, 100_000), ['32005 terminate']);
    t.equal(machine.state, 'terminated');
  }
});

t.test('whatever comes in whatever order, it ends once and for ever', async t => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('respond' as const), status: fc.integer({ min: 100, max: 699 }) }),
    fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
    fc.record({ type: fc.constant('again' as const) }),
    fc.record({ type: fc.constant('ack' as const) }),
    fc.record({ type: fc.constant('silence' as const) }),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.boolean(), fc.boolean(), fc.array(step, { maxLength: 30 }), (isInvite, reliable, steps) => {
        const machine = isInvite ? invite(reliable) : new NonInviteServerTransaction(RFC_TIMING, reliable, ms(0));
        const actions: ServerAction[] = [];
        let now = 0;
        for (const one of [...steps, { type: 'respond' as const, status: 500 }, { type: 'wait' as const, ms: 200_000 }]) {
          if (one.type === 'respond') actions.push(...machine.respond(one.status, ms(now)));
          else if (one.type === 'again') actions.push(...machine.again());
          else if (one.type === 'silence') machine.silence(ms(now));
          else if (one.type === 'ack') actions.push(...(machine instanceof InviteServerTransaction ? machine.ack(ms(now)) : []));
          else {
            const until = now + one.ms;
            for (let guard = 0; machine.deadline <= until && guard < 1000; guard++) {
              now = machine.deadline;
              actions.push(...machine.tick(ms(now)));
            }
            now = until;
          }
        }
        return actions.filter(action => action === 'terminate').length === 1 && machine.deadline === NEVER && machine.state === 'terminated';
      }),
      { numRuns: 300 },
    ),
  );
});
