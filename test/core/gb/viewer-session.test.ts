import fc from 'fast-check';
import t from 'tap';
import { ViewerSession, statusFor, type ViewerInput, type ViewerOutput } from '#core/gb/viewer-session.ts';
import { PEER_WORDS } from '#core/result.ts';

const types = (outputs: readonly { type: string }[]): string[] => outputs.map(output => output.type);
const failure = { code: 'MEDIA_SILENT', why: 'nothing came' } as const;

await t.test('viewer: the usual life and the ways out', async t => {
  const { session: usual, outputs } = ViewerSession.start();
  t.same(types(outputs), ['open-sink'], 'while the camera is asked');
  t.same(usual.handle({ type: 'source-ready' }), []);
  t.same(types(usual.handle({ type: 'sink-opened' })), ['answer']);
  t.same(types(usual.handle({ type: 'ack' })), ['start-sink']);
  t.same(usual.handle({ type: 'ack' }), [], 'a repeated ACK starts nothing');
  t.same(types(usual.handle({ type: 'peer-bye' })), ['close-sink', 'leave-source', 'closed']);
  t.same(usual.handle({ type: 'source-ended', failure }), []);

  const until = (inputs: ViewerInput[]): ViewerSession => {
    const { session } = ViewerSession.start();
    for (const input of inputs) session.handle(input);
    return session;
  };
  const ready: ViewerInput[] = [{ type: 'source-ready' }];
  const answered: ViewerInput[] = [...ready, { type: 'sink-opened' }];
  t.same(types(until([{ type: 'sink-opened' }]).handle({ type: 'source-ready' })), ['answer'], 'the camera answers last');
  t.same(until([]).handle({ type: 'source-ended', failure: { code: 'SIP_REJECTED', why: '603', status: 603 } })[0], { type: 'reject', status: 486, why: PEER_WORDS.SIP_REJECTED }, 'in words that say nothing of the other side');
  t.same(types(until([]).handle({ type: 'cancel' })), ['close-sink', 'leave-source', 'closed']);
  t.same(types(until(ready).handle({ type: 'cancel' })), ['close-sink', 'leave-source', 'closed']);
  t.same(types(until(ready).handle({ type: 'sink-failed', failure: { code: 'PORTS_EXHAUSTED', why: 'none' } })), ['reject', 'close-sink', 'leave-source', 'closed']);
  t.same(types(until(answered).handle({ type: 'ack-timeout' })), ['send-bye', 'close-sink', 'leave-source', 'closed']);
  t.same(types(until(answered).handle({ type: 'peer-bye' })), ['close-sink', 'leave-source', 'closed'], 'BYE before ACK');
  t.same(types(until([...answered, { type: 'ack' }]).handle({ type: 'sink-closed', why: 'never-connected' })), ['send-bye', 'close-sink', 'leave-source', 'closed']);
});

await t.test('viewer: status that the upstream sees', async t => {
  t.equal(statusFor({ code: 'SIP_REJECTED', why: '', status: 404 }), 404);
  t.equal(statusFor({ code: 'SIP_REJECTED', why: '', status: 486 }), 486);
  t.equal(statusFor({ code: 'SIP_REJECTED', why: '', status: 500 }), 486);
  t.equal(statusFor({ code: 'SIP_TIMEOUT', why: '' }), 408);
  t.equal(statusFor({ code: 'PORTS_EXHAUSTED', why: '' }), 503);
});

const viewerInput = fc.constantFrom<ViewerInput>(
  { type: 'source-ready' },
  { type: 'source-ended', failure },
  { type: 'sink-opened' },
  { type: 'sink-failed', failure },
  { type: 'sink-closed', why: 'x' },
  { type: 'ack' },
  { type: 'ack-timeout' },
  { type: 'cancel' },
  { type: 'peer-bye' },
);

await t.test('viewer: one final answer at most, one BYE at most, the source is always left', async () => {
  fc.assert(
    fc.property(fc.array(viewerInput, { maxLength: 30 }), inputs => {
      const { session, outputs } = ViewerSession.start();
      const seen: ViewerOutput[] = [...outputs];
      for (const input of [...inputs, { type: 'stop', why: 'end' } as const]) seen.push(...session.handle(input));
      const count = (type: ViewerOutput['type']): number => seen.filter(output => output.type === type).length;
      const opened = count('open-sink') === count('close-sink');
      return count('answer') + count('reject') <= 1 && count('send-bye') <= count('answer') && count('leave-source') === 1 && count('closed') === 1 && opened;
    }),
  );
});
