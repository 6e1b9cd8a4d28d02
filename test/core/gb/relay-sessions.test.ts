import fc from 'fast-check';
import t from 'tap';
import { SourceSession, type SourceInput, type SourceOutput } from '#core/gb/source-session.ts';
import { ViewerSession, statusFor, type ViewerInput, type ViewerOutput } from '#core/gb/viewer-session.ts';
import { PEER_WORDS } from '#core/result.ts';
import { ms } from '#core/units.ts';

const TIMING = { inviteTimeoutMs: 15_000, firstPacketMs: 10_000, lingerMs: 5_000 };
const at = ms;
const types = (outputs: readonly { type: string }[]): string[] => outputs.map(output => output.type);
const failure = { code: 'MEDIA_SILENT', why: 'nothing came' } as const;

/** A source with one viewer, brought to `flowing`. */
function flowing(): SourceSession {
  const { session } = SourceSession.start(TIMING);
  session.handle({ type: 'viewer-joined', viewerId: 'v1' }, at(0));
  session.handle({ type: 'media-opened' }, at(10));
  session.handle({ type: 'invite-accepted', unusable: null }, at(100));
  session.handle({ type: 'media-connected' }, at(101));
  session.handle({ type: 'media-flowing' }, at(200));
  return session;
}

await t.test('source: the usual life', async t => {
  const { session, outputs } = SourceSession.start(TIMING);
  t.same(types(outputs), ['open-media']);
  t.same(session.handle({ type: 'viewer-joined', viewerId: 'v1' }, at(0)), []);
  t.same(types(session.handle({ type: 'media-opened' }, at(10))), ['send-invite']);
  t.equal(session.deadline, 15_010);
  t.same(session.handle({ type: 'invite-accepted', unusable: null }, at(100)), [{ type: 'connect-media' }, { type: 'tell-ready', viewerIds: ['v1'] }]);
  t.equal(session.deadline, 10_100);
  t.same(session.handle({ type: 'viewer-joined', viewerId: 'v2' }, at(100)), [{ type: 'tell-ready', viewerIds: ['v2'] }], 'before the ACK too');
  t.same(session.handle({ type: 'media-connected' }, at(101)), [{ type: 'ack' }]);
  t.same(session.handle({ type: 'media-connected' }, at(102)), [], 'one ACK');
  t.same(session.handle({ type: 'media-flowing' }, at(300)), []);
  t.equal(session.deadline, Infinity);
  t.same(session.handle({ type: 'viewer-left', viewerId: 'v2' }, at(300)), []);
  t.same(session.handle({ type: 'viewer-joined', viewerId: 'v2' }, at(400)), [{ type: 'tell-ready', viewerIds: ['v2'] }]);
  t.same(session.handle({ type: 'viewer-left', viewerId: 'v1' }, at(500)), []);
  t.same(session.handle({ type: 'viewer-left', viewerId: 'v2' }, at(1_000)), []);
  t.equal(session.phase, 'lingering');
  t.same(session.handle({ type: 'viewer-joined', viewerId: 'v3' }, at(2_000)), [{ type: 'tell-ready', viewerIds: ['v3'] }]);
  session.handle({ type: 'viewer-left', viewerId: 'v3' }, at(3_000));
  t.same(session.handle({ type: 'tick' }, at(7_999)), []);
  t.same(types(session.handle({ type: 'tick' }, at(8_000))), ['send-bye', 'close-media', 'closed']);
});

