import fc from 'fast-check';
import t from 'tap';
import { concatBytes, fromByteString, toByteString } from '#core/bytes.ts';
import { type SipRequest, header, headerValues } from '#core/sip/message.ts';
import { MAX_DATAGRAM_OCTETS, MAX_HEAD_OCTETS, type ParseOptions, type SipParseError, parseDeltaSeconds, parseMessage } from '#core/sip/parse.ts';
import { DEFAULT_RULES, validateRequest } from '#core/sip/validate.ts';
import { ANOMALY_COUNT, SOUND, anomalies } from '../../../scripts/fuzz/sip-anomalies.ts';
import { checkMessage, tortureSeeds } from '../../../scripts/fuzz/sip-message.ts';

/** Lines with LF become a datagram with CRLF. */
const wire = (text: string): Uint8Array => fromByteString(text.replaceAll('\n', '\r\n'));

interface Changes {
  readonly method?: string;
  readonly start?: string;
  readonly extra?: string;
  readonly without?: string;
  readonly body?: string;
}

function message({ method = 'MESSAGE', start = `${method} sip:33010000002000000001@3301000000 SIP/2.0`, extra = '', without, body = '' }: Changes = {}): Uint8Array {
  const fields = [
    'Via: SIP/2.0/UDP 192.0.2.71:5060;rport;branch=z9hG4bKka1', 'From: <sip:33010000001180000007@3301000000>;tag=k1', 'To: <sip:33010000002000000001@3301000000>',
    'Call-ID: ka-000041@192.0.2.71', `CSeq: 20 ${method}`, 'Max-Forwards: 70',
  ].filter(field => without === undefined || !field.startsWith(`${without}:`));
  return wire(`${start}\n${fields.map(field => `${field}\n`).join('')}${extra}\n${body}`);
}

function read(bytes: Uint8Array, options: ParseOptions = {}): SipRequest {
  const parsed = parseMessage(bytes, 'datagram', options);
  if (!parsed.ok || parsed.value.type !== 'request') throw new Error(parsed.ok ? 'a response' : parsed.error.why);
  return parsed.value;
}

function refusal(bytes: Uint8Array, options: ParseOptions = {}): SipParseError {
  const parsed = parseMessage(bytes, 'datagram', options);
  if (parsed.ok) throw new Error('accepted');
  return parsed.error;
}

t.test('a message of GB/T 28181 as devices write it', async t => {
  const request = read(wire(`REGISTER sip:33010000002000000001@3301000000 SIP/2.0
v: SIP/2.0/UDP 192.0.2.71:5060;rport;branch=z9hG4bKa12, SIP/2.0/TCP 192.0.2.72
f:     <sip:33010000001180000007@3301000000>;tag=d7a
T: <sip:33010000001180000007@3301000000>;tag=
I: 7f01@192.0.2.71
cseq: 2 REGISTER
m: <sip:33010000001180000007@192.0.2.71:5060>, "b" <sip:c@d>;expires=60
User-Agent: \xba\xa3\xbf\xb5
x-gb-ver: 3.0
Authorization: Digest username="33010000001180000007",realm="3301000000",
  nonce="5c1e0a77d3f84b21"
EXPIRES: 3600
l:         0

`));
  t.same([request.method, request.via.length, request.callId, request.cseq.seq, request.expires, request.maxForwards], ['REGISTER', 2, '7f01@192.0.2.71', 2, 3600, undefined]);
  t.equal(request.to.params.get('tag'), null, 'an empty tag is none');
  t.equal(request.contact.length, 2);
  t.equal(header(request, 'Authorization'), 'Digest username="33010000001180000007",realm="3301000000", nonce="5c1e0a77d3f84b21"', 'folds of fields that are read are taken out');
  t.equal(header(request, 'X-GB-Ver'), '3.0');
  t.equal(header(request, 'user-agent'), '\xba\xa3\xbf\xb5', 'octets stay octets');
  t.same(request.headers.map(field => field.name), ['User-Agent', 'x-gb-ver', 'Authorization']);
  t.equal(validateRequest(request), null);

  const lineFeeds = read(fromByteString(toByteString(message({ extra: 'Content-Type: Application/MANSCDP+xml\n', body: '<a/>' })).replaceAll('\r', '')));
  t.same([lineFeeds.contentType, toByteString(lineFeeds.body)], ['application/manscdp+xml', '<a/>'], 'lone line feeds');
  t.equal(read(concatBytes(fromByteString('\r\n\r\n'), message())).callId, 'ka-000041@192.0.2.71', 'line ends before the start line');
  t.same(headerValues(read(message({ extra: 'Allow: INVITE\nALLOW: BYE\n' })), 'allow'), ['INVITE', 'BYE']);
  t.equal(read(message({ method: 'REGISTER', extra: 'Contact: *\nExpires: 0\n' })).contact, '*');
});

