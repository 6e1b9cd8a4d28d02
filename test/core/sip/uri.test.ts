import fc from 'fast-check';
import t from 'tap';
import { formatNameAddr, formatVia, nameAddr, parseCSeq, parseMediaType, parseNameAddr, parseNameAddrList, parseVia, parseViaList, tokenList, withParam } from '#core/sip/headers.ts';
import { isSipUri, tagOf, userOf } from '#core/sip/message.ts';
import { type SipUri, formatUri, parseHostPort, parseUri, sameUri, sipUri } from '#core/sip/uri.ts';
import { checkValue } from '../../../scripts/fuzz/sip-values.ts';

const must = <T>(result: { ok: true; value: T } | { ok: false; error: { why: string } }): T => {
  if (!result.ok) throw new Error(result.error.why);
  return result.value;
};
const uri = (text: string): SipUri => must(parseUri(text)) as SipUri;

t.test('URIs, read and written', async t => {
  const both: readonly (readonly [text: string, parts: Partial<SipUri>])[] = [
    ['sip:34020000001320000001@3402000000', { user: '34020000001320000001', host: '3402000000' }],
    ['sip:34020000001320000001@192.0.2.71:5060', { host: '192.0.2.71', port: 5060 }],
    ['sip:34020000001320000001@3402000000.spvmn.cn', { host: '3402000000.spvmn.cn' }],
    ['sips:a:b@[2001:db8::1]:5061;transport=tls;lr', { scheme: 'sips', password: 'b', host: '2001:db8::1', port: 5061, params: new Map([['transport', 'tls'], ['lr', null]]) }],
    ['sip:192.0.2.1', { user: undefined, host: '192.0.2.1' }],
    ['sip:a;b?c,d/e@h?Route=%3Csip:x%3E&a=', { user: 'a;b?c,d/e', headers: 'Route=%3Csip:x%3E&a=' }],
    ['sip:%00@h', { user: '%00' }],
    ['sip:h;a=b?x', { params: new Map([['a', 'b']]), headers: 'x' }],
  ];
  for (const [text, parts] of both) {
    const value = uri(text);
    t.match(value, parts, text);
    t.equal(formatUri(value), text, text);
  }
  t.equal(formatUri(uri('SIP:a@H;Transport=UDP')), 'sip:a@H;transport=UDP', 'scheme and parameter names in lower case');
  t.equal(formatUri(uri('sip:a@h;x=1;x=2')), 'sip:a@h;x=1', 'the first of two');
  t.equal(formatUri(sipUri('34', '2001:db8::1', 5060, { transport: 'tcp', lr: null })), 'sip:34@[2001:db8::1]:5060;transport=tcp;lr');
  const other = must(parseUri('tel:+86-571;phone-context=x'));
  t.same([isSipUri(other), formatUri(other), userOf({ uri: other })], [false, 'tel:+86-571;phone-context=x', '']);
});

t.test('what is no URI', async t => {
  const refused = [
    '', 'sip', 'sip:', ':a', 'sip:@h', 'sip:a@', 'sip:a@b@c', 'sip:a@h:', 'sip:a@h:65536', 'sip:a@h:-1', 'sip:a@h:5o6o', 'sip:a@h:99999999999999999999', 'sip:a@[::1', 'sip:a@[::1]x', 'sip:a@[]', 'sip:a@[h]',
    'sip:a@2001:db8::10', 'sip:a@h;', 'sip:a@h;;x', 'sip:a@h;=x', 'sip:a@h;x=<', 'sip:a b@h', 'sip:a@h ', ' sip:a@h', 'sip:a@h?<', 'sip:a%@h', 'sip:a%4@h', 'sip:a%zz@h', 'sip:a\0@h', 'sip:\xc9\xe3@h', 'sip:a@h\r\nVia:',
    '1sip:a', 's p:a', 'tel:', 'tel:a b', 'http://a>b', `sip:${'h'.repeat(256)}`, 'x'.repeat(40) + ':y',
  ];
  for (const text of refused) t.notOk(parseUri(text).ok, JSON.stringify(text.slice(0, 40)));
  t.equal(parseHostPort('[2001:db8::10:5070]')?.port, undefined, 'the last group of an address is no port');
});

