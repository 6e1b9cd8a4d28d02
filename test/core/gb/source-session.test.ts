import fc from 'fast-check';
import t from 'tap';
import { type SourceCandidate, SourceChoice } from '#core/gb/source-choice.ts';
import { SourceLegSession, type SourceLegInput, type SourceLegOutput } from '#core/gb/source-leg-session.ts';
import { SourceSession, type SourceFailure, type SourceInput, type SourceOutput } from '#core/gb/source-session.ts';
import { ms } from '#core/units.ts';

const LEG_TIMING = { inviteTimeoutMs: 15_000, firstPacketMs: 10_000 };
const TIMING = { lingerMs: 5_000, takeOverMs: 30_000 };
const at = ms;
const types = (outputs: readonly { type: string }[]): string[] => outputs.map(output => output.type);
const failure: SourceFailure = { code: 'MEDIA_SILENT', why: 'nothing came' };
const busy: SourceFailure = { code: 'SIP_REJECTED', why: 'busy', status: 486 };

await t.test('leg: the usual life', async t => {
  const { session, outputs } = SourceLegSession.start(LEG_TIMING);
  t.same(types(outputs), ['open-media']);
  t.same(types(session.handle({ type: 'media-opened' }, at(10))), ['send-invite']);
  t.equal(session.deadline, 15_010);
  t.same(types(session.handle({ type: 'invite-accepted', unusable: null }, at(100))), ['connect-media', 'answered']);
  t.equal(session.deadline, 10_100);
  t.same(session.handle({ type: 'media-silent', silentMs: 5 }, at(101)), [], 'before the first packet its own timer decides');
  t.same(session.handle({ type: 'media-connected' }, at(101)), [{ type: 'ack' }]);
  t.same(session.handle({ type: 'media-connected' }, at(102)), [], 'one ACK');
  t.same(types(session.handle({ type: 'media-flowing' }, at(300))), ['flowing']);
  t.equal(session.deadline, Infinity);
  t.same(session.handle({ type: 'media-flowing' }, at(400)), [], 'told once');
  t.same(types(session.handle({ type: 'stop', failure: null }, at(500))), ['send-bye', 'ended']);
  t.same(session.handle({ type: 'peer-bye' }, at(501)), []);
});

await t.test('leg: every way to fail ends the dialog that there is', async t => {
  const opened: SourceLegInput = { type: 'media-opened' };
  const accepted: SourceLegInput = { type: 'invite-accepted', unusable: null };
  const connected: SourceLegInput = { type: 'media-connected' };
  const flowing: SourceLegInput[] = [opened, accepted, connected, { type: 'media-flowing' }];
  const cases: { name: string; before: SourceLegInput[]; input: SourceLegInput; expect: string[] }[] = [
    { name: 'no port', before: [], input: { type: 'media-failed', failure: { code: 'PORTS_EXHAUSTED', why: 'none free' } }, expect: ['ended'] },
    { name: '486', before: [opened], input: { type: 'invite-failed', failure: busy }, expect: ['ended'] },
    { name: 'no answer', before: [opened], input: { type: 'tick' }, expect: ['cancel-invite', 'ended'] },
    { name: 'nobody wants it before the answer', before: [opened], input: { type: 'stop', failure: null }, expect: ['cancel-invite', 'ended'] },
    { name: 'unusable answer', before: [opened], input: { type: 'invite-accepted', unusable: 'no media line' }, expect: ['ack', 'send-bye', 'ended'] },
    { name: 'no bridge to connect', before: [opened, accepted], input: { type: 'media-failed', failure }, expect: ['ack', 'send-bye', 'ended'] },
    { name: 'BYE before our ACK', before: [opened, accepted], input: { type: 'peer-bye' }, expect: ['ack', 'ended'] },
    { name: 'never sends', before: [opened, accepted, connected], input: { type: 'tick' }, expect: ['send-bye', 'ended'] },
    { name: 'silent', before: flowing, input: { type: 'media-silent', silentMs: 15_000 }, expect: ['send-bye', 'ended'] },
    { name: 'media closed', before: flowing, input: { type: 'media-closed', why: 'peer-closed' }, expect: ['send-bye', 'ended'] },
    { name: 'BYE', before: flowing, input: { type: 'peer-bye' }, expect: ['ended'] },
  ];
  for (const { name, before, input, expect } of cases) {
    const { session } = SourceLegSession.start(LEG_TIMING);
    for (const step of before) session.handle(step, at(0));
    t.same(types(session.handle(input, at(60_000))), expect, name);
    t.equal(session.phase, 'ended', name);
    t.equal(session.deadline, Infinity, name);
  }
  const restored = SourceLegSession.restored(LEG_TIMING, false, at(1_000));
  t.equal(restored.deadline, 11_000, 'a leg from before a restart that was not seen to flow gets its time');
  t.same(types(restored.handle({ type: 'media-flowing' }, at(2_000))), ['flowing']);
});