t.test('the body of a datagram', async t => {
  const xml = '<?xml version="1.0"?><Notify/>';
  const body = (extra: string, text: string, options?: ParseOptions): string => toByteString(read(message({ extra, body: text }), options).body);
  t.equal(body('', xml), xml, 'without Content-Length it goes to the end');
  t.equal(body('Content-Length: 30\n', xml), xml);
  t.equal(body('Content-Length: 5\n', xml), '<?xml', 'what is behind it is ignored');
  t.equal(body('Content-Length: 0\n', xml), xml, 'gb28181.md 11 #2: 0, and XML follows');
  t.equal(body('Content-Length: 0\n', '\xef\xbb\xbf\n <a/>'), '\xef\xbb\xbf\r\n <a/>');
  t.equal(body('Content-Length: 0\n', 'v=0\n'), 'v=0\r\n', 'or SDP');
  t.equal(body('Content-Length: 0\nContent-Type: application/MANSRTSP\n', 'PAUSE MANSRTSP/1.0\n'), 'PAUSE MANSRTSP/1.0\r\n', 'or MANSRTSP by its type');
  t.equal(body('Content-Length: 0\n', 'PAUSE MANSRTSP/1.0\n'), '');
  t.equal(body('Content-Length: 0\n', 'INVITE sip:x@y SIP/2.0\n\n'), '', 'another message is not a body');
  t.equal(body('Content-Length: 0\n', '\0\0\0\0'), '');
  t.equal(refusal(message({ extra: 'Content-Length: 31\n', body: xml })).status, 400, 'shorter than it says');
  t.equal(body('Content-Length: 31\n', xml, { lenientLength: true }), xml, 'unless the peer is known for it');
  t.equal(body('Content-Length: 5\n', xml, { lenientLength: true }), xml);
  t.equal(body('Content-Length: 5\n', 'aaaaabbbbb', { lenientLength: true }), 'aaaaa');
  for (const length of ['-1', '', 'x', '1x', '0x5', '99999999999999999999', '1, 1', '+5']) t.equal(refusal(message({ extra: `Content-Length: ${length}\n`, body: xml })).status, 400, `Content-Length: ${length}`);
  const stream = (extra: string): boolean => parseMessage(message({ extra, body: xml }), 'stream-frame').ok;
  t.same([stream('Content-Length: 30\n'), stream(''), stream('Content-Length: 0\n'), stream('Content-Length: 29\n'), stream('Content-Length: 31\n')], [true, false, false, false, false], 'a frame is exact');
  const bytes = message({ extra: 'Content-Length: 4\n', body: 'abcd' });
  t.equal(read(bytes).body.buffer, bytes.buffer, 'the body is not copied');
});

