import fc from 'fast-check';
import t from 'tap';
import { type Challenge, type RegistrationInput, type RegistrationOptions, type RegistrationOutput, Registration } from '#core/gb/registration.ts';
import type { RegistrationMemory } from '#core/gb/registration-io.ts';
import { type Ms, ms } from '#core/units.ts';

const OPTIONS: RegistrationOptions = { expiresS: 3600, retryS: 60, keepaliveS: 60, keepaliveMisses: 3, followsRedirect: true, dice: () => 0 };
const S = 1000;
const challenge = (nonce: string, stale = false): Challenge => ({ nonce, stale });
type Send = Extract<RegistrationOutput<Challenge>, { type: 'send-register' }>;

/** The automaton with its clock; `answer` and `fail` speak of the last REGISTER that was sent. */
class Rig {
  readonly registration: Registration;
  now: Ms = ms(0);
  readonly log: RegistrationOutput<Challenge>[] = [];

  constructor(options: Partial<RegistrationOptions> = {}, remembered?: RegistrationMemory) {
    this.registration = new Registration({ ...OPTIONS, ...options }, remembered);
  }

  feed(input: RegistrationInput<Challenge>): RegistrationOutput<Challenge>[] {
    const outputs = this.registration.handle(input, this.now);
    this.log.push(...outputs);
    return outputs;
  }

  get last(): Send {
    const sent = this.log.findLast(output => output.type === 'send-register');
    if (sent === undefined) throw new Error('nothing was sent');
    return sent;
  }

  answer(status: number, more: object = {}): RegistrationOutput<Challenge>[] {
    return this.feed({ type: 'register-answer', attempt: this.last.attempt, status, ...more });
  }

  fail(why = 'no answer'): RegistrationOutput<Challenge>[] {
    return this.feed({ type: 'register-failed', attempt: this.last.attempt, why });
  }

  /** Every keepalive on the way gets this answer. */
  runTo(at: number, keepalive: number | 'silence' = 200): RegistrationOutput<Challenge>[] {
    const seen: RegistrationOutput<Challenge>[] = [];
    for (let steps = 0; this.registration.deadline <= at; steps++) {
      if (steps > 10_000) throw new Error('a deadline that does not move');
      this.now = this.registration.deadline;
      const outputs = this.feed({ type: 'tick' });
      seen.push(...outputs);
      for (const output of outputs) if (output.type === 'send-keepalive') seen.push(...this.feed({ type: 'keepalive-answer', sn: output.sn, status: keepalive === 'silence' ? undefined : keepalive }));
    }
    this.now = ms(at);
    return seen;
  }

  goOnline(): this {
    this.feed({ type: 'enable' });
    this.answer(401, { challenge: challenge('n1') });
    this.answer(200, { expiresS: 3600 });
    return this;
  }
}

const kinds = (outputs: readonly RegistrationOutput<Challenge>[]): string[] => outputs.map(output => (output.type === 'state' ? output.state : output.type));

await t.test('challenge, online, keepalives, refresh at 80 %', async t => {
  const rig = new Rig();
  t.same(rig.feed({ type: 'enable' }), [
    { type: 'state', state: 'registering', reason: null },
    { type: 'send-register', attempt: 1, cseq: 1, expiresS: 3600, challenge: undefined, target: undefined },
  ]);
  t.same(rig.feed({ type: 'enable' }), [], 'twice is once');
  t.match(rig.answer(401, { challenge: challenge('n1') }), [{ type: 'send-register', attempt: 2, cseq: 2, challenge: { nonce: 'n1' } }]);
  t.same(rig.answer(200, { expiresS: 600 }), [{ type: 'state', state: 'online', reason: null }]);
  t.match(rig.registration.view, { state: 'online', expiresAt: 600_000, keepaliveAt: undefined });
  const outputs = rig.runTo(480 * S);
  t.same(kinds(outputs).sort(), [...Array<string>(8).fill('send-keepalive'), 'send-register']);
  t.match(rig.last, { cseq: 3, challenge: undefined }, 'a refresh begins without credentials');
  t.equal(rig.registration.view.keepaliveAt, 480_000);
  rig.answer(401, { challenge: challenge('n2') });
  t.same(rig.answer(200, { expiresS: 600 }), [], 'still online, nothing to tell');
  t.equal(rig.registration.view.expiresAt, 1_080_000);
  t.same(rig.log.filter(output => output.type === 'send-keepalive').map(output => output.type === 'send-keepalive' && output.sn), [1, 2, 3, 4, 5, 6, 7, 8]);
});