/** A source with one viewer, brought to `flowing` on leg a. */
function flowing(timing = TIMING): SourceSession {
  const { session } = SourceSession.start(timing);
  session.handle({ type: 'leg-chosen', legId: 'a' }, at(0));
  session.handle({ type: 'viewer-joined', viewerId: 'v1' }, at(0));
  session.handle({ type: 'leg-answered', legId: 'a' }, at(100));
  session.handle({ type: 'leg-flowing', legId: 'a' }, at(200));
  return session;
}

await t.test('source: the usual life', async t => {
  const { session, outputs } = SourceSession.start(TIMING);
  t.match(outputs, [{ type: 'next-leg', because: 'start' }]);
  t.same(session.handle({ type: 'leg-chosen', legId: 'a' }, at(0)), []);
  t.same(session.handle({ type: 'viewer-joined', viewerId: 'v1' }, at(0)), []);
  t.same(session.handle({ type: 'leg-answered', legId: 'a' }, at(100)), [{ type: 'tell-ready', viewerIds: ['v1'] }]);
  t.same(session.handle({ type: 'viewer-joined', viewerId: 'v2' }, at(100)), [{ type: 'tell-ready', viewerIds: ['v2'] }], 'before the first packet too');
  t.same(session.handle({ type: 'leg-flowing', legId: 'a' }, at(300)), []);
  t.same(session.handle({ type: 'viewer-left', viewerId: 'v2' }, at(300)), []);
  t.same(session.handle({ type: 'viewer-left', viewerId: 'v1' }, at(1_000)), []);
  t.equal(session.phase, 'lingering');
  t.same(session.handle({ type: 'viewer-joined', viewerId: 'v3' }, at(2_000)), [{ type: 'tell-ready', viewerIds: ['v3'] }]);
  session.handle({ type: 'viewer-left', viewerId: 'v3' }, at(3_000));
  t.same(session.handle({ type: 'tick' }, at(7_999)), []);
  t.same(types(session.handle({ type: 'tick' }, at(8_000))), ['stop-leg', 'close-bridge', 'closed']);
  t.same(types(session.handle({ type: 'viewer-joined', viewerId: 'late' }, at(8_001))), ['tell-ended'], 'a joiner after the end is told so');
});

await t.test('source: whose place is wanted does not linger', async t => {
  const session = flowing();
  t.same(session.handle({ type: 'hurry' }, at(500)), [], 'somebody watches');
  session.handle({ type: 'viewer-left', viewerId: 'v1' }, at(1_000));
  t.same(types(session.handle({ type: 'hurry' }, at(1_000))), ['stop-leg', 'close-bridge', 'closed']);
});