t.test('what is dropped and what is answered', async t => {
  const dropped: readonly (readonly [title: string, bytes: Uint8Array])[] = [
    ['an empty datagram', new Uint8Array(0)],
    ['a NUL', Uint8Array.of(0)],
    ['four NULs', new Uint8Array(4)],
    ['a keep-alive', fromByteString('\r\n\r\n')],
    ['HTTP', wire('GET / HTTP/1.1\nHost: x\n\n')],
    ['a response without Via', wire('SIP/2.0 200 OK\nCall-ID: x\n\n')],
    ['a broken response', message({ start: 'SIP/2.0 20 OK' })],
    ['a status out of range', message({ start: 'SIP/2.0 700 OK' })],
    ['a status below 100', message({ start: 'SIP/2.0 099 OK' })],
    ['a response of another version', message({ start: 'SIP/3.0 200 OK' })],
    ['a response with a status of four digits', message({ start: 'SIP/2.0 2000 OK' })],
    ['a broken ACK', message({ method: 'ACK', without: 'From' })],
    ['an RTP packet', Uint8Array.of(0x80, 0x60, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 0x0a, 0x0a)],
    ['a method that is none', message({ start: 'ME[]SSAGE sip:x SIP/2.0' })],
  ];
  for (const [title, bytes] of dropped) t.same([refusal(bytes).status, refusal(bytes).partial], [null, null], title);

  const answered: readonly (readonly [title: string, bytes: Uint8Array, status?: number])[] = [
    ['no Via (faults.md 8)', message({ without: 'Via' })],
    ['no From', message({ without: 'From' })],
    ['no To', message({ without: 'To' })],
    ['no Call-ID', message({ without: 'Call-ID' })],
    ['no CSeq', message({ without: 'CSeq' })],
    ['From twice', message({ extra: 'f: <sip:a@b>\n' })],
    ['Max-Forwards twice', message({ extra: 'Max-Forwards: 70\n' })],
    ['Expires twice', message({ extra: 'Expires: 1\nExpires: 1\n' })],
    ['Content-Type twice', message({ extra: 'Content-Type: a/b\nc: a/b\n' })],
    ['Content-Length twice, equal', message({ extra: 'Content-Length: 0\nl: 0\n' })],
    ['Max-Forwards over 255', message({ without: 'Max-Forwards', extra: 'Max-Forwards: 256\n' })],
    ['* beside an address', message({ extra: 'Contact: *\nContact: <sip:a@b>\n' })],
    ['an address beside *', message({ extra: 'Contact: <sip:a@b>\nContact: *\n' })],
    ['a line without a colon', message({ extra: 'nonsense\n' })],
    ['a name with a space', message({ extra: 'X Y: z\n' })],
    ['a fold before the first field', message({ start: 'MESSAGE sip:x@y SIP/2.0\n Subject: x' })],
    ['a lone CR in a value', message({ extra: 'Subject: a\rVia: b\n' })],
    ['a lone CR in the start line', message({ start: 'MESSAGE sip:x@y\r SIP/2.0' })],
    ['no empty line', wire('MESSAGE sip:x@y SIP/2.0\nVia: SIP/2.0/UDP h\n')],
    ['a Call-ID of two words', message({ without: 'Call-ID', extra: 'Call-ID: a b\n' })],
    ['three words too many', message({ start: 'MESSAGE sip:x@y SIP/2.0 SIP/2.0 SIP/2.0' })],
    ['another version', message({ start: 'MESSAGE sip:x@y SIP/2.1' }), 505],
    ['a head that is too long', message({ extra: `Subject: ${'a'.repeat(MAX_HEAD_OCTETS)}\n` }), 513],
    ['a datagram of the largest size (faults.md 6)', concatBytes(message(), new Uint8Array(MAX_DATAGRAM_OCTETS - message().length)), 513],
  ];
  for (const [title, bytes, status = 400] of answered) t.equal(refusal(bytes).status, status, title);

  const { partial } = refusal(message({ extra: 'Contact: <\nVia: SIP/2.0/TCP b;x="a,b"\n' }));
  t.match(partial, {
    method: 'MESSAGE', via: ['SIP/2.0/UDP 192.0.2.71:5060;rport;branch=z9hG4bKka1', 'SIP/2.0/TCP b;x="a,b"'], topVia: { host: '192.0.2.71' },
    from: '<sip:33010000001180000007@3301000000>;tag=k1', callId: 'ka-000041@192.0.2.71', cseq: '20 MESSAGE',
  });
  t.equal(refusal(message({ without: 'Via', extra: 'Via: SIP/2.0/UDP a;x="," ;branch=1, b\n' })).partial?.topVia?.params.get('x'), ',', 'a comma in quotes ends no Via');
  t.same(refusal(message({ without: 'Via', extra: 'Contact: <\nVia: SIP/2.0/UDP a , SIP/2.0/UDP b, SIP/2.0/UDP c\n' })).partial?.via, ['SIP/2.0/UDP a', 'SIP/2.0/UDP b, SIP/2.0/UDP c'], 'the top Via by itself');
  t.equal(read(message({ extra: `Subject: ${'a'.repeat(MAX_HEAD_OCTETS - 400)}\n` })).headers.length, 1, 'long, but not too long');
});

