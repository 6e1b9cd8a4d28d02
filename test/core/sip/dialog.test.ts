import t from 'tap';
import { Dialog, type DialogState } from '#core/sip/dialog.ts';
import { DialogTable } from '#core/sip/dialogs.ts';
import type { Flow, SipTransport } from '#core/sip/flow.ts';
import { formatNameAddr } from '#core/sip/headers.ts';
import type { SipRequest, SipResponse } from '#core/sip/message.ts';
import { parseMessage } from '#core/sip/parse.ts';
import { formatUri } from '#core/sip/uri.ts';
import { A, B, World, asks, at, requestOf } from './world.ts';

const flow = (remotePort = 5060, transport: SipTransport = 'UDP'): Flow => ({
  transport, localAddress: A, localPort: 5060, remoteAddress: B, remotePort, ...(transport === 'TCP' ? { connectionId: 4 } : {}),
});
function read(text: string): SipRequest | SipResponse {
  const parsed = parseMessage(new Uint8Array(Buffer.from(text.replaceAll('\n', '\r\n'), 'latin1')), 'datagram');
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
}
const invite = (more = '', cseq = 10): SipRequest =>
  read(`INVITE sip:gw@${A} SIP/2.0\nVia: SIP/2.0/UDP ${B};branch=z9hG4bKx\nFrom: "cam" <sip:cam@domain>;tag=theirs\nTo: <sip:gw@domain>\nCall-ID: c\nCSeq: ${cseq} INVITE\n${more}Content-Length: 0\n\n`) as SipRequest;
const ok = (more = ''): SipResponse =>
  read(`SIP/2.0 200 OK\nVia: SIP/2.0/UDP ${A};branch=z9hG4bKx\nFrom: <sip:gw@domain>;tag=ours\nTo: <sip:cam@domain>;tag=theirs\nCall-ID: c\nCSeq: 10 INVITE\n${more}Content-Length: 0\n\n`) as SipResponse;
const ours = (): SipRequest =>
  read(`INVITE sip:cam@${B}:5071 SIP/2.0\nVia: SIP/2.0/UDP ${A};branch=z9hG4bKx\nFrom: <sip:gw@domain>;tag=ours\nTo: <sip:cam@domain>\nCall-ID: c\nCSeq: 10 INVITE\nContact: <sip:gw@${A}>\nContent-Length: 0\n\n`) as SipRequest;
const routeTexts = (dialog: Dialog): { uri: string; route: string[] } => ({ uri: formatUri(dialog.routed().uri), route: dialog.routed().route.map(formatNameAddr) });

t.test('as server (12.1.1)', async t => {
  const dialog = Dialog.asServer(invite(`Contact: <sip:cam@${B}:5070;x=y>\nRecord-Route: <sip:${B};lr>, <sip:p2;lr>\n`), flow(), 'ours', undefined, 0);
  t.same(routeTexts(dialog), { uri: `sip:cam@${B}:5070;x=y`, route: [`<sip:${B};lr>`, '<sip:p2;lr>'] }, 'routes in order');
  t.same([formatNameAddr(dialog.from), formatNameAddr(dialog.to)], ['<sip:gw@domain>;tag=ours', '<sip:cam@domain>;tag=theirs']);
  t.same([dialog.remoteSeq, dialog.takeSeq(), dialog.takeSeq()], [10, 1, 2]);
});

t.test('as client (12.1.2)', async t => {
  const dialog = Dialog.asClient(ours(), ok(`Contact: <sip:cam@${B}>\nRecord-Route: <sip:p1;lr>\nRecord-Route: <sip:p2;lr>\n`), flow());
  t.same(routeTexts(dialog), { uri: `sip:cam@${B}`, route: ['<sip:p2;lr>', '<sip:p1;lr>'] }, 'routes reversed');
  t.same([formatNameAddr(dialog.from), formatNameAddr(dialog.to), dialog.takeSeq(), dialog.remoteSeq], ['<sip:gw@domain>;tag=ours', '<sip:cam@domain>;tag=theirs', 11, undefined]);
});

t.test('a strict router gets what it wants (12.2.1.1)', async t => {
  const dialog = Dialog.asClient(ours(), ok(`Contact: <sip:cam@${B};transport=udp>\nRecord-Route: <sip:p1;lr>\nRecord-Route: <sip:strict>\n`), flow());
  t.same(routeTexts(dialog), { uri: 'sip:strict', route: ['<sip:p1;lr>', `<sip:cam@${B};transport=udp>`] });
});