t.test('RFC 3261 19.1.4: equal by meaning', async t => {
  const same: readonly (readonly [string, string])[] = [
    ['sip:%61lice@atlanta.com;transport=TCP', 'sip:alice@AtLanTa.CoM;Transport=tcp'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com;newparam=5'],
    ['sip:carol@chicago.com;security=on', 'sip:carol@chicago.com;newparam=5'],
    ['sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com', 'sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com'],
    ['sip:alice@atlanta.com?subject=project%20x&priority=urgent', 'sip:alice@atlanta.com?priority=urgent&subject=project%20x'],
    ['sip:a@[2001:DB8::1]', 'sip:a@[2001:db8:0::0:1]'],
    ['sip:a@[::ffff:192.0.2.1]', 'sip:a@192.0.2.1'],
    ['sip:a@h;%6c%72', 'sip:a@h;lr'],
  ];
  for (const [a, b] of same) t.ok(sameUri(uri(a), uri(b)) && sameUri(uri(b), uri(a)), `${a} = ${b}`);
  const different: readonly (readonly [string, string])[] = [
    ['SIP:ALICE@AtLanTa.CoM;Transport=udp', 'sip:alice@AtLanTa.CoM;Transport=UDP'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:5060'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com;transport=udp'],
    ['sip:bob@biloxi.com', 'sip:bob@biloxi.com:6000;transport=tcp'],
    ['sip:carol@chicago.com', 'sip:carol@chicago.com?Subject=next%20meeting'],
    ['sip:bob@phone21.boxesbybob.com', 'sip:bob@192.0.2.4'],
    ['sip:carol@chicago.com;security=on', 'sip:carol@chicago.com;security=off'],
    ['sip:a%3Bb@h', 'sip:a;b@h'],
    ['sip:a@h', 'sips:a@h'],
    ['sip:a@h', 'sip:h'],
    ['sip:a:p@h', 'sip:a@h'],
  ];
  for (const [a, b] of different) t.notOk(sameUri(uri(a), uri(b)) || sameUri(uri(b), uri(a)), `${a} != ${b}`);
  t.ok(sameUri(must(parseUri('tel:1')), must(parseUri('tel:1'))));
  t.notOk(sameUri(must(parseUri('tel:1')), must(parseUri('sip:1@h'))));
});

t.test('name-addr and addr-spec', async t => {
  const written: readonly (readonly [text: string, canonical: string])[] = [
    ['sip:a@h', '<sip:a@h>'],
    ['sip:a@h;tag=1', '<sip:a@h>;tag=1'],
    ['<sip:a@h;lr>;tag=1', '<sip:a@h;lr>;tag=1'],
    ['Bob <sip:a@h>', '"Bob" <sip:a@h>'],
    ['Bob B. Bobson<sip:a@h>', '"Bob B. Bobson" <sip:a@h>'],
    ['"B, \\"b\\" \\\\" <sip:a@h>;x="y z";e=', '"B, \\"b\\" \\\\" <sip:a@h>;x="y z";e'],
    ['\xc9\xe3\xcf\xf1\xbb\xfa <sip:a@h>', '"\xc9\xe3\xcf\xf1\xbb\xfa" <sip:a@h>'],
    ['IPC/1 [a] <sip:a@h> ; tag = 1', '"IPC/1 [a]" <sip:a@h>;tag=1'],
    ['"" <sip:a@h>', '"" <sip:a@h>'],
    ['< sip:a@h >', '<sip:a@h>'],
    ['<sip:a@h>;tag=a@1.2.3.4;tag=b', '<sip:a@h>;tag=a@1.2.3.4'],
    ['<tel:+86>', '<tel:+86>'],
    ['isbn:2983792873', '<isbn:2983792873>'],
    [' \t <sip:a@h>\t', '<sip:a@h>'],
  ];
  for (const [text, canonical] of written) {
    t.equal(formatNameAddr(must(parseNameAddr(text))), canonical, text);
    t.equal(formatNameAddr(must(parseNameAddr(canonical))), canonical, canonical);
  }
  const refused = ['', '<>', '<sip:a@h', 'sip:a@h>', '"Bob <sip:a@h>', '"Bob" sip:a@h', 'Bob, B <sip:a@h>', 'Bob; <sip:a@h>', 'a:b <sip:a@h>', 'sip:a@h?x=y', '<sip:a@h>;;', '<sip:a@h>;=1', '<sip:a@h>x', '<sip:a@h>, <sip:b@h>', '<sip:a b@h>', 'Bob', '<sip:a@h>;x="', '*'];
  for (const text of refused) t.notOk(parseNameAddr(text).ok, text);
  const list = must(parseNameAddrList('sip:a@h , "x,y" <sip:b@h>;q=0.5,<sip:c,d@h>'));
  t.same(list.map(userOf), ['a', 'b', 'c,d'], 'commas in quotes and brackets separate nothing');
  t.notOk(parseNameAddrList('sip:a@h,,sip:b@h').ok);
  t.equal(tagOf(withParam(nameAddr(sipUri('1', 'h'), {}, 'N'), 'tag', 'x')), 'x');
  t.equal(formatNameAddr(nameAddr(sipUri('1', 'h'), { expires: '60' }, 'N')), '"N" <sip:1@h>;expires=60');
  t.equal(formatNameAddr(nameAddr(sipUri('1', 'h'), { x: 'a"b' }, 'N\r\nVia: x')), '"N  Via: x" <sip:1@h>;x="a\\"b"', 'no line of its own');
});

t.test('Via', async t => {
  const written: readonly (readonly [text: string, canonical: string])[] = [
    ['SIP/2.0/UDP 192.0.2.71:5060;rport;branch=z9hG4bKa11', 'SIP/2.0/UDP 192.0.2.71:5060;rport;branch=z9hG4bKa11'],
    ['sip / 2.0 / tcp  [2001:db8::9] : 5061 ; rport = 5062 ; received = [2001:db8::9:255]', 'SIP/2.0/TCP [2001:db8::9]:5061;rport=5062;received=2001:db8::9:255'],
    ['SIP/2.0/UDP h;rport=;branch=', 'SIP/2.0/UDP h;rport;branch'],
    ['SIP/2.0/UNKNOWN t_1.example.com', 'SIP/2.0/UNKNOWN t_1.example.com'],
    ['SIP/2.0/UDP h;received=[junk]', 'SIP/2.0/UDP h;received=[junk]'],
  ];
  for (const [text, canonical] of written) t.equal(formatVia(must(parseVia(text))), canonical, text);
  const refused = ['', 'SIP/2.0/UDP', 'SIP/2.0 h', 'SIP/3.0/UDP h', 'HTTP/2.0/UDP h', 'SIP/2.0/UDP;branch=x', 'SIP/2.0/UDP h:', 'SIP/2.0/UDP h:70000', 'SIP/2.0/UDP [::1', 'SIP/2.0/UDP [x]', 'SIP/2.0/UDP 2001:db8::1', 'SIP/2.0/UDP h;;', 'SIP/2.0/UDP h x', 'SIP/2.0/UDPh', 'SIP/2.0/UDP a%b'];
  for (const text of refused) t.notOk(parseVia(text).ok, text);
  t.same(must(parseViaList('SIP/2.0/UDP a;x=",", SIP/2.0/TCP b')).map(via => via.host), ['a', 'b']);
});

t.test('CSeq, media types, token lists', async t => {
  t.same(must(parseCSeq('0009 \t INVITE')), { seq: 9, method: 'INVITE' });
  t.same(must(parseCSeq('2147483647 X')).seq, 2147483647);
  for (const text of ['', '1', '1INVITE', 'INVITE', '2147483648 X', '-1 X', '1 X Y', '1 <', '36893488147419103232 X', '1e3 X']) t.notOk(parseCSeq(text).ok, text);
  t.same(must(parseMediaType('Application / MANSCDP+XML ; charset="GB2312"')), { type: 'application/manscdp+xml', params: new Map([['charset', 'GB2312']]) });
  for (const text of ['', 'a', 'a/', '/b', 'a/b/c', 'a/b;', 'a b/c']) t.notOk(parseMediaType(text).ok, text);
  t.same(tokenList([' a, b', '', 'c;d, e']), ['a', 'b', 'e']);
});

t.test('no value whatever throws, and what reads is written to read the same', async t => {
  const word = fc.constantFrom('sip:', 'a', '@', 'h', ':5060', ';', '=', '"', '\\', '<', '>', ',', ' ', '%41', '%', '[', '::1', ']', '?', '&', 'SIP/2.0/UDP ', 'Digest ', 'nonce=', '\r\n ', '\xc9', '\0', '1 INVITE', '192.0.2.1', '/8');
  const encoder = new TextEncoder();
  const words = fc.array(word, { maxLength: 12 }).map(parts => encoder.encode(parts.join('')));
  t.doesNotThrow(() => fc.assert(fc.property(words, checkValue), { numRuns: 3000 }));
  t.doesNotThrow(() => fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), checkValue), { numRuns: 1000 }));
});