await t.test('credentials once per nonce', async t => {
  const refusedAfter = (...answers: readonly Challenge[]): string | null => {
    const rig = new Rig();
    rig.feed({ type: 'enable' });
    for (const each of answers) rig.answer(401, { challenge: each });
    return rig.registration.view.state === 'waiting' ? rig.registration.view.reason : null;
  };
  t.equal(refusedAfter(challenge('a')), null);
  t.equal(refusedAfter(challenge('a'), challenge('a')), 'credentials refused');
  t.equal(refusedAfter(challenge('a'), challenge('b', true)), null, 'stale: the same password, a new nonce');
  t.equal(refusedAfter(challenge('a'), challenge('a', true)), null);
  t.equal(refusedAfter(challenge('a'), challenge('b'), challenge('c'), challenge('d')), 'credentials refused', 'a new nonce each time');
  const rig = new Rig();
  rig.feed({ type: 'enable' });
  t.match(rig.answer(401, { challenge: undefined }), [{ state: 'waiting', reason: 'challenged by a realm that is not its own' }]);
  t.equal(rig.log.filter(output => output.type === 'send-register').length, 1, 'no credentials went out (fault 20)');
});

await t.test('failures: back-off, doubling to 16 times, with jitter', async t => {
  const rig = new Rig();
  rig.feed({ type: 'enable' });
  const waits: number[] = [];
  for (let i = 0; i < 7; i++) {
    const failedAt = rig.now;
    t.match(rig.fail(), [{ type: 'state', state: 'waiting', reason: 'no answer' }]);
    const { retryAt } = rig.registration.view;
    waits.push((retryAt! - failedAt) / S);
    t.same(kinds(rig.runTo(retryAt!)), ['registering', 'send-register']);
  }
  t.same(waits, [60, 120, 240, 480, 960, 960, 960]);
  rig.answer(200, { expiresS: 3600 });
  t.match(rig.answer(200), [], 'an answer that was had already');
  const other = new Rig({ dice: () => 0.5 });
  other.feed({ type: 'enable' });
  other.answer(503, { reason: 'Service Unavailable', retryAfterS: 300 });
  t.match(other.registration.view, { state: 'waiting', reason: '503 Service Unavailable', retryAt: 315_000 });
  const greedy = new Rig();
  greedy.feed({ type: 'enable' });
  greedy.answer(503, { retryAfterS: 1e9 });
  t.equal(greedy.registration.view.retryAt, 3_600_000);
});

await t.test('423: asks for what is wanted, once', async t => {
  const rig = new Rig({ expiresS: 60 });
  rig.feed({ type: 'enable' });
  t.match(rig.answer(423, { minExpiresS: 3600 }), [{ type: 'send-register', expiresS: 3600 }]);
  t.match(rig.answer(423, { minExpiresS: 3600 }), [{ state: 'waiting' }], 'the same again is no wish that can be met');
  for (const minExpiresS of [undefined, 1, 1e9]) {
    const odd = new Rig();
    odd.feed({ type: 'enable' });
    t.match(odd.answer(423, { minExpiresS }), [{ state: 'waiting', reason: '423 without a usable Min-Expires' }]);
  }
});

await t.test('302: follows (2022), falls back to the redirector', async t => {
  const target = { address: '192.0.2.11', port: 5060 };
  const rig = new Rig();
  rig.feed({ type: 'enable' });
  rig.answer(401, { challenge: challenge('n1') });
  t.match(rig.answer(302, { redirect: target }), [{ type: 'send-register', target, challenge: undefined }]);
  rig.answer(401, { challenge: challenge('n2') });
  rig.answer(200, { expiresS: 3600 });
  t.match(rig.runTo(60 * S), [{ type: 'send-keepalive', target }]);
  rig.runTo(2881 * S);
  t.match(rig.last, { target }, 'refreshes stay there');
  rig.answer(500);
  t.match(rig.registration.view, { state: 'waiting', target: undefined, retryAt: 2_882_000 });
  rig.runTo(2882 * S);
  t.equal(rig.last.target, undefined);
  rig.answer(302, { redirect: target });
  rig.answer(500);
  t.ok(rig.registration.view.retryAt! - rig.now >= 60 * S, 'no ping-pong between the two');
  const loop = new Rig();
  loop.feed({ type: 'enable' });
  for (let i = 0; i < 4; i++) loop.answer(302, { redirect: { address: `192.0.2.${i}`, port: 5060 } });
  t.match(loop.registration.view, { state: 'waiting', reason: '302' });
  const old = new Rig({ followsRedirect: false });
  old.feed({ type: 'enable' });
  t.match(old.answer(302, { redirect: target }), [{ state: 'waiting' }]);
});

