/** INVITE in every weather: both roles on a simulated network. */
import t, { type Test } from 'tap';
import type { Dialog } from '#core/sip/dialog.ts';
import { nameAddr } from '#core/sip/headers.ts';
import { header, headerValues, tagOf } from '#core/sip/message.ts';
import type { OutgoingInvite } from '#core/sip/outgoing-invite.ts';
import type { ServerTransaction } from '#core/sip/transactions.ts';
import { sipUri } from '#core/sip/uri.ts';
import { A, B, type Node, World, asks, at, kindOf, requestOf } from './world.ts';

const SDP = { contentType: 'application/sdp', body: new Uint8Array([118, 61, 48]) };

interface Call {
  readonly world: World;
  readonly a: Node;
  readonly b: Node;
  invite(): OutgoingInvite;
  caller(): Dialog;
  callee(): Dialog;
}

/** B rings and accepts unless told otherwise; A acknowledges. */
function call(react: { b?: 'accept' | 'wait' | number; ack?: boolean } = {}): Call {
  const world = new World();
  const [a, b] = [world.node(A), world.node(B)];
  b.on = event => {
    if (event.type === 'dialog-request') b.agent.respond(event.transaction, 200, {}, world.now);
    if (event.type !== 'invite' || react.b === 'wait') return;
    if (typeof react.b === 'number') return b.agent.respond(event.invite.transaction, react.b, {}, world.now);
    b.agent.respond(event.invite.transaction, 180, {}, world.now);
    b.agent.accept(event.invite, SDP, world.now);
  };
  a.on = event => {
    if (event.type === 'invite-accepted' && react.ack !== false) event.invite.acknowledge({});
    if (event.type === 'dialog-request') a.agent.respond(event.transaction, 200, {}, world.now);
  };
  return {
    world, a, b,
    invite: () => {
      const invite = a.agent.invite(asks('INVITE', A, B), at(B), world.now);
      world.settle();
      return invite;
    },
    caller: () => a.one('invite-accepted').dialog,
    callee: () => b.one('invite').invite.dialog!,
  };
}
const idle = (t: Test, ...nodes: Node[]): void => {
  for (const node of nodes) t.same(node.agent.sizes, { serverTransactions: 0, clientTransactions: 0, dialogs: 0, invites: 0, subscriptions: 0, timers: 0 }, `${node.address} holds nothing`);
};

t.test('a call from INVITE to BYE', async t => {
  for (const transport of ['UDP', 'TCP'] as const) {
    const { world, a, b, caller, callee } = call();
    a.agent.invite(asks('INVITE', A, B), at(B, transport), world.now);
    world.run(1000);
    t.same(world.kinds(), ['INVITE', '100 INVITE', '180 INVITE', '200 INVITE', 'ACK'], transport);
    t.equal(tagOf(world.passed('180 INVITE')[0]!.message.to), tagOf(world.passed('200 INVITE')[0]!.message.to), 'one To tag');
    t.equal(tagOf(world.passed('100 INVITE')[0]!.message.to), undefined, 'none in 100');
    const [invite, ack] = [requestOf(world.log[0]), requestOf(world.log[4])];
    t.not(ack.via[0]!.params.get('branch'), invite.via[0]!.params.get('branch'), 'the ACK to a 2xx is a transaction of its own');
    t.same(ack.cseq, { seq: invite.cseq.seq, method: 'ACK' });
    t.equal(a.eventsOf('invite-provisional').length, 1);
    t.equal(b.eventsOf('invite-ack').length, 1);
    t.same(callee().state.localTag, caller().state.remoteTag);

    a.agent.requestInDialog(caller(), 'INFO', {}, undefined, world.now);
    b.agent.requestInDialog(callee(), 'MESSAGE', {}, undefined, world.now);
    world.run(2000);
    t.ok(requestOf(world.passed('INFO')[0]).cseq.seq === invite.cseq.seq + 1, 'numbers go on');
    b.agent.requestInDialog(callee(), 'BYE', {}, undefined, world.now);
    world.run(100_000);
    t.equal(world.passed('200 BYE').length, 1);
    idle(t, a, b);
  }
});

t.test('ACK lost: the 2xx comes again until it is there, the ACK with it', async t => {
  const { world, b, invite } = call();
  world.loses = (kind, nth) => kind === 'ACK' && nth <= 3;
  invite();
  world.run(31_000);
  t.same(world.times('200 INVITE'), [10, 510, 1510, 3510], '13.3.1.4: T1, doubling');
  t.same(world.times('ACK'), [20, 520, 1520, 3520]);
  t.same(new Set(world.passed('ACK').map(passed => requestOf(passed).via[0]!.params.get('branch'))).size, 1, 'the very same ACK');
  t.equal(b.eventsOf('invite-ack').length, 1);
});

