/** RFC 6665 in both roles: the automata alone, then through the user agent. */
import t from 'tap';
import fc from 'fast-check';
import { header, tagOf } from '#core/sip/message.ts';
import type { Notifier } from '#core/sip/notifier.ts';
import type { Subscriber } from '#core/sip/subscriber.ts';
import { NotifierMachine, SubscriberMachine, parseSubscriptionState } from '#core/sip/subscription.ts';
import { RFC_TIMING } from '#core/sip/timing.ts';
import { NEVER, ms } from '#core/units.ts';
import { A, B, type Node, World, asks, at, requestOf } from './world.ts';

const CATALOG = { event: 'Catalog;id=7', expires: 600, contentType: 'application/manscdp+xml', body: new Uint8Array([60]) };

t.test('Subscription-State', async t => {
  const table: [string | undefined, ReturnType<typeof parseSubscriptionState>][] = [
    ['active;expires=90;retry-after=0', { state: 'active', reason: undefined, expiresS: 90 }],
    ['Active', { state: 'active', reason: undefined, expiresS: undefined }],
    ['terminated ; reason=noresource', { state: 'terminated', reason: 'noresource', expiresS: undefined }],
    ['pending;Expires=1', { state: 'pending', reason: undefined, expiresS: 1 }],
    [undefined, { state: 'active', reason: undefined, expiresS: undefined }],
    ['', { state: 'active', reason: undefined, expiresS: undefined }],
    ['active;expires=4294967296000', { state: 'active', reason: undefined, expiresS: undefined }],
  ];
  for (const [text, value] of table) t.same(parseSubscriptionState(text), value, String(text));
  t.doesNotThrow(() => fc.assert(fc.property(fc.string(), text => typeof parseSubscriptionState(text).state === 'string')));
});

t.test('the automata end once, whatever happens', async t => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('granted' as const), value: fc.integer({ min: 0, max: 1000 }) }),
    fc.record({ type: fc.constant('status' as const), value: fc.integer({ min: 300, max: 699 }) }),
    fc.record({ type: fc.constant('silence' as const), value: fc.constant(0) }),
    fc.record({ type: fc.constant('leave' as const), value: fc.constant(0) }),
    fc.record({ type: fc.constant('wait' as const), value: fc.integer({ min: 0, max: 700_000 }) }),
  );
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), steps => {
        const subscriber = new SubscriberMachine(RFC_TIMING);
        const notifier = new NotifierMachine(60, ms(0));
        const ended = { subscriber: 0, notifier: 0 };
        let now = 0;
        const note = (who: 'subscriber' | 'notifier', actions: readonly string[]): void => void (ended[who] += actions.filter(action => action === 'ended').length);
        for (const { type, value } of [...steps, { type: 'granted' as const, value: 10 }, { type: 'wait' as const, value: 1_000_000 }]) {
          if (type === 'granted') {
            subscriber.granted(value, ms(now));
            notifier.refreshed(value, ms(now));
          } else if (type === 'status' || type === 'silence') {
            note('subscriber', type === 'status' ? subscriber.refused(value, ms(now)) : subscriber.unanswered(ms(now)));
            note('notifier', notifier.answered(type === 'status' ? value : undefined));
          } else if (type === 'leave') {
            subscriber.leave(ms(now));
            notifier.ending('unsubscribed');
          } else {
            const until = now + value;
            for (let guard = 0; Math.min(subscriber.deadline, notifier.deadline) <= until && guard < 1000; guard++) {
              now = Math.min(subscriber.deadline, notifier.deadline);
              if (subscriber.deadline <= now) note('subscriber', subscriber.tick(ms(now)));
              if (notifier.deadline <= now && notifier.tick(ms(now)).includes('expired')) notifier.ending('expired');
            }
            now = until;
          }
        }
        note('notifier', notifier.answered(200));
        return ended.subscriber === 1 && ended.notifier <= 1 && subscriber.deadline === NEVER && notifier.deadline === NEVER && notifier.state === 'terminated';
      }),
      { numRuns: 300 },
    ),
  );
});