await t.test('a keepalive is missed when the next one is due, not when its transaction gives up', async t => {
  const rig = new Rig().goOnline();
  const sent: number[] = [];
  while (rig.registration.view.state === 'online' && rig.now < 600 * S) {
    rig.now = rig.registration.deadline;
    for (const output of rig.feed({ type: 'tick' })) if (output.type === 'send-keepalive') sent.push(rig.now / S);
    // Timer F of the one before, long after it was counted.
    if (sent.length > 1 && rig.registration.view.state === 'online') rig.feed({ type: 'keepalive-answer', sn: sent.length - 1, status: undefined });
  }
  t.same(sent, [60, 120, 180]);
  t.equal(rig.now, 240 * S, 'the third was missed at the time of a fourth');
  t.match(rig.registration.view, { state: 'waiting', reason: '3 keepalives unanswered' });
});

await t.test('keepalives unanswered, or answered by a stranger', async t => {
  const rig = new Rig().goOnline();
  rig.runTo(120 * S, 'silence');
  t.equal(rig.registration.view.state, 'online', 'two of three');
  rig.feed({ type: 'keepalive-answer', sn: 2, status: 200 });
  const outputs = rig.runTo(300 * S, 'silence');
  t.match(outputs.at(-1), { state: 'waiting', reason: '3 keepalives unanswered' });
  rig.runTo(301 * S);
  t.match(rig.log.slice(-2), [{ state: 'registering' }, { type: 'send-register' }]);
  rig.answer(200, { expiresS: 3600 });
  t.same(rig.feed({ type: 'keepalive-answer', sn: 4, status: 404 }), [], 'an answer from before counts no more');
  t.match(rig.runTo(361 * S, 404).at(-1), { state: 'waiting', reason: 'keepalive answered 404' });
  rig.runTo(363 * S);
  t.equal(rig.registration.view.state, 'registering');
  t.same(rig.feed({ type: 'keepalive-answer', sn: 99, status: 404 }), []);
});

await t.test('connection lost: soon, then ever later', async t => {
  const rig = new Rig().goOnline();
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    t.match(rig.feed({ type: 'flow-lost' }), [{ state: 'waiting', reason: 'connection lost' }]);
    waits.push((rig.registration.view.retryAt! - rig.now) / S);
    rig.runTo(rig.registration.view.retryAt!);
    rig.answer(200, { expiresS: 3600 });
  }
  t.same(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
  rig.runTo(rig.now + 61 * S);
  rig.feed({ type: 'flow-lost' });
  t.equal(rig.registration.view.retryAt, rig.now + S, 'after an answered keepalive it is a new story');
  const mid = new Rig();
  mid.feed({ type: 'enable' });
  t.match(mid.feed({ type: 'flow-lost' }), [{ state: 'waiting' }]);
  t.equal(mid.registration.view.retryAt, 60_000);
  t.same(mid.fail(), [], 'the transaction that dies with the connection is no second failure');
  t.same(new Rig().feed({ type: 'flow-lost' }), []);
});

await t.test('a refresh that fails keeps the binding until it ends', async t => {
  const rig = new Rig().goOnline();
  rig.runTo(2880 * S);
  t.match(rig.fail(), [{ state: 'online', reason: 'no answer' }]);
  t.equal(rig.registration.view.retryAt, 2_940_000);
  rig.runTo(2940 * S);
  t.match(rig.answer(200, { expiresS: 3600 }), [{ state: 'online', reason: null }]);
  const gone = new Rig().goOnline();
  for (gone.runTo(2880 * S); gone.registration.view.state === 'online'; gone.runTo(gone.registration.deadline)) if (gone.registration.view.retryAt === undefined) gone.fail();
  t.equal(gone.now, 3_600_000, 'keepalives went on to the end of the granted time');
  const refused = new Rig().goOnline();
  refused.runTo(2880 * S);
  t.match(refused.answer(403, { reason: 'Forbidden' }), [{ state: 'waiting', reason: '403 Forbidden' }], 'a no is a no');
});

