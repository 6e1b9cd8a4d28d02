import fc from 'fast-check';
import t from 'tap';
import { validate, SIGNALLING_RULES } from '#core/diagnose/validate.ts';
import { readPassed } from '#core/diagnose/passed.ts';
import { decodeBody } from '#kit/charset.ts';
import { inputAt } from '../../../scripts/lib/fuzz/mutate.ts';
import { CAMERA_PLACE, CHANNEL, CLEAN, DEVICE, OUR_PLACE, PEER, type Said, UNTIL_MS, changed, passedOf, replaced, without } from './clean-exchange.ts';

const judge = (said: readonly Said[], untilMs = UNTIL_MS): ReturnType<typeof validate> => validate(passedOf(said), body => decodeBody(body), untilMs);
const rulesIn = (said: readonly Said[], untilMs?: number): string[] => judge(said, untilMs).map(({ id }) => id).sort();
const tcp = (said: readonly Said[]): Said[] => said.map(each => (each.name.startsWith('invite') ? { ...each, text: each.text.replace('RTP/AVP 96', 'TCP/RTP/AVP 96').replace('a=rtpmap:96 PS/90000\r\n', `a=rtpmap:96 PS/90000\r\na=setup:${each.name === 'invite' ? 'passive' : 'active'}\r\n`) } : each));
const again = (name: string, atMs: number): Said[] => CLEAN.filter(said => said.name === name).map(said => ({ ...said, atMs }));

t.test('an exchange without faults breaks no rule', async t => {
  t.same(judge(CLEAN), []);
  t.same(judge(tcp(CLEAN)), [], 'over TCP');
  t.same(judge(CLEAN, 2000), [], 'nor while answers may still come');
});

