import t from 'tap';
import { fromByteString, toByteString } from '#core/bytes.ts';
import { nameAddr, parseVia } from '#core/sip/headers.ts';
import { NO_BODY, type SipRequest, type SipResponse } from '#core/sip/message.ts';
import { parseMessage } from '#core/sip/parse.ts';
import { serializeMessage, serializeRejection, withSource } from '#core/sip/serialize.ts';
import { reasonPhrase } from '#core/sip/status.ts';
import { sipUri } from '#core/sip/uri.ts';

const via = (text: string) => {
  const parsed = parseVia(text);
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
};

const common = {
  via: [via('SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1'), via('SIP/2.0/TCP [2001:db8::1];branch=z9hG4bK2')],
  from: nameAddr(sipUri('34020000002000000001', '3402000000'), { tag: 'a' }), to: nameAddr(sipUri('34020000001320000001', '3402000000')),
  callId: '1@192.0.2.1', cseq: { seq: 1, method: 'INVITE' }, contact: [nameAddr(sipUri('34020000002000000001', '192.0.2.1', 5060))],
  route: [nameAddr(sipUri(undefined, '192.0.2.9', undefined, { lr: null }))], recordRoute: [], expires: 60,
  contentType: 'application/sdp', headers: [{ name: 'Subject', value: '34020000001320000001:0,34020000002000000001:0' }], body: fromByteString('v=0\r\n'),
};
const request: SipRequest = { type: 'request', method: 'INVITE', uri: sipUri('34020000001320000001', '192.0.2.71', 5060), maxForwards: 70, ...common };

const lines = (message: SipRequest | SipResponse): string[] => toByteString(serializeMessage(message)).split('\r\n');

t.test('one order, one length', async t => {
  t.same(lines(request), [
    'INVITE sip:34020000001320000001@192.0.2.71:5060 SIP/2.0',
    'Via: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bK1',
    'Via: SIP/2.0/TCP [2001:db8::1];branch=z9hG4bK2',
    'Max-Forwards: 70',
    'Route: <sip:192.0.2.9;lr>',
    'From: <sip:34020000002000000001@3402000000>;tag=a',
    'To: <sip:34020000001320000001@3402000000>',
    'Call-ID: 1@192.0.2.1',
    'CSeq: 1 INVITE',
    'Contact: <sip:34020000002000000001@192.0.2.1:5060>',
    'Expires: 60',
    'Subject: 34020000001320000001:0,34020000002000000001:0',
    'Content-Type: application/sdp',
    'Content-Length: 5',
    '', 'v=0', '',
  ]);
  const response: SipResponse = { type: 'response', ...common, status: 200, reason: reasonPhrase(200), contact: '*', contentType: undefined, body: NO_BODY };
  t.equal(lines(response)[0], 'SIP/2.0 200 OK');
  t.ok(lines(response).includes('Contact: *'));
  t.equal(lines(response).at(-3), 'Content-Length: 0');
  const again = parseMessage(serializeMessage(request), 'stream-frame');
  t.ok(again.ok);
  if (again.ok) t.same({ ...again.value, contentTypeParams: undefined }, { ...request, contentTypeParams: undefined }, 'and it reads the same');
});

t.test('the spelling of the standard where devices compare letters', async t => {
  const spelt = (contentType: string): string | undefined => lines({ ...request, contentType }).find(line => line.startsWith('Content-Type'));
  t.equal(spelt('application/manscdp+xml'), 'Content-Type: Application/MANSCDP+xml');
  t.equal(spelt('application/mansrtsp'), 'Content-Type: Application/MANSRTSP');
  t.equal(spelt('Application/MANSCDP+XML'), 'Content-Type: Application/MANSCDP+XML');
  t.equal(lines({ ...request, contentTypeParams: new Map([['boundary', 'a b']]) }).find(line => line.startsWith('Content-Type')), 'Content-Type: application/sdp;boundary="a b"');
});

t.test('nothing starts a line of its own', async t => {
  const evil = 'x\r\nVia: evil\r\n\r\nINVITE';
  const written = lines({
    ...request, method: `INVITE ${evil}`, callId: evil, cseq: { seq: 1, method: evil }, contentType: evil, headers: [{ name: evil, value: evil }],
    from: nameAddr(sipUri(evil, evil), { tag: evil, [evil]: null }, evil), body: NO_BODY,
  });
  t.equal(written.filter(line => line.startsWith('Via:')).length, 2);
  t.equal(written.filter(line => line.startsWith('INVITE')).length, 1, 'only the start line');
  t.equal(written.indexOf(''), written.length - 2, 'one empty line');
  t.ok(lines({ ...request, headers: [{ name: 'X', value: 'a\r\n b\r\n\tc' }] }).join('\n').includes('X: a\n b\n\tc'), 'a fold that came is kept');
  t.ok(lines({ ...request, headers: [{ name: 'X', value: 'a\r\n \r\n\r\n b\n' }] }).includes('X: a    b'), 'a fold of nothing is not');
  t.ok(lines({ ...request, headers: [{ name: 'X', value: '摄' }] }).includes('X: ?'), 'a character that is no octet');
});

t.test('the source goes into the top Via (RFC 3261 18.2.1, RFC 3581)', async t => {
  const put = (text: string, address: string, port?: number): string => JSON.stringify([...withSource(via(text), address, port).params]);
  t.equal(put('SIP/2.0/UDP 192.0.2.1;branch=b', '192.0.2.1', 5060), '[["branch","b"]]', 'nothing to say');
  t.equal(put('SIP/2.0/UDP h;branch=b', '192.0.2.1', 5060), '[["branch","b"],["received","192.0.2.1"]]');
  t.equal(put('SIP/2.0/UDP 192.0.2.1;rport;branch=b', '192.0.2.1', 5062), '[["rport","5062"],["branch","b"],["received","192.0.2.1"]]');
  t.equal(put('SIP/2.0/UDP 192.0.2.1;received=10.0.0.1;rport=1', '192.0.2.2', 7), '[["received","192.0.2.2"],["rport","7"]]', 'what a peer claims of itself is overwritten');
  t.equal(put('SIP/2.0/UDP [2001:DB8:0::1]', '2001:db8::1', 7), '[]', 'the same address in another spelling');
});

t.test('an answer to what could not be read', async t => {
  const partial = { method: 'INVITE', via: ['SIP/2.0/UDP h', 'SIP/2.0/UDP i, SIP/2.0/UDP j'], topVia: via('SIP/2.0/UDP h'), from: undefined, to: '<sip:a@b>;tag=theirs', callId: '1', cseq: '1 INVITE' };
  t.equal(toByteString(serializeRejection(400, partial, { toTag: 'ours', received: '192.0.2.1', reason: 'Bad\r\nRequest', headers: [{ name: 'Server', value: 'x' }] })), [
    'SIP/2.0 400 Bad Request', 'Via: SIP/2.0/UDP h;received=192.0.2.1', 'Via: SIP/2.0/UDP i, SIP/2.0/UDP j', 'To: <sip:a@b>;tag=theirs', 'Call-ID: 1', 'CSeq: 1 INVITE', 'Server: x', 'Content-Length: 0', '', '',
  ].join('\r\n'));
  t.equal(reasonPhrase(499), 'Client Error');
  t.equal(reasonPhrase(999), '');
});