await t.test('source: before anything flowed the next way is tried, and the first failure is the one that is told', async t => {
  const { session } = SourceSession.start(TIMING);
  session.handle({ type: 'leg-chosen', legId: 'a' }, at(0));
  session.handle({ type: 'viewer-joined', viewerId: 'v1' }, at(0));
  t.match(session.handle({ type: 'leg-ended', legId: 'a', failure: busy }, at(50)), [{ type: 'close-leg', legId: 'a' }, { type: 'next-leg', because: 'failed' }]);
  session.handle({ type: 'leg-chosen', legId: 'b' }, at(50));
  t.match(session.handle({ type: 'leg-ended', legId: 'b', failure }, at(60)), [{ type: 'close-leg' }, { type: 'next-leg' }]);
  t.match(session.handle({ type: 'leg-chosen', legId: null }, at(60)), [{ type: 'close-bridge' }, { type: 'tell-ended', viewerIds: ['v1'], failure: busy }, { type: 'closed', failure: busy }]);
  const { session: full } = SourceSession.start(TIMING);
  full.handle({ type: 'leg-chosen', legId: 'a' }, at(0));
  full.handle({ type: 'viewer-joined', viewerId: 'v1' }, at(0));
  t.same(types(full.handle({ type: 'leg-ended', legId: 'a', failure: { code: 'PORTS_EXHAUSTED', why: 'none' } }, at(1))), ['close-bridge', 'tell-ended', 'closed'], 'no other way would find a port');
});

await t.test('source: a leg that dies under its viewers is replaced, and they hear nothing', async t => {
  const session = flowing();
  t.match(session.handle({ type: 'leg-ended', legId: 'a', failure }, at(9_000)), [{ type: 'close-leg', legId: 'a' }, { type: 'next-leg', because: 'failed', failure }]);
  t.equal(session.phase, 'failing-over');
  t.equal(session.deadline, 39_000);
  session.handle({ type: 'leg-chosen', legId: 'b' }, at(9_000));
  t.same(session.handle({ type: 'leg-answered', legId: 'b' }, at(9_100)), [], 'they were answered long ago');
  t.same(session.handle({ type: 'viewer-joined', viewerId: 'v2' }, at(9_200)), [{ type: 'tell-ready', viewerIds: ['v2'] }], 'one who comes now is answered too');
  t.same(session.handle({ type: 'leg-flowing', legId: 'b' }, at(9_300)), [{ type: 'taken-over', legId: 'b' }]);
  t.equal(session.phase, 'flowing');
  t.equal(session.deadline, Infinity);
  t.same(session.handle({ type: 'leg-ended', legId: 'a', failure: null }, at(9_400)), [], 'what the old one says means nothing');
  session.handle({ type: 'leg-ended', legId: 'b', failure }, at(10_000));
  session.handle({ type: 'leg-chosen', legId: 'c' }, at(10_000));
  t.same(types(session.handle({ type: 'tick' }, at(40_000))), ['stop-leg', 'close-bridge', 'tell-ended', 'closed'], 'not for ever');
  const left = flowing();
  left.handle({ type: 'leg-ended', legId: 'a', failure }, at(9_000));
  left.handle({ type: 'leg-chosen', legId: 'b' }, at(9_000));
  t.same(types(left.handle({ type: 'viewer-left', viewerId: 'v1' }, at(9_500))), ['stop-leg', 'close-bridge', 'closed'], 'nor for nobody');
});

await t.test('source: a lossy leg flows on until a better one does', async t => {
  const session = flowing();
  t.same(session.handle({ type: 'leg-lossy', legId: 'b' }, at(1_000)), []);
  t.match(session.handle({ type: 'leg-lossy', legId: 'a' }, at(1_000)), [{ type: 'next-leg', because: 'lossy' }]);
  session.handle({ type: 'leg-chosen', legId: 'b' }, at(1_000));
  t.same(session.handle({ type: 'leg-lossy', legId: 'a' }, at(1_500)), [], 'once');
  t.match(session.handle({ type: 'leg-ended', legId: 'b', failure }, at(2_000)), [{ type: 'close-leg', legId: 'b' }, { type: 'next-leg', because: 'lossy' }]);
  session.handle({ type: 'leg-chosen', legId: 'c' }, at(2_000));
  t.same(session.handle({ type: 'leg-flowing', legId: 'c' }, at(2_500)), [{ type: 'stop-leg', legId: 'a' }, { type: 'taken-over', legId: 'c' }]);
  const vain = flowing();
  vain.handle({ type: 'leg-lossy', legId: 'a' }, at(1_000));
  t.same(vain.handle({ type: 'leg-chosen', legId: null }, at(1_000)), []);
  t.equal(vain.phase, 'flowing', 'it stays as it is');
  const dies = flowing();
  dies.handle({ type: 'leg-lossy', legId: 'a' }, at(1_000));
  dies.handle({ type: 'leg-chosen', legId: 'b' }, at(1_000));
  t.same(dies.handle({ type: 'leg-ended', legId: 'a', failure }, at(1_100)), [{ type: 'close-leg', legId: 'a' }], 'the one that is tried already is the hope');
  t.same(dies.handle({ type: 'leg-flowing', legId: 'b' }, at(1_200)), [{ type: 'taken-over', legId: 'b' }]);
  const leaves = flowing();
  leaves.handle({ type: 'leg-lossy', legId: 'a' }, at(1_000));
  leaves.handle({ type: 'leg-chosen', legId: 'b' }, at(1_000));
  t.same(types(leaves.handle({ type: 'viewer-left', viewerId: 'v1' }, at(1_100))), ['stop-leg', 'close-leg']);
  t.equal(leaves.phase, 'lingering');
});