await t.test('disable: says goodbye, with credentials if it must', async t => {
  const rig = new Rig().goOnline();
  t.match(rig.feed({ type: 'disable' }), [{ state: 'disabled' }, { type: 'send-register', expiresS: 0, challenge: undefined }]);
  t.match(rig.answer(401, { challenge: challenge('n9') }), [{ type: 'send-register', expiresS: 0, challenge: { nonce: 'n9' } }]);
  t.same(rig.answer(200), []);
  t.equal(rig.registration.deadline, Infinity);
  t.same(rig.feed({ type: 'disable' }), []);
  t.match(rig.feed({ type: 'enable' }), [{ state: 'registering' }, { expiresS: 3600 }]);
  t.match(rig.feed({ type: 'disable' }), [{ state: 'disabled' }, { expiresS: 0 }], 'the REGISTER under way may still succeed');
  t.same(rig.fail(), []);
  const waiting = new Rig();
  waiting.feed({ type: 'enable' });
  waiting.fail();
  t.match(waiting.feed({ type: 'disable' }), [{ state: 'disabled' }]);
  t.same(waiting.runTo(1e7), [], 'nothing more happens');
});

await t.test('random answers: never stuck, never flooding', async () => {
  const step = fc.record({ kind: fc.constantFrom('answer', 'fail', 'flow-lost', 'tick', 'disable', 'enable', 'keepalive'), status: fc.constantFrom(200, 302, 401, 403, 404, 423, 500), nonce: fc.constantFrom('a', 'b', 'c'), stale: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), steps => {
      const rig = new Rig();
      rig.feed({ type: 'enable' });
      for (const { kind, status, nonce, stale } of steps) {
        let outputs: RegistrationOutput<Challenge>[] = [];
        if (kind === 'answer') outputs = rig.answer(status, { challenge: challenge(nonce, stale), redirect: { address: '192.0.2.1', port: 5060 }, minExpiresS: 7200, expiresS: 60 });
        else if (kind === 'fail') outputs = rig.fail();
        else if (kind === 'keepalive') outputs = rig.feed({ type: 'keepalive-answer', sn: 1, status });
        else if (kind === 'tick') outputs = rig.runTo(Math.min(rig.registration.deadline, 1e12));
        else outputs = rig.feed({ type: kind });
        if (outputs.filter(output => output.type === 'send-register').length > 1) return false;
        const { state } = rig.registration.view;
        const waits = rig.registration.deadline < Infinity;
        if (state === 'waiting' && !waits) return false;
        if (state === 'online' && !waits) return false;
        if (state === 'disabled' && waits) return false;
      }
      return true;
    }),
  );
});

t.test('another process goes on with it: nothing is registered anew, and numbers go on', async t => {
  const first = new Rig().goOnline();
  first.runTo(150 * S);
  const { memory } = first.registration;
  t.same(memory, { cseq: 2, sn: 2, asksS: 3600, target: undefined, expiresAt: 3600 * S, refreshAt: 2880 * S });

  const second = new Rig({}, memory);
  second.now = ms(151 * S);
  t.same(second.feed({ type: 'enable' }), [{ type: 'state', state: 'online', reason: null }], 'without a REGISTER');
  t.match(second.feed({ type: 'tick' }), [{ type: 'send-keepalive', sn: 3 }], 'asked at once whether it is still so');
  second.feed({ type: 'keepalive-answer', sn: 3, status: 200 });
  const refresh = second.runTo(2880 * S).filter(({ type }) => type === 'send-register');
  t.match(refresh, [{ cseq: 3, expiresS: 3600 }], 'refreshed when it would have been');

  const forgotten = new Rig({}, memory);
  forgotten.now = ms(151 * S);
  forgotten.feed({ type: 'enable' });
  forgotten.feed({ type: 'tick' });
  t.match(forgotten.feed({ type: 'keepalive-answer', sn: 3, status: 403 }), [{ type: 'state', state: 'waiting' }], 'a platform that does not know us');

  const late = new Rig({}, memory);
  late.now = ms(3600 * S);
  t.match(late.feed({ type: 'enable' }), [{ type: 'state', state: 'registering' }, { type: 'send-register', cseq: 3 }], 'it has run out');
  const never = new Rig({}, new Rig().registration.memory);
  t.match(never.feed({ type: 'enable' }), [{ type: 'state', state: 'registering' }, { type: 'send-register', cseq: 1 }]);
});
