import fc from 'fast-check';
import t from 'tap';
import { RETURN_CONNECT_MS, RETURN_PATIENCE_MS, SinkReturn, type SinkReturnInput } from '#core/gb/sink-return.ts';
import { ms } from '#core/units.ts';

const at = ms;
const remote = { address: '192.0.2.9', port: 30_000 };
const closed: SinkReturnInput = { type: 'closed', why: 'connect-failed' };

await t.test('who connects again by himself, or still listens, is not asked', async t => {
  for (const listens of [true, false]) {
    const session = new SinkReturn({ listens });
    t.same(session.handle({ type: 'opened-anew' }, at(0)), []);
    t.same(session.handle({ type: 'connected' }, at(200)), [{ type: 'back' }]);
    t.equal(session.deadline, Infinity);
    t.same(session.handle(closed, at(900)), [], 'what ends it later is not its business');
  }
  const early = new SinkReturn({ listens: false });
  t.same(early.handle({ type: 'connected' }, at(0)), [], 'it may be there before we look');
  t.same(early.handle({ type: 'opened-anew' }, at(5)), [{ type: 'back' }]);
  t.same(new SinkReturn({ listens: true }).handle({ type: 'stands' }, at(0)), [{ type: 'back' }], 'a connection that never broke');
});

await t.test('we listen: patience, the re-INVITE, and the same port', async t => {
  const session = new SinkReturn({ listens: true });
  session.handle({ type: 'opened-anew' }, at(0));
  t.equal(session.deadline, RETURN_PATIENCE_MS);
  t.same(session.handle({ type: 'tick' }, at(RETURN_PATIENCE_MS)), [{ type: 'ask' }]);
  t.same(session.handle({ type: 'answered', remote }, at(800)), [], 'it listens already');
  t.equal(session.deadline, 800 + RETURN_CONNECT_MS);
  t.same(session.handle({ type: 'connected' }, at(900)), [{ type: 'back' }]);
});

await t.test('we connect: refused, asked, and where it listens now', async t => {
  const session = new SinkReturn({ listens: false });
  t.same(session.handle(closed, at(0)), [], 'it may have failed before we look');
  t.same(session.handle({ type: 'opened-anew' }, at(5)), [{ type: 'ask' }]);
  t.same(session.handle({ type: 'answered', remote }, at(40)), [{ type: 'open', remote }]);
  t.same(session.handle({ type: 'closed', why: 'peer-closed' }, at(41)), [], 'the leg of before, told once more');
  t.same(session.handle({ type: 'connected' }, at(60)), [{ type: 'back' }]);
});

await t.test('every way to lose it says so once', async t => {
  const asking: SinkReturnInput[] = [{ type: 'opened-anew' }, closed];
  const cases: readonly { before: SinkReturnInput[]; input: SinkReturnInput; why: RegExp }[] = [
    { before: asking, input: { type: 'refused', why: '488 Not Acceptable Here' }, why: /488/ },
    { before: asking, input: { type: 'tick' }, why: /does not answer/ },
    { before: [...asking, { type: 'answered', remote }], input: closed, why: /no connection/ },
    { before: [...asking, { type: 'answered', remote }], input: { type: 'tick' }, why: /nobody connected/ },
  ];
  for (const { before, input, why } of cases) {
    const session = new SinkReturn({ listens: false });
    for (const step of before) session.handle(step, at(0));
    t.match(session.handle(input, at(60_000)), [{ type: 'lost', why }]);
    t.same(session.handle(input, at(60_000)), []);
    t.equal(session.deadline, Infinity);
  }
});

await t.test('whatever comes in whatever order: one end at most, one question, and never a state without a way out', async () => {
  const inputs = fc.constantFrom<SinkReturnInput>({ type: 'stands' }, { type: 'opened-anew' }, { type: 'connected' }, closed, { type: 'closed', why: 'peer-closed' }, { type: 'answered', remote }, { type: 'refused', why: 'no' }, { type: 'tick' });
  fc.assert(
    fc.property(fc.boolean(), fc.array(inputs, { maxLength: 20 }), (listens, steps) => {
      const session = new SinkReturn({ listens });
      const outputs = steps.flatMap((step, i) => session.handle(step, at(i * 1000)));
      const ends = outputs.filter(({ type }) => type === 'back' || type === 'lost').length;
      const isOver = session.phase === 'back' || session.phase === 'lost';
      const waits = session.deadline !== Infinity || session.phase === 'finding' || (session.phase === 'waiting' && !listens);
      return ends === (isOver ? 1 : 0) && outputs.filter(({ type }) => type === 'ask').length <= 1 && (isOver || waits);
    }),
  );
});
