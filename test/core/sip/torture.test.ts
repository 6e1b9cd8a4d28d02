/** RFC 4475 and RFC 5118 against the parser, the validator and the framer. The sockets have the same tables in test/wire. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { toByteString, utf8Decode, fromByteString } from '#core/bytes.ts';
import { StreamFramer } from '#core/sip/framer.ts';
import { type NameAddr, type SipMessage, type SipRequest, header, isSipUri, userOf } from '#core/sip/message.ts';
import { type ParseMode, parseMessage } from '#core/sip/parse.ts';
import { serializeMessage, serializeRejection } from '#core/sip/serialize.ts';
import { type SipUri, sameUri, sipUri } from '#core/sip/uri.ts';
import { validateRequest } from '#core/sip/validate.ts';
import { RFC4475, type TortureAnswer, streamVerdict, tortureBytes } from '../../vectors/rfc4475/index.ts';
import { RFC5118 } from '../../vectors/rfc5118/index.ts';

function answerTo(bytes: Uint8Array, mode: ParseMode): TortureAnswer {
  const parsed = parseMessage(bytes, mode);
  if (!parsed.ok) return parsed.error.status ?? 'none';
  if (parsed.value.type === 'response') return 'none';
  return validateRequest(parsed.value)?.status ?? 'up';
}

function streamed(bytes: Uint8Array, segment: number): { answer: TortureAnswer; messages: number; closes: boolean } {
  const framer = new StreamFramer();
  const outputs = [];
  for (let at = 0; at < bytes.length; at += segment) outputs.push(...framer.push(bytes.subarray(at, at + segment)));
  const answers = outputs.map(output => {
    if (output.type === 'message') return answerTo(output.bytes, 'stream-frame');
    return output.type === 'error' && output.head !== undefined ? answerTo(output.head, 'stream-frame') : 'none';
  });
  return { answer: answers[0] ?? 'none', messages: outputs.filter(output => output.type === 'message').length, closes: framer.state !== 'idle' };
}

const accepted = (file: string): SipMessage => {
  const parsed = parseMessage(tortureBytes(file), 'datagram');
  if (!parsed.ok) throw new Error(`${file}: ${parsed.error.why}`);
  return parsed.value;
};
const request = (file: string): SipRequest => accepted(file) as SipRequest;
const contacts = (file: string): readonly NameAddr[] => {
  const { contact } = request(file);
  return contact === '*' ? [] : contact;
};
const sipContact = (file: string): SipUri => contacts(file)[0]!.uri as SipUri;

t.equal(RFC4475.length, 49, 'all of RFC 4475');

for (const torture of RFC4475) {
  const bytes = tortureBytes(torture.file);
  t.equal(`${bytes.length} ${createHash('sha256').update(bytes).digest('hex').slice(0, 10)}`, `${torture.octets} ${torture.sha256}`, `${torture.file} octet by octet`);
  t.equal(answerTo(bytes, 'datagram'), torture.datagram, `${torture.file} in a datagram: ${torture.why}`);
  t.same(streamed(bytes, bytes.length), streamVerdict(torture), `${torture.file} in a stream`);
  t.same(streamed(bytes, 1), streamVerdict(torture), `${torture.file} in a stream, octet by octet`);
}

for (const { name, section, bytes, answer, why } of RFC5118) t.equal(answerTo(bytes, 'datagram'), answer, `RFC 5118 ${section} ${name}: ${why}`);
t.same(new Set(RFC5118.map(one => one.section)).size, 10, 'all situations of RFC 5118');

t.test('what is accepted is read right', async t => {
  const wsinv = request('wsinv');
  t.same([wsinv.cseq, wsinv.maxForwards, wsinv.via.map(via => `${via.transport} ${via.host}`)], [{ seq: 9, method: 'INVITE' }, 68, ['UDP 192.0.2.2', 'TCP spindle.example.com', 'UDP 192.168.255.111']]);
  t.equal(wsinv.via[0]?.params.get('branch'), '390skdjuw');
  t.equal(wsinv.from.displayName, 'J Rosenberg \\"', 'quoted pairs are resolved');
  t.equal(header(wsinv, 'Subject'), '', 'an empty Subject in its compact form');
  t.equal(header(wsinv, 'NewFangledHeader'), 'newfangled value\r\n continued newfangled value', 'the fold of an unknown header stays');
  t.equal(header(wsinv, 'UnknownHeaderWithUnusualValue'), ';;,,;;,;');
  t.same([...contacts('wsinv')[0]!.params], [['newparam', 'newvalue'], ['secondparam', null], ['q', '0.33']]);

  const intmeth = request('intmeth');
  t.equal(intmeth.to.displayName, 'BEL:\x07 NUL:\x00 DEL:\x7f');
  t.ok(isSipUri(intmeth.uri) && intmeth.uri.password === "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)" && intmeth.uri.host === 'example.com');
  t.equal(intmeth.from.params.size, 2, 'UTF-8 in a quoted parameter');

  t.equal(userOf(request('esc01').to), '%75se%72', 'escapes stay as they came');
  t.ok(sameUri(request('esc01').to.uri, sipUri('user', 'example.com')), 'and mean what they stand for');
  t.same(contacts('escnull').map(userOf), ['%00', '%00%00'], 'NUL truncates nothing');
  t.equal(userOf(request('semiuri')), 'user;par=u%40example.net');
  t.equal(request('lwsdisp').from.displayName, 'caller');
  t.equal(request('longreq').via.length, 34);
  t.equal(request('dblreq').body.length, 0, 'what follows is not a body');
  t.same(request('transports').via.map(via => via.transport), ['UDP', 'SCTP', 'TLS', 'UNKNOWN', 'TCP']);
  t.ok(request('mpart01').body.includes(0), 'the body is binary');
  t.equal(request('mpart01').contentTypeParams?.get('boundary'), '7a9cbec02ceef655');
  t.equal(contacts('cparam01')[0]!.params.has('unknownparam'), true);
  t.equal(sipContact('cparam02').params.has('unknownparam'), true);
  t.equal(sipContact('regescrt').headers, 'Route=%3Csip:sip.example.com%3E');
  t.same(request('regescrt').route, [], 'a header inside a URI becomes no Route');
  t.equal(header(request('baddate'), 'Date'), 'Fri, 01 Jan 2010 16:00:00 EST', 'a bad Date is text');
  t.equal(request('badaspec').to.displayName, 'Watson, Thomas');
  t.equal(request('inv2543').maxForwards, undefined);
  const unreason = accepted('unreason');
  t.match(unreason.type === 'response' && utf8Decode(fromByteString(unreason.reason)), /^= 2\*\*3 \* 5\*\*2 /);
  t.equal((accepted('noreason') as { reason: string }).reason, '');
});

t.test('what was accepted is written so that it reads the same', async t => {
  const written = [...RFC4475.map(one => tortureBytes(one.file)), ...RFC5118.map(one => one.bytes)].flatMap(bytes => {
    const parsed = parseMessage(bytes, 'datagram');
    return parsed.ok ? [{ message: parsed.value, bytes: serializeMessage(parsed.value) }] : [];
  });
  t.ok(written.length > 30);
  for (const { message, bytes } of written) {
    const again = parseMessage(bytes, 'stream-frame');
    t.ok(again.ok, message.callId);
    if (again.ok) t.same(again.value, message, message.callId);
  }
});

t.test('a refused request is answered with what could be read of it', async t => {
  const rejection = (file: string): string => {
    const parsed = parseMessage(tortureBytes(file), 'datagram');
    if (parsed.ok || parsed.error.partial === null || parsed.error.status === null) throw new Error(file);
    return toByteString(serializeRejection(parsed.error.status, parsed.error.partial, { toTag: 'ours', received: '127.0.0.2', receivedPort: 5099 }));
  };
  t.match(rejection('badvers'), /^SIP\/2\.0 505 Version Not Supported\r\nVia: SIP\/7\.0\/UDP c\.example\.com;branch=z9hG4bKkdjuw\r\n/);
  t.match(rejection('quotbal'), /\r\nTo: "Mr\. J\. User <sip:j\.user@example\.com>\r\n/, 'a To that cannot be read is echoed untouched');
  t.match(rejection('lwsruri'), /\r\nVia: SIP\/2\.0\/UDP 192\.0\.2\.1:5060;branch=z9hG4bKkdjuw2395;received=127\.0\.0\.2\r\n/, 'received is put on');
  t.match(rejection('trws'), /\r\nTo: <sip:remote-target@example\.com>;tag=ours\r\n/);
  t.notMatch(rejection('insuf'), /From|Call-ID/, 'what was missing stays missing');
});