interface Pair {
  readonly world: World;
  readonly a: Node;
  readonly b: Node;
  readonly subscriber: Subscriber;
  notifier(): Notifier;
}
/** A subscribes at B for what `expires` says; B grants and says nothing by itself. */
function subscribed(expires = 600, grantedS = expires): Pair {
  const world = new World();
  const [a, b] = [world.node(A), world.node(B)];
  const notifiers: Notifier[] = [];
  b.on = event => void (event.type === 'subscribe' && notifiers.push(b.agent.subscriptions.accept(event.transaction, {}, grantedS, world.now)!));
  a.on = event => void (event.type === 'subscription-notify' && a.agent.respond(event.transaction, 200, {}, world.now));
  const { method: _method, ...names } = asks('SUBSCRIBE', A, B);
  const subscriber = a.agent.subscriptions.subscribe({ ...names, ...CATALOG, expires }, at(B), world.now);
  world.run(100);
  return { world, a, b, subscriber, notifier: () => notifiers[0]! };
}
const holdsNothing = (t: { same(a: unknown, b: unknown, name: string): unknown }, ...nodes: Node[]): void => {
  for (const node of nodes) t.same(Object.values(node.agent.sizes), [0, 0, 0, 0, 0, 0], `${node.address} holds nothing`);
};

t.test('subscribe, notify, refresh at 80 %, unsubscribe', async t => {
  const { world, a, b, subscriber, notifier } = subscribed(100);
  t.same(world.kinds(), ['SUBSCRIBE', '200 SUBSCRIBE']);
  const first = requestOf(world.log[0]);
  t.same([header(first, 'Event'), first.expires, first.contact.length], ['Catalog;id=7', 100, 1]);
  t.equal(a.one('subscription-active').expiresS, 100);
  t.same([b.one('subscribe').event, b.one('subscribe').expiresS], ['Catalog;id=7', 100]);

  notifier().notify({ contentType: 'application/manscdp+xml', body: new Uint8Array([62]) }, 'active', world.now);
  world.run(200);
  const { request, value } = a.one('subscription-notify');
  t.same([value.state, value.expiresS, header(request, 'Event'), [...request.body]], ['active', 100, 'Catalog;id=7', [62]]);
  t.equal(tagOf(request.from), tagOf(world.passed('200 SUBSCRIBE')[0]!.message.to));

  world.run(80_250);
  const again = requestOf(world.passed('SUBSCRIBE')[1]);
  t.ok(world.times('SUBSCRIBE')[1]! >= 80_000, 'at 80 %');
  t.same([again.callId, tagOf(again.to), again.cseq.seq, [...again.body], header(again, 'Event'), again.expires], [first.callId, subscriber.dialog!.remoteTag, first.cseq.seq + 1, [60], 'Catalog;id=7', 100], 'same dialog, next number, whole body again');
  t.equal(b.one('notifier-refreshed').expiresS, 100);
  world.run(500_000);
  t.equal(world.times('SUBSCRIBE').length, 7, 'and so on');

  subscriber.unsubscribe(world.now);
  world.run(600_000);
  t.equal(requestOf(world.passed('SUBSCRIBE').at(-1)).expires, 0);
  t.equal(header(requestOf(world.passed('NOTIFY').at(-1)), 'Subscription-State'), 'terminated;reason=timeout');
  t.equal(a.one('subscription-ended').cause, 'unsubscribed');
  t.equal(b.one('notifier-ended').cause, 'unsubscribed');
  holdsNothing(t, a, b);
});