await t.test('source: a camera that sends to one only is asked after the running leg made room', async t => {
  const session = flowing();
  session.handle({ type: 'leg-lossy', legId: 'a' }, at(1_000));
  session.handle({ type: 'leg-chosen', legId: 'b' }, at(1_000));
  t.match(session.handle({ type: 'leg-ended', legId: 'b', failure: busy }, at(1_100)), [{ type: 'close-leg', legId: 'b' }, { type: 'next-leg', because: 'busy' }]);
  t.same(session.handle({ type: 'leg-chosen', legId: 'c' }, at(1_100)), [{ type: 'stop-leg', legId: 'a' }, { type: 'close-leg', legId: 'a' }]);
  t.equal(session.phase, 'failing-over');
  t.match(session.handle({ type: 'leg-ended', legId: 'c', failure }, at(1_200)), [{ type: 'close-leg', legId: 'c' }, { type: 'next-leg', because: 'failed' }]);
  session.handle({ type: 'leg-chosen', legId: 'd' }, at(1_200));
  t.same(session.handle({ type: 'leg-flowing', legId: 'd' }, at(1_300)), [{ type: 'taken-over', legId: 'd' }], 'back to what it was');
});

await t.test('source: after a restart', async t => {
  const both = SourceSession.restored(TIMING, 'a', 'b', at(0));
  both.handle({ type: 'viewer-joined', viewerId: 'v1' }, at(0));
  t.equal(both.phase, 'switching');
  t.same(types(both.handle({ type: 'leg-flowing', legId: 'b' }, at(1))), ['stop-leg', 'taken-over'], 'it took over while nobody looked');
  const late = SourceSession.restored(TIMING, undefined, 'b', at(0));
  t.equal(late.phase, 'failing-over');
  t.equal(late.deadline, 30_000);
});

const legIds = ['a', 'b', 'c', 'd'] as const;
const sourceInput: fc.Arbitrary<SourceInput> = fc.oneof(
  fc.record({ type: fc.constant('viewer-joined' as const), viewerId: fc.constantFrom('v', 'w') }),
  fc.record({ type: fc.constant('viewer-left' as const), viewerId: fc.constantFrom('v', 'w') }),
  fc.record({ type: fc.constantFrom('leg-answered' as const, 'leg-flowing' as const, 'leg-lossy' as const), legId: fc.constantFrom(...legIds) }),
  fc.record({ type: fc.constant('leg-ended' as const), legId: fc.constantFrom(...legIds), failure: fc.constantFrom(failure, busy, null) }),
  fc.constantFrom<SourceInput>({ type: 'media-lost' }, { type: 'tick' }),
);