t.test('ACK never comes: T2 caps the interval, and after 64*T1 the owner hears of it', async t => {
  const { world, a, b, invite, callee } = call({ ack: false });
  invite();
  world.run(20_000);
  const bye = b.agent.requestInDialog(callee(), 'BYE', {}, undefined, world.now);
  world.run(32_000);
  t.same(world.times('200 INVITE'), [10, 510, 1510, 3510, 7510, 11_510, 15_510, 19_510, 23_510, 27_510, 31_510]);
  t.equal(world.passed('BYE').length, 0, '15: no BYE of the callee before the ACK');
  world.run(32_020);
  t.equal(b.eventsOf('invite-ack-timeout').length, 1);
  t.equal(world.passed('BYE').length, 1, 'then it leaves');
  world.run(100_000);
  t.equal(b.one('outcome').pending, bye);
  t.equal(a.eventsOf('dialog-request').length, 1);
  idle(t, a, b);
});

t.test('a BYE held for the ACK leaves with it', async t => {
  const { world, a, b, invite, callee } = call({ ack: false });
  invite();
  world.run(1000);
  b.agent.requestInDialog(callee(), 'BYE', {}, undefined, world.now);
  world.run(1100);
  t.equal(world.passed('BYE').length, 0);
  a.one('invite-accepted').invite.acknowledge({});
  world.run(100_000);
  t.equal(world.passed('BYE').length, 1);
  idle(t, a, b);
});

t.test('BYE before ACK: no 2xx any more, no time-out', async t => {
  const { world, a, b, invite, caller } = call({ ack: false });
  invite();
  world.run(100);
  a.agent.requestInDialog(caller(), 'BYE', {}, undefined, world.now);
  world.run(100_000);
  t.same(world.times('200 INVITE'), [10]);
  t.same(b.eventsOf('invite-ack-timeout'), []);
  idle(t, a, b);
});

t.test('BYE from both sides at once', async t => {
  const { world, a, b, invite, caller, callee } = call();
  invite();
  world.run(100);
  a.agent.requestInDialog(caller(), 'BYE', {}, undefined, world.now);
  b.agent.requestInDialog(callee(), 'BYE', {}, undefined, world.now);
  world.run(100_000);
  t.same([a, b].map(node => node.one('outcome').outcome.type), ['response', 'response']);
  idle(t, a, b);
});

t.test('refused: ACK by the transaction, same branch, repeated with the answer', async t => {
  const { world, a, b, invite } = call({ b: 486 });
  world.loses = (kind, nth) => kind === 'ACK' && nth === 1;
  invite();
  world.run(100_000);
  t.same(world.kinds(), ['INVITE', '100 INVITE', '486 INVITE', 'ACK', '486 INVITE', 'ACK']);
  const [sent, ack] = [requestOf(world.log[0]), requestOf(world.log[3])];
  t.equal(ack.via[0]!.params.get('branch'), sent.via[0]!.params.get('branch'));
  t.same(ack.uri, sent.uri);
  t.equal(tagOf(ack.to), tagOf(world.log[2]!.message.to));
  t.match(a.one('invite-failed').outcome, { response: { status: 486 } });
  t.same(b.eventsOf('invite-ack'), [], 'nothing for the owner');
  idle(t, a, b);
});