t.test('replaced: over at either end without a word', async t => {
  const { world, a, b, subscriber, notifier } = subscribed(100);
  notifier().notify({}, 'active', world.now);
  notifier().replace(world.now);
  notifier().replace(world.now);
  world.run(200);
  t.equal(b.one('notifier-ended').cause, 'replaced');
  t.same(world.kinds(), ['SUBSCRIBE', '200 SUBSCRIBE', 'NOTIFY', '200 NOTIFY'], 'no last NOTIFY');
  subscriber.replace(world.now);
  world.run(200_000);
  t.equal(a.one('subscription-ended').cause, 'replaced');
  t.equal(world.kinds().length, 4, 'and no refresh');
  holdsNothing(t, a, b);
});

t.test('the notifier ends it', async t => {
  const { world, a, b, notifier } = subscribed();
  notifier().end({}, 'noresource', 'terminated:noresource', world.now);
  t.equal(notifier().end({}, 'again', 'terminated:again', world.now), undefined, 'once');
  world.run(100_000);
  t.equal(a.one('subscription-ended').cause, 'terminated:noresource');
  t.equal(b.one('notifier-ended').cause, 'terminated:noresource');
  holdsNothing(t, a, b);
});

t.test('expiry at both ends', async t => {
  const { world, a, b } = subscribed(60);
  world.loses = kind => kind === 'SUBSCRIBE';
  world.run(59_999);
  t.same(a.eventsOf('subscription-ended'), []);
  world.run(200_000);
  t.equal(a.one('subscription-ended').cause, 'terminated:timeout', 'the last NOTIFY says so');
  t.equal(b.one('notifier-ended').cause, 'expired');
  holdsNothing(t, a, b);
  const cut = subscribed(60);
  cut.world.loses = () => true;
  cut.world.run(300_000);
  t.equal(cut.a.one('subscription-ended').cause, 'expired');
  t.equal(cut.b.one('notifier-ended').cause, 'expired');
  holdsNothing(t, cut.a, cut.b);
});

t.test('a refresh without answer is tried again before the end', async t => {
  const { world, a } = subscribed(400);
  world.loses = kind => kind === 'SUBSCRIBE' && world.now < 355_000;
  world.run(390_000);
  t.same(a.eventsOf('subscription-active').length, 2, 'it recovered');
  t.same(a.eventsOf('subscription-ended'), []);
});

t.test('refused, at first and later', async t => {
  const world = new World();
  const [a, b] = [world.node(A), world.node(B)];
  b.on = event => void (event.type === 'subscribe' && b.agent.respond(event.transaction, 489, {}, world.now));
  const { method: _method, ...names } = asks('SUBSCRIBE', A, B);
  a.agent.subscriptions.subscribe({ ...names, ...CATALOG }, at(B), world.now);
  world.run(100_000);
  t.same([a.one('subscription-ended').cause, a.one('subscription-ended').status], ['rejected', 489]);
  holdsNothing(t, a, b);
  a.events.length = 0;
  a.isolated = true;
  a.agent.subscriptions.subscribe({ ...names, ...CATALOG }, at(B), world.now);
  world.run(200_000);
  t.equal(a.one('subscription-ended').cause, 'unanswered', 'no way at all');
  holdsNothing(t, a);

  const gone = subscribed(100);
  gone.b.agent.closeDialog(gone.notifier().dialog, gone.world.now);
  gone.world.run(81_000);
  t.same([gone.a.one('subscription-ended').cause, gone.a.one('subscription-ended').status], ['gone', 481], 'the peer forgot it: subscribe anew');
  t.equal(gone.a.agent.sizes.subscriptions, 0);
});