await t.test('source: whatever comes in whatever order, it ends once, stops what runs and forgets nobody', async () => {
  fc.assert(
    fc.property(fc.array(sourceInput, { maxLength: 60 }), fc.infiniteStream(fc.boolean()), (inputs, chances) => {
      const { session, outputs } = SourceSession.start(TIMING);
      const seen: SourceOutput[] = [];
      const waiting = new Set<string>();
      const alive = new Set<string>();
      let [now, count] = [0, 0];
      const take = (all: readonly SourceOutput[]): void => {
        for (const output of all) {
          seen.push(output);
          if (output.type === 'tell-ended') for (const id of output.viewerIds) waiting.delete(id);
          if (output.type === 'stop-leg') alive.delete(output.legId);
          if (output.type !== 'next-leg') continue;
          const legId = chances.next().value && count < legIds.length ? legIds[count++]! : null;
          if (legId !== null) alive.add(legId);
          feed({ type: 'leg-chosen', legId });
        }
      };
      const feed = (input: SourceInput): void => {
        if (input.type === 'viewer-joined') waiting.add(input.viewerId);
        if (input.type === 'viewer-left') waiting.delete(input.viewerId);
        take(session.handle(input, at(now)));
      };
      take(outputs);
      for (const input of inputs) {
        now += 2_000;
        // A leg that does not live says nothing.
        if ('legId' in input && !(input.legId !== null && alive.has(input.legId))) continue;
        if (input.type === 'leg-ended') alive.delete(input.legId);
        feed(input);
      }
      feed({ type: 'abort', failure });
      const times = (type: SourceOutput['type']): number => seen.filter(output => output.type === type).length;
      return times('closed') === 1 && times('close-bridge') === 1 && waiting.size === 0 && alive.size === 0 && session.deadline === Infinity;
    }),
  );
});

const legInput: fc.Arbitrary<SourceLegInput> = fc.constantFrom<SourceLegInput>(
  { type: 'media-opened' },
  { type: 'media-connected' },
  { type: 'media-flowing' },
  { type: 'media-silent', silentMs: 15_000 },
  { type: 'media-closed', why: 'x' },
  { type: 'peer-bye' },
  { type: 'tick' },
);

await t.test('leg: whatever comes in whatever order, it ends once and leaves no dialog behind', async () => {
  fc.assert(
    fc.property(fc.array(legInput, { maxLength: 40 }), fc.boolean(), (inputs, accepts) => {
      const { session, outputs } = SourceLegSession.start(LEG_TIMING);
      const seen: SourceLegOutput[] = [...outputs];
      let now = 0;
      const feed = (input: SourceLegInput): void => {
        for (const output of session.handle(input, at(now))) {
          seen.push(output);
          if (output.type === 'send-invite') feed(accepts ? { type: 'invite-accepted', unusable: null } : { type: 'invite-failed', failure });
        }
      };
      for (const input of inputs) {
        now += 7_000;
        feed(input);
      }
      feed({ type: 'stop', failure });
      const count = (type: SourceLegOutput['type']): number => seen.filter(output => output.type === type).length;
      return count('ended') === 1 && count('send-bye') <= 1 && count('ack') === (accepts ? count('send-invite') : 0) && session.deadline === Infinity;
    }),
  );
});