t.test('Expires is read, not judged (faults.md 13)', async t => {
  const expires = (text: string): number | undefined => read(message({ extra: `Expires: ${text}\n` })).expires;
  t.same(['0', '1', '4294967295', '4294967296', '9'.repeat(60), '', '-1', 'soon', '1.5'].map(expires), [0, 1, 4294967295, 4294967295, 4294967295, undefined, undefined, undefined, undefined]);
  t.equal(read(message()).expires, undefined);
  t.equal(parseDeltaSeconds(' 60 '), 60);
  t.equal(parseDeltaSeconds('9'.repeat(65)), undefined);
});

t.test('what a well-formed request must fulfil', async t => {
  const status = (changes: Changes): number | undefined => validateRequest(read(message(changes)))?.status;
  t.equal(status({}), undefined);
  t.equal(status({ without: 'Max-Forwards' }), undefined, 'old devices send none');
  t.equal(status({ without: 'CSeq', extra: 'CSeq: 1 INVITE\n' }), 400);
  t.equal(status({ extra: 'Contact: *\n' }), 400, '* outside REGISTER');
  t.equal(status({ start: 'MESSAGE sip:x@y?Route=z SIP/2.0' }), 400);
  t.equal(status({ extra: 'Event: catalog\nEvent: presence\n' }), 400);
  t.equal(status({ method: 'PUBLISH' }), 501);
  t.equal(status({ method: 'message' }), 501, 'methods are case-sensitive');
  t.equal(status({ start: 'MESSAGE tel:110 SIP/2.0' }), 416);
  t.equal(status({ extra: 'Require: 100rel\n' }), 420);
  t.equal(status({ extra: 'Proxy-Require: sec-agree\n' }), 420);
  t.equal(status({ method: 'CANCEL', extra: 'Require: 100rel\n' }), undefined, 'RFC 3261 8.2.2.3');
  t.equal(status({ method: 'ACK', extra: 'Require: 100rel\n' }), undefined);
  t.equal(status({ method: 'INVITE', extra: 'Content-Type: text/plain\n', body: 'x' }), 415);
  t.equal(status({ method: 'INVITE', extra: 'Content-Type: APPLICATION/SDP\nContent-Encoding: gzip\n', body: 'x' }), 415);
  t.equal(status({ method: 'INVITE', extra: 'Content-Type: application/sdp\nContent-Encoding: identity\n', body: 'x' }), undefined);
  t.equal(status({ method: 'INVITE' }), undefined, 'no offer');
  for (const accept of ['*/*', 'application/*', 'text/plain, Application/SDP;level=1', 'application/sdp']) t.equal(status({ method: 'INVITE', extra: `Accept: ${accept}\n` }), undefined, accept);
  for (const accept of ['', 'text/*', 'application/xml']) t.equal(status({ method: 'INVITE', extra: `Accept: ${accept}\n` }), 406, accept);
  t.same(validateRequest(read(message({ extra: 'Require: a, timer\nProxy-Require: a\n' })), { ...DEFAULT_RULES, supported: ['timer'] })?.headers, [{ name: 'Unsupported', value: 'a' }]);
  t.match(validateRequest(read(message({ method: 'PUBLISH' })))?.headers[0], { name: 'Allow', value: /INVITE, .*REGISTER/ });
});

