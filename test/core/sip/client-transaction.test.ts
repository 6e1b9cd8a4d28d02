import t from 'tap';
import fc from 'fast-check';
import { type ClientAction, type ClientMachine, InviteClientTransaction, NonInviteClientTransaction } from '#core/sip/client-transaction.ts';
import { RFC_TIMING } from '#core/sip/timing.ts';
import { NEVER, ms } from '#core/units.ts';

/** Runs a machine on its own deadlines; answers `at action` for everything it asked. */
function play(machine: ClientMachine, until: number, responses: readonly (readonly [number, number])[] = [], start = 0): string[] {
  const heard: string[] = [];
  const note = (at: number, actions: readonly ClientAction[]): void => void heard.push(...actions.map(action => `${at} ${action}`));
  note(start, machine.start(ms(start)));
  const queue = [...responses];
  for (let steps = 0; steps < 1000; steps++) {
    const [arrival] = queue[0] ?? [Infinity];
    const next = Math.min(arrival, machine.deadline);
    if (next > until) return heard;
    if (arrival <= machine.deadline) note(arrival, machine.response(queue.shift()![1], ms(arrival)));
    else note(machine.deadline, machine.tick(machine.deadline));
  }
  throw new Error('the machine keeps asking for the same deadline');
}
const transmits = (heard: readonly string[]): number[] => heard.filter(line => line.endsWith(' transmit')).map(line => parseInt(line, 10));

t.test('INVITE, unreliable', async t => {
  const invite = (): InviteClientTransaction => new InviteClientTransaction(RFC_TIMING, false);
  const silent = play(invite(), 100_000);
  t.same(transmits(silent), [0, 500, 1500, 3500, 7500, 15_500, 31_500], 'A doubles without cap');
  t.same(silent.slice(-2), ['32000 timeout', '32000 terminate'], 'B at 64*T1');

  t.same(play(invite(), 100_000, [[600, 100]]), ['0 transmit', '500 transmit', '600 deliver'], '1xx stops A and B: proceeding has no timer');
  t.same(play(invite(), 100_000, [[10, 100], [20, 180], [30, 486], [40, 486]]), [
    '0 transmit', '10 deliver', '20 deliver', '30 acknowledge', '30 deliver', '40 acknowledge', '32030 terminate',
  ], 'the repeated 486 is acknowledged, not delivered; D is 32 s');
  t.same(play(invite(), 100_000, [[10, 200], [510, 200], [600, 486], [32_011, 200]]), ['0 transmit', '10 deliver', '510 deliver', '32010 terminate'], 'RFC 6026: every 2xx is handed up until M');
});

t.test('INVITE, reliable', async t => {
  const invite = (): InviteClientTransaction => new InviteClientTransaction(RFC_TIMING, true);
  t.same(play(invite(), 100_000), ['0 transmit', '32000 timeout', '32000 terminate'], 'no A');
  t.same(play(invite(), 100_000, [[10, 603], [20, 603]]), ['0 transmit', '10 acknowledge', '10 deliver', '10 terminate'], 'D is 0');
});

t.test('others, unreliable', async t => {
  const other = (): NonInviteClientTransaction => new NonInviteClientTransaction(RFC_TIMING, false);
  const silent = play(other(), 100_000);
  t.same(transmits(silent), [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500], 'E doubles to T2');
  t.same(silent.slice(-2), ['32000 timeout', '32000 terminate'], 'F at 64*T1');
  const trying = play(other(), 100_000, [[600, 100]]);
  t.same(transmits(trying).slice(0, 5), [0, 500, 1500, 5500, 9500], 'E is T2 in proceeding');
  t.equal(trying.at(-2), '32000 timeout', 'F goes on in proceeding');
  t.same(play(other(), 100_000, [[20, 200], [30, 200]]), ['0 transmit', '20 deliver', '5020 terminate'], 'K is T4 and swallows repetitions');
});

t.test('others, reliable', async t => {
  t.same(play(new NonInviteClientTransaction(RFC_TIMING, true), 100_000), ['0 transmit', '32000 timeout', '32000 terminate'], 'no E');
  t.same(play(new NonInviteClientTransaction(RFC_TIMING, true), 100_000, [[5, 404]]), ['0 transmit', '5 deliver', '5 terminate'], 'K is 0');
});

t.test('transport errors', async t => {
  for (const make of [() => new InviteClientTransaction(RFC_TIMING, false), () => new NonInviteClientTransaction(RFC_TIMING, false)]) {
    const early = make();
    early.start(ms(0));
    t.same(early.transportError(), ['transport-error', 'terminate'], `${early.constructor.name}: reported while waiting`);
    t.same(early.transportError(), [], 'once');
    t.equal(early.deadline, NEVER);
    const late = make();
    late.start(ms(0));
    late.response(500, ms(1));
    t.same(late.transportError(), ['terminate'], 'after the answer nobody needs to know');
  }
  const accepted = new InviteClientTransaction(RFC_TIMING, false);
  accepted.start(ms(0));
  accepted.response(200, ms(1));
  t.same(accepted.transportError(), [], 'a repeated 2xx may still come');
});

t.test('whatever comes in whatever order, it ends once and reports once', async t => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('response' as const), status: fc.integer({ min: 100, max: 699 }) }),
    fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
    fc.record({ type: fc.constant('error' as const) }),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.boolean(), fc.boolean(), fc.array(step, { maxLength: 30 }), (isInvite, reliable, steps) => {
        const machine: ClientMachine = isInvite ? new InviteClientTransaction(RFC_TIMING, reliable) : new NonInviteClientTransaction(RFC_TIMING, reliable);
        const actions: ClientAction[] = [...machine.start(ms(0))];
        let now = 0;
        let finals = 0;
        const feed = (more: readonly ClientAction[], final: boolean): void => {
          actions.push(...more);
          if (final && more.includes('deliver')) finals++;
        };
        for (const one of [...steps, { type: 'response' as const, status: 500 }, { type: 'wait' as const, ms: 200_000 }]) {
          if (one.type === 'response') feed(machine.response(one.status, ms(now)), one.status >= 300);
          else if (one.type === 'error') feed(machine.transportError(), false);
          else {
            const until = now + one.ms;
            for (let guard = 0; machine.deadline <= until && guard < 1000; guard++) {
              now = machine.deadline;
              feed(machine.tick(ms(now)), false);
            }
            now = until;
          }
        }
        const count = (action: ClientAction): number => actions.filter(one => one === action).length;
        return count('terminate') === 1 && machine.deadline === NEVER && machine.state === 'terminated' && count('timeout') + count('transport-error') + Math.min(finals, 2) <= 1;
      }),
      { numRuns: 300 },
    ),
  );
});
