/** The transaction layer through the user agent: which transaction a message belongs to, what is sent again, and what is refused. */
import t from 'tap';
import { fromByteString } from '#core/bytes.ts';
import { header, tagOf } from '#core/sip/message.ts';
import { A, B, type Node, World, asks, at, kindOf, requestOf } from './world.ts';

const answering = (node: Node, status = 200): void => {
  node.on = event => {
    if (event.type === 'request' || event.type === 'dialog-request') node.agent.respond(event.transaction, status, {}, worldOf(node).now);
  };
};
const worlds = new WeakMap<Node, World>();
const worldOf = (node: Node): World => worlds.get(node)!;
function pair(): { world: World; a: Node; b: Node } {
  const world = new World();
  const [a, b] = [world.node(A), world.node(B)];
  worlds.set(a, world).set(b, world);
  answering(b);
  return { world, a, b };
}
const message = (branch: string, more = '', seq = 1, method = 'MESSAGE'): string => `${method} sip:1@${B} SIP/2.0
Via: SIP/2.0/UDP ${A};${branch}
From: <sip:2@${A}>;tag=f
To: <sip:1@${B}>
Call-ID: c1
CSeq: ${seq} ${method}
${more}Content-Length: 0

`;

t.test('a request and its answer, over UDP and TCP', async t => {
  for (const transport of ['UDP', 'TCP'] as const) {
    const { world, a, b } = pair();
    a.agent.request(asks('MESSAGE', A, B), at(B, transport), world.now);
    world.run(1000);
    const { outcome } = a.one('outcome');
    t.match(outcome, { type: 'response', response: { status: 200 } });
    t.same(world.kinds(), ['MESSAGE', '200 MESSAGE']);
    const sent = requestOf(world.log[0]);
    t.match(sent.via[0]?.params.get('branch'), /^z9hG4bK[0-9a-f]{16}$/);
    t.equal(sent.via[0]?.params.has('rport'), transport === 'UDP', 'rport over UDP');
    t.ok(tagOf(sent.from));
    t.equal(sent.maxForwards, 70);
    t.ok(tagOf(world.log[1]!.message.to), 'the answer has a To tag');
    t.match(Object.fromEntries(world.log[1]!.message.via[0]!.params), transport === 'UDP' ? { received: A, rport: '5060' } : { branch: /^z9hG4bK/ });
    world.run(100_000);
    t.same([a.agent.sizes, b.agent.sizes].map(sizes => Object.values(sizes)), [[0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], 'nothing is left');
  }
});

t.test('loss: requests and answers are repeated, the owner is asked once', async t => {
  const { world, a, b } = pair();
  world.loses = (kind, nth) => (kind === 'MESSAGE' && nth <= 2) || (kind === '200 MESSAGE' && nth <= 2);
  a.agent.request(asks('MESSAGE', A, B), at(B), world.now);
  world.run(100_000);
  t.same(world.times('MESSAGE'), [0, 500, 1500, 3500, 7500], 'E');
  t.equal(b.eventsOf('request').length, 1);
  t.same(new Set(world.passed('200 MESSAGE').map(passed => tagOf(passed.message.to))).size, 1, 'the same answer, tag included');
  t.match(a.one('outcome').outcome, { response: { status: 200 } });

  const lost = pair();
  lost.world.loses = () => true;
  lost.a.agent.request(asks('MESSAGE', A, B), at(B), lost.world.now);
  lost.world.run(100_000);
  t.equal(lost.world.times('MESSAGE').length, 11);
  t.same(lost.a.one('outcome').outcome, { type: 'timeout' });
});

t.test('no way, and a way that breaks', async t => {
  const { world, a } = pair();
  a.isolated = true;
  a.agent.request(asks('MESSAGE', A, B), at(B), world.now);
  world.settle();
  t.match(a.one('outcome').outcome, { type: 'transport-error', why: /no UDP way to 192.0.2.2:5060/ });
  const { world: other, a: c } = pair();
  other.loses = () => true;
  c.agent.request(asks('MESSAGE', A, B), at(B, 'TCP'), other.now);
  other.run(1000);
  c.agent.connectionClosed(1, other.now);
  other.run(1000);
  t.match(c.one('outcome').outcome, { type: 'transport-error', why: 'connection closed' }, 'at once, not after 32 s');
  t.equal(c.agent.sizes.clientTransactions, 0);
});

t.test('17.2.3: what makes two requests one', async t => {
  const { world, b } = pair();
  const asked = (): number => b.eventsOf('request').length;
  world.inject(message('branch=z9hG4bK1'), A, B);
  world.inject(message('branch=z9hG4bK1'), A, B);
  world.run(1000);
  t.equal(asked(), 1, 'the same branch');
  t.equal(world.passed('200 MESSAGE').length, 2, 'is answered again');
  world.inject(message('branch=z9hG4bK1', '', 7), A, B);
  world.inject(message('branch=z9hG4bK1', 'Content-Type: text/plain\n'), A, B);
  world.run(2000);
  t.equal(asked(), 1, 'a branch used again with another content is a repetition: no second action (faults.md 9)');
  t.ok(world.passed('200 MESSAGE').every(passed => passed.message.cseq.seq === 1), 'and gets the first answer');
  world.inject(message('branch=z9hG4bK2'), A, B);
  world.run(3000);
  t.equal(asked(), 2, 'another branch');
  world.inject(message('branch=z9hG4bK1'), '192.0.2.99', B);
  world.run(4000);
  t.equal(asked(), 3, 'the same branch of somebody else');
  world.inject(message('branch=z9hG4bK1', '', 1, 'OPTIONS'), A, B);
  world.run(5000);
  t.equal(asked(), 4, 'another method');

  for (const branch of ['branch=z9hG4bK', 'branch=old', 'ttl=1']) {
    const before = asked();
    world.inject(message(branch, '', 100), A, B);
    world.inject(message(branch, '', 100), A, B);
    world.inject(message(branch, '', 101), A, B);
    world.run(world.now + 1000);
    t.equal(asked() - before, 2, `${branch}: RFC 2543 rules, by Call-ID, CSeq, tags and Via (badbranch is no key for everybody)`);
  }
});

t.test('the ACK and CANCEL of an old peer find their INVITE without a branch', async t => {
  const { world, b } = pair();
  const invite = message('ttl=1', '', 5, 'INVITE');
  b.on = event => void (event.type === 'invite' && b.agent.respond(event.invite.transaction, 486, {}, world.now));
  world.inject(invite, A, B);
  world.run(100);
  const tag = tagOf(world.passed('486 INVITE')[0]!.message.to);
  world.inject(invite.replaceAll('INVITE', 'ACK').replace(`To: <sip:1@${B}>`, `To: <sip:1@${B}>;tag=another`), A, B);
  world.run(600);
  t.equal(world.passed('486 INVITE').length, 2, 'the ACK of another answer stops nothing');
  world.inject(invite.replaceAll('INVITE', 'ACK').replace(`To: <sip:1@${B}>`, `To: <sip:1@${B}>;tag=${tag}`), A, B);
  world.run(100_000);
  t.equal(world.passed('486 INVITE').length, 2, 'the right one does');
  t.equal(b.agent.sizes.serverTransactions, 0);

  const cancelled = pair();
  cancelled.b.on = () => undefined;
  cancelled.world.inject(invite, A, B);
  cancelled.world.run(100);
  cancelled.world.inject(invite.replaceAll('INVITE', 'CANCEL'), A, B);
  cancelled.world.run(200);
  t.same(cancelled.world.kinds(B), ['100 INVITE', '200 CANCEL', '487 INVITE']);
});

t.test('responses: only to what we asked, and never answered', async t => {
  const { world, a } = pair();
  const stray = `SIP/2.0 200 OK
Via: SIP/2.0/UDP ${A}:5060;branch=z9hG4bKnobody
From: <sip:2@${A}>;tag=f
To: <sip:1@${B}>;tag=t
Call-ID: c1
CSeq: 1 MESSAGE
Content-Length: 0

`;
  world.inject(stray, B, A);
  world.inject(stray.replace('Via:', `Via: SIP/2.0/UDP ${A}:5060;branch=z9hG4bKx\nVia:`), B, A);
  world.run(1000);
  t.equal(a.counters['sip.response.stray'], 2, 'counted: unknown branch, and more than one Via (8.1.3.3)');
  t.same(world.log, []);
});

t.test('what cannot be a message is answered once, without state; responses and ACK never', async t => {
  const { world, b } = pair();
  world.inject(message('branch=z9hG4bK1', 'Max-Forwards: 256\n'), A, B, 'UDP', 40_000);
  world.inject('SIP/2.0 999999 OK\nVia: x\n\n', A, B);
  world.inject(message('branch=z9hG4bK2', '', 1, 'ACK').replace('CSeq: 1 ACK', 'CSeq: x'), A, B);
  world.inject('hello\n\n', A, B);
  world.run(1000);
  t.same(world.kinds(), ['400 MESSAGE']);
  t.equal(world.log[0]!.flow.remotePort, 5060, 'by the same rules');
  t.ok(tagOf(world.log[0]!.message.to));
  t.equal(b.agent.sizes.serverTransactions, 0);
});

t.test('RFC 3581 and 18.2.2: where answers go', async t => {
  const answeredAt = (via: string, fromPort: number): number => {
    const { world } = pair();
    world.inject(message('branch=z9hG4bK1').replace(`SIP/2.0/UDP ${A};`, `SIP/2.0/UDP ${via};`), A, B, 'UDP', fromPort);
    world.run(100);
    const [answer] = world.passed('200 MESSAGE');
    t.equal(answer!.to, A, 'always to the source address');
    return answer!.flow.remotePort;
  };
  t.equal(answeredAt(`${A}:5070;rport`, 40_000), 40_000, 'rport: the source port');
  t.equal(answeredAt(`${A}:5070`, 40_000), 5070, 'no rport, no NAT: the port of sent-by');
  t.equal(answeredAt(A, 40_000), 5060, 'and its default');
  t.equal(answeredAt('10.0.0.8:5070', 40_000), 40_000, 'no rport, but NAT: the source port');
  t.equal(answeredAt('camera.example:5070;received=203.0.113.9;maddr=203.0.113.9', 40_000), 40_000, 'never to an address that the message names');
});

t.test('bounds: strangers are forgotten, trusted ones are told', async t => {
  const world = new World();
  const b = world.node(B, { limits: { maxServer: 12, maxUntrusted: 5 }, trusts: address => address === A });
  worlds.set(b, world);
  answering(b, 401);
  const send = (i: number, from: string): void => world.inject(message(`branch=z9hG4bK${from}-${i}`, '', i), from, B);
  for (let i = 1; i <= 20; i++) {
    send(i, '198.51.100.7');
    world.run(world.now + 20);
  }
  t.equal(world.passed('401 MESSAGE').length, 20, 'all answered');
  t.equal(b.agent.sizes.serverTransactions, 5, 'five remembered');
  t.equal(header(world.passed('401 MESSAGE')[0]!.message, 'User-Agent'), undefined, 'strangers do not hear who we are');

  b.on = () => undefined;
  for (let i = 30; i <= 39; i++) send(i, '198.51.100.7');
  world.run(world.now + 20);
  t.equal(b.agent.sizes.serverTransactions, 5, 'what waits for an answer is not forgotten');
  t.ok(b.counters['sip.dropped.busy']! >= 5, 'the rest is dropped and counted');
  t.equal(world.passed('401 MESSAGE').length, 20, 'in silence');

  for (let i = 50; i < 60; i++) send(i, A);
  world.run(world.now + 20);
  t.equal(b.agent.sizes.serverTransactions, 12);
  t.equal(world.passed('503 MESSAGE').length, 3, 'a trusted one hears 503');
  t.equal(header(world.passed('503 MESSAGE')[0]!.message, 'Retry-After'), '10');
  world.run(world.now + 100_000);
  t.equal(b.agent.sizes.timers, 0);
});

t.test('validation answers in a transaction of its own', async t => {
  const { world, b } = pair();
  world.inject(message('branch=z9hG4bK1', 'Require: 100rel\n'), A, B);
  world.inject(message('branch=z9hG4bK1', 'Require: 100rel\n'), A, B);
  world.inject(message('branch=z9hG4bK3', '', 1, 'PUBLISH'), A, B);
  world.run(100);
  t.same(world.kinds(), ['420 MESSAGE', '420 MESSAGE', '501 PUBLISH']);
  t.equal(b.counters['sip.rejected'], 2, 'looked at once each');
  t.same(b.events, []);
  t.equal(header(world.log[0]!.message, 'Unsupported'), '100rel');
});

t.test('a known peer whose MESSAGE says REGISTER in CSeq (field.md 3)', async t => {
  const world = new World();
  const b = world.node(B, { trusts: address => address === A });
  worlds.set(b, world);
  answering(b);
  const keepalive = message('branch=z9hG4bKm').replace('CSeq: 1 MESSAGE', 'CSeq: 1 REGISTER');
  world.inject(keepalive, A, B);
  world.inject(keepalive, '198.51.100.7', B);
  world.inject(message('branch=z9hG4bKn', '', 1, 'OPTIONS').replace('CSeq: 1 OPTIONS', 'CSeq: 1 INVITE'), A, B);
  world.run(100);
  t.same(world.kinds(), ['200 REGISTER', '400 REGISTER', '400 INVITE'], 'of a stranger, or of another kind, it is a mistake');
  t.equal(b.counters['sip.quirk.cseq-method'], 1);
});

t.test('an owner who never answers, one who answers twice, one who drops', async t => {
  const { world, b } = pair();
  b.on = () => undefined;
  world.inject(message('branch=z9hG4bK1'), A, B);
  world.run(100_000);
  t.same([b.counters['sip.unanswered'], b.agent.sizes.serverTransactions], [1, 0], 'ends when its client has given up');
  b.on = event => {
    if (event.type !== 'request') return;
    b.agent.respond(event.transaction, 200, {}, world.now);
    b.agent.respond(event.transaction, 500, {}, world.now);
  };
  world.inject(message('branch=z9hG4bK2'), A, B);
  world.run(200_000);
  t.same(world.kinds(), ['200 MESSAGE']);
  t.equal(b.counters['sip.response.superfluous'], 1);
  b.on = event => void (event.type === 'request' && b.agent.drop(event.transaction, world.now));
  world.inject(message('branch=z9hG4bK3'), A, B);
  world.inject(message('branch=z9hG4bK3'), A, B);
  world.run(300_000);
  t.same(world.kinds(), ['200 MESSAGE'], 'not a word');
  t.equal(b.eventsOf('request').filter(event => event.request.via[0]?.params.get('branch') === 'z9hG4bK3').length, 1, 'and asked once');
});

t.test('a body passes untouched', async t => {
  const { world, a, b } = pair();
  const body = fromByteString('\u0000\u00ff\r\n\r\nSIP/2.0');
  a.agent.request({ ...asks('MESSAGE', A, B), contentType: 'application/mansCDP+xml'.toLowerCase(), body, headers: [{ name: 'X-GB-Ver', value: '3.0' }], expires: 7 }, at(B), world.now);
  world.run(100);
  const { request } = b.one('request');
  t.same([...request.body], [...body]);
  t.same([request.contentType, header(request, 'X-GB-Ver'), request.expires, kindOf(request)], ['application/manscdp+xml', '3.0', 7, 'MESSAGE']);
});