/** One change each, and exactly what it breaks. */
const CASES: readonly (readonly [rule: string, said: readonly Said[], also?: readonly string[]])[] = [
  ['unreadable', replaced('keepalive 1', 'CSeq: 20', 'CSeq: many')],
  ['content-length', replaced('keepalive 1', '<n>', '7')],
  ['max-forwards', replaced('keepalive 2', 'Max-Forwards: 70\r\n', '')],
  ['from-tag', replaced('keepalive 2', ';tag=f1', '')],
  ['to-tag', replaced('query answered', ';tag=t1', '')],
  ['branch', CLEAN.map(said => ({ ...said, text: said.text.replace('branch=z9hG4bKk2', 'branch=k2') }))],
  ['cseq-method', CLEAN.map(said => ({ ...said, text: said.name.startsWith('keepalive 3') ? said.text.replace('20 MESSAGE', '20 REGISTER') : said.text }))],
  ['contact', replaced('invite answered', /Contact:.*\r\n/, '')],
  ['contact-host', replaced('register 2', `Contact: <sip:${DEVICE}@192.0.2.71`, `Contact: <sip:${DEVICE}@10.0.0.9`)],
  ['line-ends', changed('keepalive 1', text => text.replace('Max-Forwards: 70\r\n', 'Max-Forwards: 70\n'))],
  ['header-spacing', replaced('keepalive 1', 'Max-Forwards: 70', 'Max-Forwards:      70')],
  ['datagram-size', replaced('keepalive 1', '<Status>', `<Info>${'x'.repeat(1300)}</Info><Status>`)],
  ['content-type', replaced('keepalive 1', 'Application/MANSCDP+xml', 'application/xml')],
  ['party-id', replaced('keepalive 1', `From: <sip:${DEVICE}`, 'From: <sip:camera')],
  ['subject-missing', replaced('invite', /Subject:.*\r\n/, '')],
  ['subject', replaced('invite', `Subject: ${CHANNEL}`, 'Subject: 34020000001320000099')],
  ['sdp-unreadable', replaced('invite answered', /m=video.*\r\n/, 'm=video 15060 RTP/SAVP 96\r\n')],
  ['no-y', replaced('invite answered', 'y=0200000001\r\n', '')],
  ['y-digits', replaced('invite answered', 'y=0200000001', 'y=200000001')],
  ['y-digits', replaced('invite answered', 'y=0200000001', 'y=null')],
  ['y-class', CLEAN.map(said => ({ ...said, text: said.text.replace('y=0200000001', 'y=1200000001') }))],
  ['y-differs', replaced('invite answered', 'y=0200000001', 'y=0200000002')],
  ['f-form', replaced('invite answered', 'f=v/2/6/25/1/4096a/1/8/1', 'f=v/2/6')],
  ['session-name', replaced('invite answered', 's=Play', 's=Embedded Net DVR')],
  ['session-differs', replaced('invite answered', /s=Play\r\n(.*\r\n)t=0 0/, 's=Playback\r\n$1t=1773100800 1773102600'), ['y-class']],
  ['owner', replaced('invite answered', `o=${CHANNEL}`, 'o=-')],
  ['times', replaced('invite answered', 't=0 0', 't=5 9')],
  ['no-rtpmap', replaced('invite answered', 'a=rtpmap:96 PS/90000\r\n', '')],
  ['ps-payload-type', replaced('invite answered', /96/g, '98')],
  ['not-offered', replaced('invite answered', 'a=rtpmap:96 PS/90000', 'a=rtpmap:99 SVAC/90000').map(said => (said.name === 'invite answered' ? { ...said, text: said.text.replace('RTP/AVP 96', 'RTP/AVP 99') } : said))],
  ['protocol-differs', tcp(CLEAN).map(said => (said.name === 'invite' ? CLEAN.find(({ name }) => name === 'invite')! : said))],
  ['direction', replaced('invite answered', 'a=sendonly', 'a=recvonly')],
  ['no-setup', tcp(CLEAN).map(said => (said.name === 'invite answered' ? { ...said, text: said.text.replace('a=setup:active\r\n', '') } : said))],
  ['setup-on-udp', replaced('invite answered', 'a=sendonly', 'a=setup:active\r\na=sendonly')],
  ['setup-answer', tcp(CLEAN).map(said => (said.name === 'invite answered' ? { ...said, text: said.text.replace('setup:active', 'setup:passive') } : said))],
  ['media-port', replaced('invite answered', '15060', '15061')],
  ['connection-address', replaced('invite answered', 'c=IN IP4 192.0.2.71', 'c=IN IP4 0.0.0.0')],
  ['connection-foreign', replaced('invite answered', 'c=IN IP4 192.0.2.71', 'c=IN IP4 192.0.2.72')],
  ['sdp-line-ends', changed('invite answered', text => text.replace('s=Play\r\n', 's=Play\n'))],
  ['xml-unreadable', replaced('keepalive 1', '</Notify>', '')],
  ['xml-stray-markup', replaced('catalog 1', '<Name>gate', '<Name>gate A & B <1>')],
  ['xml-prologue', replaced('keepalive 1', /<\?xml.*\?>\r\n/, '')],
  ['xml-charset', replaced('catalog 1', '<Name>gate', '<Name>\xe5\xa4\xa7\xe9\x97\xa8')],
  ['xml-cmdtype', replaced('keepalive 1', '<CmdType>Keepalive', '<CmdType>Heartbeat')],
  ['xml-cmdtype', replaced('keepalive 1', '<CmdType>Keepalive</CmdType>', '')],
  ['xml-sn', replaced('keepalive 1', '<SN>1</SN>', '')],
  ['xml-device-id', replaced('keepalive 1', `<DeviceID>${DEVICE}</DeviceID>`, '')],
  ['xml-device-id', replaced('keepalive 1', `<DeviceID>${DEVICE}`, '<DeviceID>camera-1')],
  ['xml-spelling', replaced('catalog 1', /SumNum/g, 'sumnum')],
  ['list-num', replaced('catalog 1', 'Num="1"', 'Num="2"')],
  ['list-num', replaced('catalog 1', ' Num="1"', '')],
  ['list-num-spaces', replaced('catalog 1', 'Num="1"', 'Num=" 1 "')],
  ['parent-id', replaced('catalog 1', /<ParentID>.*<\/ParentID>/, '')],
  ['parent-id', replaced('catalog 1', /<ParentID>\d+/, '<ParentID>null')],
  ['parent-id', replaced('catalog 1', /<ParentID>\d+/, `<ParentID>${CHANNEL}`)],
  ['parent-id', replaced('catalog 1', /<ParentID>\d+/, `<ParentID>${DEVICE}/34020000002160000001`)],
  ['register-expires', CLEAN.map(said => ({ ...said, text: said.text.replace('Expires: 3600', 'Expires: 30') }))],
  ['register-cseq', [...CLEAN, ...again('register 2', 9000), ...again('register 2 answered', 9005)].map(said => (said.atMs >= 9000 && said.atMs < 10_000 ? { ...said, text: said.text.replace('branch=z9hG4bKr2', 'branch=z9hG4bKr3') } : said))],
  ['register-credentials', replaced('register 2', /Authorization:.*\r\n/, '')],
  ['register-user', replaced('register 2', `username="${DEVICE}"`, 'username="admin"')],
  ['keepalive-twice', [...CLEAN, ...[...again('keepalive 2', 120_100), ...again('keepalive 2 answered', 120_105)].map(said => ({ ...said, text: said.text.replaceAll('ka2@c', 'ka22@c') }))]],
  ['keepalive-rhythm', CLEAN.map(said => (said.name.startsWith('keepalive 1') ? { ...said, atMs: said.atMs + 55_000 } : said.name.startsWith('keepalive 2') ? { ...said, atMs: said.atMs + 2000 } : said.name.startsWith('keepalive 3') ? { ...said, atMs: said.atMs - 53_000 } : said)).map(said => (said.name.startsWith('keepalive 4') ? { ...said, atMs: said.atMs + 55_000 } : said))],
  ['keepalive-missing', without('keepalive 1', 'keepalive 1 answered', 'keepalive 2', 'keepalive 2 answered', 'keepalive 3', 'keepalive 3 answered', 'keepalive 4', 'keepalive 4 answered')],
  ['unanswered', without('bye answered')],
  ['sent-again', [...CLEAN, ...again('bye', 11_500)]],
  ['no-ack', without('ack')],
  ['no-response', without('catalog 1', 'catalog 1 answered', 'catalog 2', 'catalog 2 answered')],
  ['response-device', CLEAN.map(said => (said.name.startsWith('catalog') ? { ...said, text: said.text.replace(`<SN>7</SN>\r\n<DeviceID>${DEVICE}`, '<SN>7</SN>\r\n<DeviceID>34020000001180000009') } : said))],
  ['catalog-sum', without('catalog 2', 'catalog 2 answered')],
  ['catalog-sum', replaced('catalog 2', '<SumNum>2', '<SumNum>3')],
  ['catalog-repeats', [...CLEAN, ...[...again('catalog 2', 1180), ...again('catalog 2 answered', 1185)].map(said => ({ ...said, text: said.text.replaceAll('cat2@c', 'cat3@c') }))]],
];