t.test('where requests go', async t => {
  const port = (dialog: Dialog): number => dialog.target.port;
  t.equal(port(Dialog.asClient(ours(), ok(), flow(40_000))), 40_000, 'no Contact (quirk 15): the source');
  t.equal(formatUri(Dialog.asClient(ours(), ok(), flow()).remoteTarget), `sip:cam@${B}:5071`, 'and the request URI as target');
  t.equal(formatUri(Dialog.asServer(invite(), flow(), 'ours', undefined, 0).remoteTarget), 'sip:cam@domain', 'of a request without Contact: its From');
  t.equal(port(Dialog.asClient(ours(), ok('Contact: <sip:cam@10.0.0.8:5070>\n'), flow(40_000))), 40_000, 'behind NAT: the source, not the Contact');
  t.equal(port(Dialog.asClient(ours(), ok(`Contact: <sip:cam@${B}:5070>\n`), flow(40_000))), 5070, 'not behind NAT: the port of the Contact');
  t.equal(port(Dialog.asClient(ours(), ok(`Contact: <sip:cam@${B}>\n`), flow(40_000))), 5060, 'or its default');
  t.equal(port(Dialog.asClient(ours(), ok(`Contact: <sip:cam@192.0.2.77:5070>\nRecord-Route: <sip:${B}:5090;lr>\n`), flow(40_000))), 5090, 'the first route before the Contact');
  const tcp = Dialog.asServer(invite(`Contact: <sip:cam@${B}:5070>\n`), flow(40_000, 'TCP'), 'ours', undefined, 0).target;
  t.match(tcp, { transport: 'TCP', port: 5070, connectionId: 4, localAddress: A }, 'over TCP the connection, and where to connect when it is gone');
});

t.test('order (12.2.2)', async t => {
  const dialog = Dialog.asServer(invite(), flow(), 'ours', undefined, 0);
  const info = (cseq: number): SipRequest => ({ ...invite('', cseq), method: 'INFO' });
  t.ok(dialog.inOrder(info(11)));
  t.ok(dialog.inOrder(info(11)), 'the same number again is not out of order');
  t.notOk(dialog.inOrder(info(10)));
  t.ok(dialog.inOrder({ ...info(1), method: 'ACK' }));
  t.ok(dialog.inOrder(info(2_000_000_000)));
  const fresh = Dialog.asClient(ours(), ok(), flow());
  t.ok(fresh.inOrder(info(1)), 'the first number of the peer is any');
  fresh.localSeq = 0x7fffffff;
  t.equal(fresh.takeSeq(), 1, 'no number beyond 2^31');
});

t.test('refresh', async t => {
  const dialog = Dialog.asServer(invite(`Contact: <sip:cam@${B}>\n`), flow(), 'ours', undefined, 0);
  dialog.refresh(invite(`Contact: <sip:moved@${B}:5080>\nRecord-Route: <sip:late;lr>\n`), flow(50_000));
  t.same([routeTexts(dialog), dialog.target.port], [{ uri: `sip:moved@${B}:5080`, route: [] }, 5080], 'the target moves, the routes do not');
  dialog.refresh(invite(), flow(50_001));
  t.same([formatUri(dialog.remoteTarget), dialog.target.port], [`sip:moved@${B}:5080`, 50_001], 'without Contact only the address');
});

t.test('saved and restored', async t => {
  const dialog = Dialog.asClient(ours(), ok(`Contact: <sip:cam@${B}:5070;a>\nRecord-Route: <sip:p1;lr>, "P" <sip:p2;lr>;x=1\n`), flow(5060, 'TCP'));
  dialog.inOrder({ ...invite('', 3), method: 'INFO' });
  const saved = JSON.parse(JSON.stringify(dialog.state)) as DialogState;
  const restored = Dialog.restore(saved);
  t.same(restored?.state, { ...dialog.state, target: { transport: 'TCP', address: B, port: 5060, localAddress: A } }, 'all but the connection, which died');
  t.same([routeTexts(restored!), restored!.takeSeq(), restored!.remoteSeq], [routeTexts(dialog), 11, 3]);
  for (const broken of [{ localUri: '' }, { remoteTarget: 'x' }, { routeSet: ['<'] }]) t.equal(Dialog.restore({ ...saved, ...broken }), undefined, JSON.stringify(broken));
  const { localContact: _none, ...old } = saved;
  t.ok(Dialog.restore(old), 'a state saved without Contact');
});