t.test('4,527 messages with one thing wrong each (faults.md 3)', async t => {
  let count = 0;
  let accepted = 0;
  for (const { name, bytes } of anomalies()) {
    try {
      checkMessage(bytes);
    } catch (error) {
      t.fail(`${name}: ${String(error)}`);
    }
    count++;
    if (parseMessage(bytes, 'datagram').ok) accepted++;
  }
  t.equal(count, ANOMALY_COUNT);
  t.ok(accepted > ANOMALY_COUNT / 10 && accepted < ANOMALY_COUNT / 2, `most are refused, many are harmless: ${accepted} accepted`);
  for (const bytes of SOUND) t.ok(parseMessage(bytes, 'datagram').ok, 'without the anomaly it is accepted');
});

t.test('no octets whatever throw, and what reads is written to read the same (faults.md 4)', async t => {
  const seed = fc.constantFrom(...tortureSeeds, ...SOUND);
  const cut = fc.record({ seed, at: fc.nat(4000), drop: fc.nat(40), put: fc.uint8Array({ maxLength: 6 }) });
  const mutated = fc.array(cut, { minLength: 1, maxLength: 4 }).map(cuts => cuts.reduce((bytes, { at, drop, put }) => {
    const from = at % (bytes.length + 1);
    return concatBytes(bytes.subarray(0, from), put, bytes.subarray(from + drop));
  }, cuts[0]!.seed));
  t.doesNotThrow(() => fc.assert(fc.property(mutated, checkMessage), { numRuns: 3000 }));
  t.doesNotThrow(() => fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), checkMessage), { numRuns: 1000 }));
  const line = fc.constantFrom('Via: SIP/2.0/UDP h', 'From: <sip:a@b>;tag=1', 'To: sip:a@b', 'Call-ID: 1', 'CSeq: 1 INVITE', 'l: 0', 'Contact: *', ' folded', '\tfolded', 'X:\xff\0', ':', '', 'Expires: 1', 'Route: <sip:x>');
  const shuffled = fc.array(line, { maxLength: 16 }).map(lines => wire(`INVITE sip:a@b SIP/2.0\n${lines.join('\n')}\n\n`));
  t.doesNotThrow(() => fc.assert(fc.property(shuffled, checkMessage), { numRuns: 2000 }));
});

t.test('time grows with the length only', async t => {
  const bulk = MAX_HEAD_OCTETS - 400;
  const heavy = ['a:b\n', 'Via: SIP/2.0/UDP h\n', ' \n', 'X: \\\n'].map(text => text.repeat(bulk / (text.length + 1)));
  const values = [';', ',', '"', '\\', '<', '[', '%41', 'a,', ';a', '<sip:a@b>,', '=', ' \n '].map(text => text.repeat(Math.floor(bulk / (text.length + 2))));
  const started = performance.now();
  for (const extra of heavy) for (let i = 0; i < 20; i++) parseMessage(message({ extra: `Subject: x\n${extra}` }), 'datagram');
  for (const value of values) for (const name of ['Via', 'Contact', 'To', 'Route', 'Subject', 'Content-Type', 'Call-ID', 'CSeq']) parseMessage(message({ without: name, extra: `${name}: ${value}\n` }), 'datagram');
  for (const value of values) parseMessage(message({ start: `INVITE sip:${value} SIP/2.0` }), 'datagram');
  t.ok(performance.now() - started < 3000, 'two hundred hostile heads');
});