await t.test('choice: the order of the resource, then TCP, then back', async t => {
  const way = (deviceId: string, more: Partial<SourceCandidate> = {}): SourceCandidate => ({ deviceId, channelId: 'c', isReachable: true, transport: 'udp', mayMoveToTcp: true, ...more });
  const choice = new SourceChoice();
  const ways = [way('1', { isReachable: false }), way('2'), way('3', { transport: 'tcp-active' })];
  t.match(choice.next('start', ways, at(0)), { deviceId: '2', transport: 'udp' });
  t.match(choice.next('failed', ways, at(1)), { deviceId: '3', transport: 'tcp-active' });
  t.equal(choice.next('failed', ways, at(2)), null, 'each once');
  const flows = new SourceChoice();
  flows.flows(flows.next('start', ways, at(0))!);
  t.match(flows.next('lossy', ways, at(100)), { deviceId: '2', transport: 'tcp-passive' });
  t.match(flows.next('lossy', ways, at(200)), { deviceId: '2', transport: 'tcp-active' });
  t.equal(flows.next('lossy', ways, at(300)), null);
  flows.flows({ deviceId: '2', channelId: 'c', transport: 'udp' });
  t.match(flows.next('lossy', ways, at(400)), { transport: 'tcp-passive' });
  t.match(flows.next('busy', ways, at(500)), { deviceId: '2', transport: 'tcp-passive' });
  t.match(flows.next('failed', ways, at(600)), { deviceId: '2', transport: 'udp' }, 'as before');
  t.match(flows.next('failed', ways, at(700)), { deviceId: '3' }, 'and should that be gone, the next source');
  for (const [why, candidate] of [['a transport that is fixed', way('2', { mayMoveToTcp: false })], ['a device that is gone', way('2', { isReachable: false })], ['a source that is none any more', way('9')]] as const) {
    const held = new SourceChoice();
    held.flows({ deviceId: '2', channelId: 'c', transport: 'udp' });
    t.equal(held.next('lossy', [candidate], at(0)), null, why);
  }
  const tcp = new SourceChoice();
  tcp.flows({ deviceId: '3', channelId: 'c', transport: 'tcp-active' });
  t.equal(tcp.next('lossy', ways, at(0)), null, 'TCP is not moved');
  const two = new SourceChoice();
  two.flows({ deviceId: '2', channelId: 'c', transport: 'udp' });
  const pair = [way('2'), way('3')];
  two.flows(two.next('failed', pair, at(0))!);
  t.equal(two.next('failed', pair, at(5_000)), null, 'not back to one that failed a moment ago');
  two.flows({ deviceId: '3', channelId: 'c', transport: 'udp' });
  t.match(two.next('failed', pair, at(20_000)), { deviceId: '2' }, 'later it may be');
});

await t.test('source: a connection that died with a node is asked for again, and nothing is held against the camera', async t => {
  const restored = (): SourceSession => {
    const session = SourceSession.restored({ lingerMs: 0, takeOverMs: 0 }, 'a', undefined, at(0), true);
    session.handle({ type: 'viewer-joined', viewerId: 'v1' }, at(0));
    return session;
  };
  const session = restored();
  t.match(session.handle({ type: 'leg-cut' }, at(10)), [{ type: 'stop-leg', legId: 'a' }, { type: 'close-leg', legId: 'a' }, { type: 'next-leg', because: 'cut' }]);
  t.same(session.handle({ type: 'leg-chosen', legId: 'b' }, at(10)), []);
  t.same(session.handle({ type: 'leg-ended', legId: 'a', failure: null }, at(11)), [], 'the end of the old one is known');
  t.equal(session.deadline, 10_010, 'it has its time also where nothing else may take over');
  t.same(session.handle({ type: 'leg-flowing', legId: 'b' }, at(400)), [{ type: 'taken-over', legId: 'b' }]);
  t.equal(session.phase, 'flowing');

  const hungUp = restored();
  t.match(hungUp.handle({ type: 'leg-ended', legId: 'a', failure: { code: 'PEER_OFFLINE', why: 'the camera sent BYE' } }, at(5)), [{ type: 'close-leg' }, { type: 'next-leg', because: 'cut' }], 'a camera that noticed first');
  t.same(hungUp.handle({ type: 'leg-cut' }, at(10)), [], 'once');

  const stands = restored();
  stands.handle({ type: 'leg-stands' }, at(5));
  t.match(stands.handle({ type: 'leg-ended', legId: 'a', failure }, at(6)), [{ type: 'close-leg' }, { type: 'next-leg', because: 'failed' }], 'what ends it later is meant');

  const alone = restored();
  alone.handle({ type: 'leg-cut' }, at(10));
  t.match(alone.handle({ type: 'leg-chosen', legId: null }, at(10)).at(-1), { type: 'closed', failure: { code: 'MEDIA_UNAVAILABLE' } });
});

await t.test('choice: what was cut is asked again as it was', async t => {
  const choice = new SourceChoice();
  const way = { deviceId: 'd', channelId: 'c', isReachable: true, transport: 'udp', mayMoveToTcp: true } as const;
  choice.flows({ deviceId: 'd', channelId: 'c', transport: 'tcp-passive' });
  t.same(choice.next('cut', [way], at(0)), { deviceId: 'd', channelId: 'c', transport: 'tcp-passive' });
  t.equal(choice.next('cut', [{ ...way, isReachable: false }], at(1)), null, 'a camera that is away is not');
});