t.test('the table', async t => {
  const table = new DialogTable();
  const [one, two] = [Dialog.asServer(invite(), flow(), 'one', undefined, 0), Dialog.asServer(invite(), flow(), 'two', undefined, 0)];
  table.add(one);
  table.add(two);
  const bye = (tag: string): SipRequest => ({ ...invite(), method: 'BYE', to: { displayName: undefined, uri: invite().to.uri, params: new Map([['tag', tag]]) } });
  t.equal(table.find(bye('two')), two);
  t.equal(table.find(bye('three')), undefined);
  const untagged: SipRequest = { ...bye(''), to: { ...bye('').to, params: new Map() } };
  t.equal(table.findForgiving(untagged, flow()), undefined, 'two fit: none is meant');
  table.delete(one);
  table.delete(one);
  t.equal(table.findForgiving(untagged, flow()), two, 'one fits');
  t.equal(table.findForgiving(bye('three'), flow()), undefined, 'a wrong tag is no lost tag');
  t.equal(table.findForgiving(untagged, { ...flow(), remoteAddress: '192.0.2.9' }), undefined, 'not from elsewhere');
  for (let i = 0; i < 10; i++) table.add(Dialog.asServer(invite(), { ...flow(), remoteAddress: `198.51.100.${i}` }, `many${i}`, undefined, 0));
  t.equal(table.findForgiving(untagged, flow()), undefined, 'never a long search');
  t.equal(table.size, 11);
  t.ok(one.closed);
});

t.test('through the user agent: 481, 500, lost tags, restart', async t => {
  const world = new World();
  const [a, b] = [world.node(A), world.node(B)];
  b.on = event => {
    if (event.type === 'invite') b.agent.accept(event.invite, {}, world.now);
    if (event.type === 'dialog-request') b.agent.respond(event.transaction, 200, {}, world.now);
  };
  a.on = event => void (event.type === 'invite-accepted' && event.invite.acknowledge({}));
  a.agent.invite({ ...asks('INVITE', A, B), cseq: 50 }, at(B), world.now);
  world.run(100);
  const dialog = a.one('invite-accepted').dialog;
  let branch = 0;
  const inject = (method: string, cseq: number, to: string, from = A): void => {
    world.inject(`${method} sip:1@${B} SIP/2.0\nVia: SIP/2.0/UDP ${from}:5060;branch=z9hG4bKinj${++branch}\nFrom: <sip:2@${A}>;tag=${dialog.localTag}\nTo: <sip:1@${B}>${to}\nCall-ID: ${dialog.callId}\nCSeq: ${cseq} ${method}\nContent-Length: 0\n\n`, from, B);
    world.run(world.now + 50);
  };
  const exact = `;tag=${dialog.remoteTag}`;
  inject('INFO', 60, exact);
  inject('INFO', 59, exact);
  t.same(world.kinds(B).slice(-2), ['200 INFO', '500 INFO'], 'a lower number is out of order');
  inject('INVITE', 61, ';tag=wrong');
  t.equal(world.kinds(B).at(-1), '481 INVITE', 'a re-INVITE with a foreign tag is none');
  inject('INFO', 61, ';tag=wrong', '192.0.2.50');
  t.equal(world.kinds(B).at(-1), '481 INFO', 'nor anything from elsewhere');
  inject('MESSAGE', 1, ';tag=wrong');
  t.equal(b.eventsOf('request').length, 1, 'a MESSAGE with a stale tag is one outside dialogs');
  t.equal(b.counters['sip.quirk.dialog-tag'], undefined);

  const saved = JSON.parse(JSON.stringify(b.one('invite').invite.dialog!.state)) as DialogState;
  b.agent.closeDialog(b.one('invite').invite.dialog!, world.now);
  inject('INFO', 70, exact);
  t.equal(world.kinds(B).at(-1), '481 INFO');
  const restored = b.agent.restoreDialog(saved)!;
  inject('INFO', 71, exact);
  t.equal(world.kinds(B).at(-1), '200 INFO', 'after a restart it goes on');
  inject('INFO', 59, exact);
  t.equal(world.kinds(B).at(-1), '500 INFO', 'in order');
  b.agent.requestInDialog(restored, 'MESSAGE', {}, undefined, world.now);
  world.run(world.now + 50);
  t.same(requestOf(world.passed('MESSAGE').at(-1)).cseq.seq, saved.localSeq + 1);

  inject('BYE', 2, '');
  t.same([world.kinds(B).at(-1), b.counters['sip.quirk.dialog-tag'], b.agent.sizes.dialogs], ['200 BYE', 2, 0], 'a BYE without tag and count (field.md 3) ends it');
  inject('BYE', 3, exact);
  t.equal(world.kinds(B).at(-1), '481 BYE');
});