t.test('nobody there', async t => {
  const { world, a, invite } = call();
  world.loses = () => true;
  invite();
  world.run(100_000);
  t.same(world.times('INVITE'), [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
  t.same(a.one('invite-failed').outcome, { type: 'timeout' });
  idle(t, a);
  const isolated = call();
  isolated.a.isolated = true;
  isolated.invite();
  t.equal(isolated.a.one('invite-failed').outcome.type, 'transport-error');
  idle(t, isolated.a);
});

t.test('an unknown INVITE is not told 100 at once, but after 200 ms', async t => {
  const world = new World();
  const [a, b] = [world.node(A), world.node(B, { trusts: () => false })];
  a.agent.invite(asks('INVITE', A, B), at(B), world.now);
  world.run(10_000);
  t.same(world.times('100 INVITE'), [210]);
  t.same(world.times('INVITE'), [0]);
  t.equal(b.eventsOf('invite').length, 1);
});

t.test('CANCEL at each moment', async t => {
  t.test('before any answer: not before the first 1xx (9.1)', async t => {
    const { world, a, b, invite } = call({ b: 'wait' });
    world.loses = (kind, nth) => kind === 'INVITE' && nth === 1;
    invite().cancel(world.now);
    world.run(400);
    t.same(world.kinds(), ['INVITE']);
    world.run(100_000);
    t.same(world.kinds(), ['INVITE', 'INVITE', '100 INVITE', 'CANCEL', '200 CANCEL', '487 INVITE', 'ACK']);
    const [sent, cancel] = [requestOf(world.log[0]), requestOf(world.passed('CANCEL')[0])];
    t.same([cancel.via[0], cancel.uri, cancel.cseq.seq, cancel.callId, tagOf(cancel.to)], [sent.via[0], sent.uri, sent.cseq.seq, sent.callId, undefined]);
    t.equal(tagOf(world.passed('200 CANCEL')[0]!.message.to), tagOf(world.passed('487 INVITE')[0]!.message.to), '9.2: one To tag');
    t.match(a.one('invite-failed').outcome, { response: { status: 487 } });
    t.equal(b.eventsOf('invite-cancelled').length, 1);
    const late = b.agent.accept(b.one('invite').invite, SDP, world.now);
    t.ok(late.closed, 'an owner who is late gets a dialog that is over');
    t.equal(b.counters['sip.response.superfluous'], 1);
    idle(t, a, b);
  });
  t.test('after 100', async t => {
    const { world, a, b, invite } = call({ b: 'wait' });
    const calling = invite();
    world.run(100);
    calling.cancel(world.now);
    calling.cancel(world.now);
    world.run(100_000);
    t.equal(world.passed('CANCEL').length, 1);
    t.match(a.one('invite-failed').outcome, { response: { status: 487 } });
    idle(t, a, b);
  });
  t.test('the 2xx crosses it: ACK, BYE, and 487 for the owner', async t => {
    const { world, a, b, invite } = call({ b: 'wait' });
    const calling = invite();
    world.run(100);
    calling.cancel(world.now);
    b.agent.accept(b.one('invite').invite, SDP, world.now);
    world.run(100_000);
    t.same(world.kinds().slice(2), ['CANCEL', '200 INVITE', '200 CANCEL', 'ACK', 'BYE', '200 BYE']);
    t.match(a.one('invite-failed').outcome, { response: { status: 487 } });
    t.same(a.eventsOf('invite-accepted'), []);
    t.same(b.eventsOf('invite-cancelled'), [], 'the CANCEL came too late');
    t.equal(b.eventsOf('invite-ack').length, 1);
    idle(t, a, b);
  });
  t.test('after the 2xx: nothing to cancel', async t => {
    const { world, a, b, invite, caller } = call();
    const calling = invite();
    world.run(100);
    calling.cancel(world.now);
    world.run(200);
    t.equal(world.passed('CANCEL').length, 0);
    t.notOk(caller().closed);
    const text = `CANCEL sip:1@${B} SIP/2.0\nVia: SIP/2.0/UDP ${A}:5060;branch=${requestOf(world.log[0]).via[0]!.params.get('branch')}\nFrom: <sip:2@${A}>;tag=f\nTo: <sip:1@${B}>\nCall-ID: c\nCSeq: 1 CANCEL\nContent-Length: 0\n\n`;
    world.inject(text, A, B);
    world.run(300);
    t.equal(world.passed('200 CANCEL').length, 1, 'a forced one is answered 200');
    world.inject(text.replace('branch=z9', 'branch=z9hG4bKother'), A, B);
    world.run(400);
    t.equal(world.passed('481 CANCEL').length, 1, 'one without INVITE 481');
    world.run(5000);
    t.notOk(b.one('invite').invite.dialog!.closed, 'and the call goes on');
    t.equal(a.eventsOf('dialog-request').length, 0);
  });
  t.test('no final answer to a CANCEL: given up after 64*T1', async t => {
    const { world, a, invite } = call({ b: 'wait' });
    const calling = invite();
    world.run(100);
    world.loses = () => true;
    calling.cancel(world.now);
    world.run(32_099);
    t.same(a.eventsOf('invite-failed'), []);
    world.run(100_000);
    t.same(a.one('invite-failed').outcome, { type: 'timeout' });
    idle(t, a);
  });
});

t.test('a callee who rings for ever, an owner who never answers', async t => {
  const { world, a, b, invite } = call({ b: 'wait' });
  invite();
  world.run(400_000);
  t.match(a.one('invite-failed').outcome, { response: { status: 408 } }, 'three minutes, then 408');
  t.equal(b.eventsOf('invite-cancelled').length, 1, 'and his owner knows');
  idle(t, a, b);
  const ringing = call({ b: 'wait' });
  ringing.world.loses = kind => kind.startsWith('4');
  ringing.invite();
  ringing.world.run(400_000);
  t.equal(ringing.world.times('CANCEL')[0], 180_020, 'our own limit');
  idle(t, ringing.a, ringing.b);
});

t.test('forks: the first 2xx is taken, others are acknowledged and ended', async t => {
  const { world, a, b, invite } = call();
  invite();
  world.run(100);
  const forked = world.passed('200 INVITE')[0]!.message;
  const text = (tag: string): string => {
    const via = forked.via[0]!;
    return `SIP/2.0 200 OK\nVia: SIP/2.0/UDP ${via.host}:${via.port};branch=${via.params.get('branch')}\nFrom: <sip:34020000002000000001@${A}>;tag=${tagOf(forked.from)}\nTo: <sip:x@${B}>;tag=${tag}\nCall-ID: ${forked.callId}\nCSeq: 1 INVITE\nContact: <sip:other@192.0.2.3:5060>\nContent-Length: 0\n\n`;
  };
  world.inject(text('fork'), '192.0.2.3', A);
  world.run(200);
  world.inject(text('fork'), '192.0.2.3', A);
  world.run(300);
  const toFork = world.log.filter(passed => passed.to === '192.0.2.3').map(passed => kindOf(passed.message));
  t.same(toFork, ['ACK', 'BYE', 'ACK'], 'its repetition gets the ACK only');
  t.equal(a.eventsOf('invite-accepted').length, 1);
  for (let i = 0; i < 40; i++) world.inject(text(`flood${i}`), '192.0.2.3', A);
  world.run(400);
  t.ok(a.counters['sip.invite.forks']! >= 20, 'not without end');
  t.equal(b.agent.sizes.dialogs, 1);
});

t.test('an INVITE that reaches us on two paths is one (8.2.2.2)', async t => {
  const { world, b } = call({ b: 'wait' });
  const text = (branch: string): string => `INVITE sip:1@${B} SIP/2.0\nVia: SIP/2.0/UDP ${A}:5060;branch=z9hG4bK${branch}\nFrom: <sip:2@${A}>;tag=f\nTo: <sip:1@${B}>\nCall-ID: merged\nCSeq: 1 INVITE\nContent-Length: 0\n\n`;
  world.inject(text('one'), A, B);
  world.inject(text('two'), A, B);
  world.run(1000);
  t.equal(b.eventsOf('invite').length, 1);
  t.equal(world.passed('482 INVITE').length > 0, true);
});

t.test('re-INVITE', async t => {
  const { world, a, b, invite, caller, callee } = call();
  invite();
  world.run(100);
  world.loses = (kind, nth) => kind === 'ACK' && nth === 2;
  const again = a.agent.requestInDialog(caller(), 'INVITE', SDP, undefined, world.now);
  world.run(10_000);
  t.match(a.eventsOf('outcome').find(event => event.pending === again)?.outcome, { response: { status: 200 } });
  t.same(world.kinds().slice(5), ['INVITE', '100 INVITE', '200 INVITE', 'ACK', '200 INVITE', 'ACK'], 'acknowledged by itself, as often as needed');
  const [first, second] = world.passed('INVITE').map(requestOf);
  t.equal(second!.cseq.seq, first!.cseq.seq + 1);
  t.same(second!.contact, first!.contact, 'a target refresh carries our Contact');
  t.equal(requestOf(world.passed('ACK').at(-1)).cseq.seq, second!.cseq.seq);
  t.equal(b.eventsOf('invite').length, 1, 'it goes to the dialog');

  t.test('glare: 491 on both sides (14.2)', async t => {
    world.log.length = 0;
    const both = [a.agent.requestInDialog(caller(), 'INVITE', SDP, undefined, world.now), b.agent.requestInDialog(callee(), 'INVITE', SDP, undefined, world.now)];
    world.run(20_000);
    t.equal(world.passed('491 INVITE').length, 2);
    for (const node of [a, b]) t.match(node.eventsOf('outcome').find(event => both.includes(event.pending))?.outcome, { response: { status: 491 } });
  });
  t.test('a second one before the answer to the first: 500 with Retry-After', async t => {
    const open: ServerTransaction[] = [];
    const { on } = b;
    b.on = event => void (event.type === 'dialog-request' && open.push(event.transaction));
    a.agent.requestInDialog(caller(), 'INVITE', SDP, undefined, world.now);
    world.run(world.now + 100);
    const sent = requestOf(world.passed('INVITE').at(-1));
    const via = sent.via[0]!;
    world.inject(`INVITE sip:1@${B} SIP/2.0\nVia: SIP/2.0/UDP ${via.host}:5060;branch=z9hG4bKovertaking\nFrom: <sip:2@${A}>;tag=${tagOf(sent.from)}\nTo: <sip:1@${B}>;tag=${tagOf(sent.to)}\nCall-ID: ${sent.callId}\nCSeq: ${sent.cseq.seq + 1} INVITE\nContent-Length: 0\n\n`, A, B);
    world.run(world.now + 100);
    const [refused] = world.passed('500 INVITE');
    t.match(header(refused!.message, 'Retry-After'), /^\d+$/);
    const busy = b.agent.requestInDialog(callee(), 'INVITE', SDP, undefined, world.now);
    world.settle();
    t.match(b.eventsOf('outcome').find(event => event.pending === busy)?.outcome, { type: 'transport-error' }, '14.1: none of ours meanwhile');
    b.agent.respond(open[0]!, 200, SDP, world.now);
    b.on = on;
    world.run(world.now + 40_000);
    t.equal(callee().pendingInvite, 'none');
  });
  t.test('refused and cancelled re-INVITEs leave the dialog as it was', async t => {
    const { on } = b;
    b.on = event => void (event.type === 'dialog-request' && b.agent.respond(event.transaction, 488, {}, world.now));
    a.agent.requestInDialog(caller(), 'INVITE', SDP, undefined, world.now);
    world.run(world.now + 40_000);
    t.match(a.eventsOf('outcome').at(-1)?.outcome, { response: { status: 488 } });
    b.on = on;
    a.agent.requestInDialog(caller(), 'BYE', {}, undefined, world.now);
    world.run(world.now + 100_000);
    idle(t, a, b);
  });
});

t.test('a dialog that was closed: 481 for the peer, an error for us', async t => {
  const { world, a, b, invite, caller, callee } = call();
  invite();
  world.run(100);
  b.agent.closeDialog(callee(), world.now);
  a.agent.requestInDialog(caller(), 'INFO', {}, undefined, world.now);
  b.agent.requestInDialog(callee(), 'INFO', {}, undefined, world.now);
  world.run(200);
  t.match(a.one('outcome').outcome, { response: { status: 481 } });
  t.match(b.one('outcome').outcome, { type: 'transport-error', why: /over/ });
});

t.test('the ACK repeats the credentials of its INVITE (22.2), and its body is the owner\'s', async t => {
  const { world, a } = call({ ack: false });
  a.on = event => void (event.type === 'invite-accepted' && event.invite.acknowledge({ ...SDP, headers: [{ name: 'Subject', value: 's' }] }));
  a.agent.invite({ ...asks('INVITE', A, B), headers: [{ name: 'Authorization', value: 'Digest x' }], contact: nameAddr(sipUri('me', A, 5061)) }, at(B), world.now);
  world.run(100);
  const ack = requestOf(world.passed('ACK')[0]);
  t.same([headerValues(ack, 'Authorization'), header(ack, 'Subject'), ack.body.length], [['Digest x'], 's', 3]);
});

t.test('2,000 calls under heavy loss leave nothing behind', async t => {
  const { world, a, b } = call();
  let dice = 1;
  world.loses = () => (dice = (dice * 1_103_515_245 + 12_345) & 0x7fffffff) % 100 < 20;
  let over = 0;
  const { on } = a;
  a.on = event => {
    on(event);
    if (event.type === 'invite-failed') over++;
    if (event.type === 'invite-accepted') a.agent.requestInDialog(event.dialog, 'BYE', {}, undefined, world.now);
    if (event.type === 'outcome') over++;
  };
  for (let i = 0; i < 2000; i++) {
    const invite = a.agent.invite(asks('INVITE', A, B), at(B), world.now);
    if (i % 5 === 0) invite.cancel(world.now);
    if (i % 50 === 49) world.run(world.now + 1000);
  }
  world.run(world.now + 300_000);
  t.equal(over, 2000, 'each call was reported over');
  // A callee whose BYE was lost for good would keep its dialog: the session timer is the relay's, not ours.
  for (const [index, event] of b.eventsOf('invite').entries()) if (event.invite.dialog !== undefined && index >= 0) b.agent.closeDialog(event.invite.dialog, world.now);
  idle(t, a, b);
});