t.test('423 is followed once', async t => {
  const { world, a, subscriber } = subscribed(60);
  const brief = (seq: number): string => {
    const sent = requestOf(world.passed('SUBSCRIBE').at(-1));
    return `SIP/2.0 423 Interval Too Brief\nVia: SIP/2.0/UDP ${A}:5060;branch=${sent.via[0]!.params.get('branch')}\nFrom: <sip:x@${A}>;tag=${tagOf(sent.from)}\nTo: <sip:y@${B}>;tag=${tagOf(sent.to)}\nCall-ID: ${sent.callId}\nCSeq: ${seq} SUBSCRIBE\nMin-Expires: 900\nContent-Length: 0\n\n`;
  };
  world.loses = kind => kind === 'SUBSCRIBE';
  subscriber.refresh(world.now);
  world.run(world.now + 100);
  world.inject(brief(requestOf(world.passed('SUBSCRIBE').at(-1)).cseq.seq), B, A);
  world.run(world.now + 100);
  t.equal(requestOf(world.passed('SUBSCRIBE').at(-1)).expires, 900);
  world.inject(brief(requestOf(world.passed('SUBSCRIBE').at(-1)).cseq.seq), B, A);
  const sent = world.times('SUBSCRIBE').length;
  world.run(world.now + 300);
  t.equal(world.times('SUBSCRIBE').length, sent);
  t.same(a.eventsOf('subscription-ended'), []);
});

t.test('NOTIFY before the 2xx makes the dialog', async t => {
  const world = new World();
  const [a, b] = [world.node(A), world.node(B)];
  let notifier: Notifier | undefined;
  b.on = event => {
    if (event.type !== 'subscribe') return;
    notifier = b.agent.subscriptions.accept(event.transaction, {}, 600, world.now);
    notifier?.notify({}, 'active', world.now);
  };
  a.on = event => void (event.type === 'subscription-notify' && a.agent.respond(event.transaction, 200, {}, world.now));
  world.loses = (kind, nth) => kind === '200 SUBSCRIBE' && nth === 1;
  const { method: _method, ...names } = asks('SUBSCRIBE', A, B);
  const subscriber = a.agent.subscriptions.subscribe({ ...names, ...CATALOG }, at(B), world.now);
  world.run(300);
  t.equal(a.eventsOf('subscription-notify').length, 1);
  t.equal(world.kinds().at(-1), '200 NOTIFY');
  t.equal(subscriber.dialog?.remoteTag, notifier?.dialog.localTag);
  world.run(5000);
  t.equal(a.one('subscription-active').expiresS, 600, 'the 2xx comes later');
  t.equal(a.agent.sizes.dialogs, 1);
});

t.test('NOTIFY for nobody: 481 (faults.md 50)', async t => {
  const { world, a, b, subscriber } = subscribed();
  const notify = (callId: string, to: string, branch: string, cseq = 2): string =>
    `NOTIFY sip:x@${A} SIP/2.0\nVia: SIP/2.0/UDP ${B}:5060;branch=z9hG4bK${branch}\nFrom: <sip:y@${B}>;tag=${subscriber.dialog!.remoteTag}\nTo: <sip:x@${A}>${to}\nCall-ID: ${callId}\nCSeq: ${cseq} NOTIFY\nEvent: Catalog\nContent-Length: 0\n\n`;
  world.inject(notify('unknown', ';tag=1', '1'), B, A);
  world.inject(notify('unknown', '', '2'), B, A);
  world.run(200);
  t.equal(world.passed('481 NOTIFY').length, 2);

  for (let i = 0; i < 3; i++) {
    world.inject(notify(subscriber.callId, '', `q${i}`), B, A);
    world.run(world.now + 50);
  }
  t.equal(a.eventsOf('subscription-notify').length, 3, 'without our tag and always CSeq 2, as MiBeeNvr sends it: taken by Call-ID and address');
  t.equal(a.counters['sip.quirk.dialog-tag'], 3);
  t.equal(b.eventsOf('notifier-ended').length, 0);

  world.inject(notify(subscriber.callId, `;tag=${subscriber.localTag}`, 'sub').replaceAll('NOTIFY', 'SUBSCRIBE'), B, A);
  world.run(world.now + 50);
  t.equal(world.kinds().at(-1), '481 SUBSCRIBE', 'a SUBSCRIBE in the dialog of our own subscription');
});