t.test('each rule is broken by what breaks it, and by nothing else', async t => {
  for (const [rule, said, also = []] of CASES) t.same([...new Set(rulesIn(said))], [rule, ...also].sort(), rule);
  t.same(SIGNALLING_RULES.map(({ id }) => id).filter(id => !CASES.some(([rule]) => rule === id)), [], 'every rule has a case');
  t.equal(new Set(SIGNALLING_RULES.map(({ id }) => id)).size, SIGNALLING_RULES.length);
  t.ok(SIGNALLING_RULES.every(({ clause, says }) => /RFC \d|GB\/T 28181|XML 1\.0/.test(clause) && says !== ''));
});

t.test('findings say who, how often, where, and what of this case', async t => {
  const all = CLEAN.map(said => (said.name.startsWith('keepalive') ? { ...said, text: said.text.replace('Max-Forwards: 70\r\n', '') } : said));
  const [finding] = judge(all);
  t.match(finding, { id: 'max-forwards', by: PEER, count: 4, detail: 'MESSAGE', severity: 'loose' });
  t.equal(finding?.sequences.length, 4);
  t.match(judge(replaced('invite', 'y=0200000001\r\n', '')), [{ id: 'no-y', by: 'us', detail: 'offer has no y=' }], 'what we do wrong is ours');
  t.match(judge(without('keepalive 3 answered')), [{ id: 'unanswered', by: 'us', detail: /MESSAGE/ }]);
  t.match(judge([...replaced('invite answered', 'y=0200000001\r\n', ''), ...again('bye', 11_500)]).map(({ severity }) => severity), ['wrong', 'loose'], 'what is wrong comes first');
});

t.test('a platform above that does not acknowledge', async t => {
  const turned = without('ack').map(said => (said.name.startsWith('invite') || said.name.startsWith('bye') ? { ...said, direction: said.direction === 'in' ? ('out' as const) : ('in' as const), text: said.text.replaceAll('192.0.2.71', '@').replaceAll('192.0.2.10', '192.0.2.71').replaceAll('@:', '192.0.2.10:').replaceAll(/(IN IP4 )@/g, '$1192.0.2.10') } : said));
  t.match(judge(turned).find(({ id }) => id === 'no-ack'), { by: PEER });
});

t.test('any octets, mutated messages in any number: no exception, and every finding has its facts', async () => {
  const seeds = passedOf(CLEAN).map(({ bytes }) => bytes);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(), fc.boolean()), { maxLength: 12 }), picks => {
      const messages = picks.map(([seed, index, isIn], sequence) =>
        readPassed({ sequence, atWallMs: sequence * 1000, direction: isIn ? 'in' : 'out', transport: 'UDP', local: OUR_PLACE, remote: CAMERA_PLACE, connectionId: null, bytes: inputAt(seeds, seed, index), cut: false }),
      );
      return validate(messages, body => decodeBody(body), 100_000).every(({ id, by, detail, count }) => id !== '' && by !== '' && detail !== '' && count > 0);
    }),
    { numRuns: 300 },
  );
});