await t.test('source: every way to fail tells the viewers and releases the bridge', async t => {
  const cases: { name: string; before: SourceInput[]; input: SourceInput; expect: string[] }[] = [
    { name: 'no port', before: [], input: { type: 'media-failed', failure: { code: 'PORTS_EXHAUSTED', why: 'none free' } }, expect: ['close-media', 'tell-ended', 'closed'] },
    { name: '486', before: [{ type: 'media-opened' }], input: { type: 'invite-failed', failure: { code: 'SIP_REJECTED', why: '486', status: 486 } }, expect: ['close-media', 'tell-ended', 'closed'] },
    { name: 'no answer', before: [{ type: 'media-opened' }], input: { type: 'tick' }, expect: ['cancel-invite', 'close-media', 'tell-ended', 'closed'] },
    { name: 'last viewer gone before the answer', before: [{ type: 'media-opened' }], input: { type: 'viewer-left', viewerId: 'v1' }, expect: ['cancel-invite', 'close-media', 'closed'] },
    { name: 'unusable answer', before: [{ type: 'media-opened' }], input: { type: 'invite-accepted', unusable: 'no media line' }, expect: ['ack', 'send-bye', 'close-media', 'tell-ended', 'closed'] },
    { name: 'no bridge to connect', before: [{ type: 'media-opened' }, { type: 'invite-accepted', unusable: null }], input: { type: 'media-failed', failure }, expect: ['ack', 'send-bye', 'close-media', 'tell-ended', 'closed'] },
    { name: 'BYE before our ACK', before: [{ type: 'media-opened' }, { type: 'invite-accepted', unusable: null }], input: { type: 'peer-bye' }, expect: ['ack', 'close-media', 'tell-ended', 'closed'] },
    { name: 'never sends', before: [{ type: 'media-opened' }, { type: 'invite-accepted', unusable: null }, { type: 'media-connected' }], input: { type: 'tick' }, expect: ['send-bye', 'close-media', 'tell-ended', 'closed'] },
    { name: 'offline while inviting', before: [{ type: 'media-opened' }], input: { type: 'abort', failure }, expect: ['cancel-invite', 'close-media', 'tell-ended', 'closed'] },
  ];
  for (const { name, before, input, expect } of cases) {
    const { session } = SourceSession.start(TIMING);
    session.handle({ type: 'viewer-joined', viewerId: 'v1' }, at(0));
    for (const step of before) session.handle(step, at(0));
    t.same(types(session.handle(input, at(60_000))), expect, name);
    t.equal(session.phase, 'closed', name);
    t.equal(session.deadline, Infinity, name);
  }
  const later: [SourceInput, string[]][] = [
    [{ type: 'media-silent', silentMs: 15_000 }, ['send-bye', 'close-media', 'tell-ended', 'closed']],
    [{ type: 'media-closed', why: 'peer-closed' }, ['send-bye', 'close-media', 'tell-ended', 'closed']],
    [{ type: 'peer-bye' }, ['close-media', 'tell-ended', 'closed']],
    [{ type: 'media-lost' }, ['send-bye', 'close-media', 'tell-ended', 'closed']],
  ];
  for (const [input, expect] of later) t.same(types(flowing().handle(input, at(9_000))), expect, input.type);
});

await t.test('source: a joiner after the end is told so', async t => {
  const session = flowing();
  session.handle({ type: 'peer-bye' }, at(500));
  t.same(types(session.handle({ type: 'viewer-joined', viewerId: 'late' }, at(501))), ['tell-ended']);
  t.same(session.handle({ type: 'media-silent', silentMs: 1 }, at(502)), []);
});

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

const sourceInput: fc.Arbitrary<SourceInput> = fc.oneof(
  fc.record({ type: fc.constant('viewer-joined' as const), viewerId: fc.constantFrom('a', 'b', 'c') }),
  fc.record({ type: fc.constant('viewer-left' as const), viewerId: fc.constantFrom('a', 'b', 'c') }),
  fc.constantFrom<SourceInput>(
    { type: 'media-opened' },
    { type: 'media-connected' },
    { type: 'media-flowing' },
    { type: 'media-silent', silentMs: 15_000 },
    { type: 'media-closed', why: 'x' },
    { type: 'peer-bye' },
    { type: 'media-lost' },
    { type: 'abort', failure },
    { type: 'tick' },
  ),
);

await t.test('source: whatever comes in whatever order, it ends once, releases once and forgets nobody', async () => {
  fc.assert(
    fc.property(fc.array(sourceInput, { maxLength: 40 }), fc.boolean(), (inputs, accepts) => {
      const { session, outputs } = SourceSession.start(TIMING);
      const seen: SourceOutput[] = [...outputs];
      const waiting = new Set<string>();
      let now = 0;
      const feed = (input: SourceInput): void => {
        if (input.type === 'viewer-joined') waiting.add(input.viewerId);
        if (input.type === 'viewer-left') waiting.delete(input.viewerId);
        for (const output of session.handle(input, at(now))) {
          seen.push(output);
          if (output.type === 'tell-ended') for (const id of output.viewerIds) waiting.delete(id);
          // The camera answers as soon as it is asked, one way or the other.
          if (output.type === 'send-invite') feed(accepts ? { type: 'invite-accepted', unusable: null } : { type: 'invite-failed', failure });
        }
      };
      for (const input of inputs) {
        if (input.type === 'media-opened' && session.phase !== 'opening') continue;
        now += 7_000;
        feed(input);
      }
      feed({ type: 'abort', failure });
      const count = (type: SourceOutput['type']): number => seen.filter(output => output.type === type).length;
      return count('closed') === 1 && count('close-media') === 1 && count('send-bye') <= 1 && count('cancel-invite') === 0 && count('ack') === (accepts ? count('send-invite') : 0) && waiting.size === 0 && session.deadline === Infinity;
    }),
  );
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