t.test('nobody listens: 481, or three NOTIFYs without answer', async t => {
  const { world, a, b, notifier } = subscribed(100_000);
  a.agent.closeDialog(a.one('subscription-active').subscriber.dialog!, world.now);
  notifier().notify({}, 'active', world.now);
  world.run(1000);
  t.equal(b.one('notifier-ended').cause, 'gone');
  const deaf = subscribed(100_000);
  deaf.world.loses = kind => kind === 'NOTIFY';
  for (let i = 0; i < 3; i++) {
    deaf.notifier().notify({}, 'active', deaf.world.now);
    deaf.world.run(deaf.world.now + 40_000);
    t.equal(deaf.b.eventsOf('notifier-ended').length, i < 2 ? 0 : 1);
  }
  t.equal(deaf.b.one('notifier-ended').cause, 'unanswered');
});

t.test('SUBSCRIBE without Expires, with Expires 0, with a shorter grant', async t => {
  const world = new World();
  const b = world.node(B);
  b.on = event => void (event.type === 'subscribe' && b.agent.subscriptions.accept(event.transaction, {}, Math.min(event.expiresS, 1800), world.now));
  const text = (branch: string, expires: string): string => `SUBSCRIBE sip:1@${B} SIP/2.0\nVia: SIP/2.0/UDP ${A}:5060;branch=z9hG4bK${branch}\nFrom: <sip:2@${A}>;tag=f${branch}\nTo: <sip:1@${B}>\nCall-ID: ${branch}\nCSeq: 1 SUBSCRIBE\nContact: <sip:2@${A}>\nEvent: Catalog\n${expires}Content-Length: 0\n\n`;
  world.inject(text('none', ''), A, B);
  world.run(100);
  t.same([b.eventsOf('subscribe')[0]!.expiresS, world.passed('200 SUBSCRIBE')[0]!.message.expires], [3600, 1800], 'Huawei says nothing: an hour is asked, half is given');
  world.inject(text('zero', 'Expires: 0\n'), A, B);
  world.run(200);
  t.equal(header(requestOf(world.passed('NOTIFY')[0]), 'Subscription-State'), 'terminated;reason=timeout', 'fetched once, and over');
  world.run(2_000_000);
  holdsNothing(t, b);
});

t.test('both ends survive a restart', async t => {
  const { world, a, b, subscriber, notifier } = subscribed(1000);
  const saved = JSON.parse(JSON.stringify({ ours: { dialog: subscriber.dialog!.state, event: subscriber.event, remainingS: subscriber.remainingS(world.now) }, theirs: { dialog: notifier().dialog.state, event: notifier().event, remainingS: notifier().remainingS(world.now) } }));
  t.ok(saved.ours.remainingS >= 999);
  const [world2] = [new World()];
  const [a2, b2] = [world2.node(A), world2.node(B)];
  a2.on = event => void (event.type === 'subscription-notify' && a2.agent.respond(event.transaction, 200, {}, world2.now));
  const again = a2.agent.subscriptions.restoreSubscriber({ ...saved.ours, remainingS: 100 }, { expires: 500 }, world2.now)!;
  const speaks = b2.agent.subscriptions.restoreNotifier({ ...saved.theirs, remainingS: 100 }, world2.now)!;
  speaks.notify({}, 'active', world2.now);
  world2.run(100);
  t.equal(a2.one('subscription-notify').value.expiresS, 100);
  world2.run(85_000);
  t.equal(a2.one('subscription-active').expiresS, 500, 'refreshed for the full span');
  again.unsubscribe(world2.now);
  world2.run(300_000);
  holdsNothing(t, a2, b2);
  t.equal(a.agent.subscriptions.restoreSubscriber({ ...saved.ours, dialog: { ...saved.ours.dialog, remoteUri: '' } }, {}, world.now), undefined);
  t.equal(b.agent.subscriptions.restoreNotifier({ ...saved.theirs, dialog: { ...saved.theirs.dialog, remoteUri: '' } }, world.now), undefined);
});
