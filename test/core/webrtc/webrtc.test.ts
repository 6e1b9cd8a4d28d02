import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { fromHex, toHex } from '#core/bytes.ts';
import { ms } from '#core/units.ts';
import { buildWhepAnswer } from '#core/webrtc/answer.ts';
import { MAX_NACKS, parseFeedback } from '#core/webrtc/feedback.ts';
import { IceLite, localFragmentOf } from '#core/webrtc/ice-lite.ts';
import { parseWhepOffer, pickAudio, pickH264, type WhepOffer } from '#core/webrtc/offer.ts';
import { bindingRequest, bindingSuccess, integrityFits, isStun, parseBindingRequest, type Sha1Mac } from '#core/webrtc/stun.ts';

const macOf = (password: string): Sha1Mac => bytes => createHmac('sha1', password).update(bytes).digest();

/** RFC 5769 2.1: a request with short-term credentials, and 2.2, 2.3: its answers. */
const PASSWORD = 'VOkJxbRl1RmTxUk/WvJxBt';
const REQUEST = fromHex(
  '000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36000600096576746a3a683676592020200008001' +
    '49aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf',
)!;

t.test('the vector of RFC 5769 2.1', async t => {
  t.equal(REQUEST.length, 108);
  const request = parseBindingRequest(REQUEST);
  t.ok(request.ok);
  if (!request.ok) return;
  t.match(request.value, { username: 'evtj:h6vY', useCandidate: false });
  t.equal(toHex(request.value.transactionId), 'b7e7a701bc34d686fa87dfae');
  t.ok(integrityFits(REQUEST, request.value.integrityAt, macOf(PASSWORD)));
  t.notOk(integrityFits(REQUEST, request.value.integrityAt, macOf('another')));
  t.equal(localFragmentOf(REQUEST), 'evtj');
});

t.test('answers, in IPv4 and IPv6: the mapped addresses of RFC 5769 2.2 and 2.3', async t => {
  const transaction = fromHex('b7e7a701bc34d686fa87dfae')!;
  t.match(toHex(bindingSuccess(transaction, '192.0.2.1', 32853, macOf(PASSWORD))!), /^0101002c2112a442b7e7a701bc34d686fa87dfae/);
  t.match(toHex(bindingSuccess(transaction, '192.0.2.1', 32853, macOf(PASSWORD))!), '002000080001a147e112a643');
  t.match(toHex(bindingSuccess(transaction, '2001:db8:1234:5678:11:2233:4455:6677', 32853, macOf(PASSWORD))!), '002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9');
  t.equal(bindingSuccess(transaction, 'nowhere', 1, macOf(PASSWORD)), undefined);
});

t.test('what is no request', async t => {
  const good = bindingRequest(new Uint8Array(12), 'a:b', true, macOf('x'));
  t.ok(isStun(good) && parseBindingRequest(good).ok);
  const cases: readonly (readonly [string, Uint8Array, RegExp])[] = [
    ['too short', good.subarray(0, 19), /not STUN/],
    ['another cookie', good.with(4, 0), /not STUN/],
    ['an indication', good.with(1, 0x11), /no binding request/],
    ['a length that lies', good.with(3, good[3]! + 4), /length/],
    ['an attribute that is too long', good.with(23, 0xff), /attribute longer/],
    ['without USERNAME', good.with(21, 0x07), /USERNAME/],
    ['a MAC of another size', good.with(35, 19), /20 bytes/],
  ];
  for (const [name, bytes, why] of cases) {
    const parsed = parseBindingRequest(bytes);
    t.match(parsed.ok ? 'parsed' : parsed.error.why, why, name);
  }
});

t.test('ICE lite: who checks with our password owns a path; consent ends', async t => {
  const ice = new IceLite('ours', 'theirs', macOf('secret'), ms(0), { connectMs: 100, consentMs: 1000 });
  const check = (username: string, password: string, nominate: boolean): Uint8Array => bindingRequest(new Uint8Array(12).fill(1), username, nominate, macOf(password));
  const [first, second] = [{ address: '192.0.2.1', port: 1 }, { address: '192.0.2.2', port: 2 }];
  t.equal(ice.deadline, 100);
  t.notOk(ice.onCheck(check('ours:others', 'secret', true), first, ms(1)).ok);
  t.notOk(ice.onCheck(check('ours:theirs', 'guess', true), first, ms(1)).ok);
  t.equal(ice.selected, undefined);
  t.equal(ice.deadline, 100, 'a bad check keeps nothing alive');
  t.ok(ice.onCheck(check('ours:theirs', 'secret', false), first, ms(10)).ok);
  t.same([ice.selected, ice.nominated, ice.deadline], [first, false, 1010]);
  t.ok(ice.onCheck(check('ours:theirs', 'secret', true), second, ms(20)).ok);
  ice.onCheck(check('ours:theirs', 'secret', false), first, ms(30));
  t.same([ice.selected, ice.nominated], [second, true], 'the nominated path stays');
  t.ok(ice.owns('192.0.2.1', 1) && !ice.owns('192.0.2.3', 1));
  for (let port = 10; port < 40; port++) ice.onCheck(check('ours:theirs', 'secret', false), { address: '192.0.2.9', port }, ms(40));
  t.notOk(ice.owns('192.0.2.9', 39), 'so many paths and no more');
});

const FINGERPRINT = Array.from({ length: 32 }, (_, i) => i.toString(16).padStart(2, '0')).join(':');
const chromeLike = (change: (line: string) => string = line => line): string =>
  [
    'v=0', 'o=- 4611731400430051336 2 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0 1', 'a=extmap-allow-mixed', 'a=msid-semantic: WMS',
    'm=video 9 UDP/TLS/RTP/SAVPF 96 103 102 109', 'c=IN IP4 0.0.0.0', 'a=rtcp:9 IN IP4 0.0.0.0', 'a=ice-ufrag:Tn4/', 'a=ice-pwd:f4gV9xSvJQHdkmnt5jB1vSP/', 'a=ice-options:trickle', `a=fingerprint:sha-256 ${FINGERPRINT}`,
    'a=setup:actpass', 'a=mid:0', 'a=recvonly', 'a=rtcp-mux', 'a=rtcp-rsize', 'a=rtpmap:96 VP8/90000', 'a=rtpmap:102 H264/90000', 'a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f',
    'a=rtpmap:103 H264/90000', 'a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=64001f', 'a=rtpmap:109 H264/90000', 'a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111 0 8', 'c=IN IP4 0.0.0.0', 'a=mid:1', 'a=recvonly', 'a=rtcp-mux', 'a=setup:actpass', 'a=rtpmap:111 opus/48000/2', 'a=rtpmap:0 PCMU/8000',
  ].map(change).join('\r\n');

const parsed = (text: string): WhepOffer => {
  const offer = parseWhepOffer(text);
  if (!offer.ok) throw new Error(offer.error.why);
  return offer.value;
};

t.test('an offer of a browser, and our answer to it', async t => {
  const offer = parsed(chromeLike());
  t.match(offer, { iceFragment: 'Tn4/', fingerprints: [{ algorithm: 'sha-256', value: FINGERPRINT.toUpperCase() }] });
  const [video, audio] = offer.media;
  t.equal(pickH264(video!, 0x64)?.type, 109, 'the profile of the stream');
  t.equal(pickH264(video!, 0x4d)?.type, 102, 'else the first in packetization mode 1');
  t.equal(pickAudio(audio!, 'g711a')?.type, 8, 'a static type needs no rtpmap');
  t.equal(pickAudio(audio!, 'g711u')?.type, 0);
  const answer = buildWhepAnswer({
    offer, sessionId: '7', address: '192.0.2.7', port: 5004, iceFragment: 'ours', icePassword: 'secret', fingerprint: `sha-256 ${FINGERPRINT}`,
    tracks: [{ mid: '0', kind: 'video', payload: pickH264(video!, 0x64)!, ssrc: 5 }],
  });
  t.match(answer, /a=group:BUNDLE 0\r\na=ice-lite\r\n/);
  t.match(answer, /m=video 5004 UDP\/TLS\/RTP\/SAVPF 109\r\nc=IN IP4 192\.0\.2\.7\r\na=mid:0\r\na=sendonly\r\n/);
  t.match(answer, /a=fmtp:109 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f\r\n/);
  t.match(answer, /a=candidate:1 1 udp 2130706431 192\.0\.2\.7 5004 typ host\r\n/);
  t.match(answer, /m=audio 0 UDP\/TLS\/RTP\/SAVPF 111\r\nc=IN IP4 192\.0\.2\.7\r\na=inactive\r\na=mid:1\r\n$/, 'what is not sent is refused');
});

t.test('offers that are refused', async t => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['nothing', '', /not SDP/],
    ['without media', 'v=0\r\ns=-', /media sections/],
    ['without a fragment', chromeLike(line => line.replace(/^a=ice-ufrag.*/, 'a=x')), /ice-ufrag/],
    ['a fragment that would end a line', chromeLike(line => line.replace('Tn4/', 'a b')), /ice-ufrag/],
    ['without a fingerprint', chromeLike(line => line.replace(/^a=fingerprint.*/, 'a=fingerprint:sha-1 AA')), /fingerprint/],
    ['a DTLS server', chromeLike(line => line.replace('setup:actpass', 'setup:passive')), /setup/],
    ['without rtcp-mux', chromeLike(line => line.replace('a=rtcp-mux', 'a=x')), /rtcp-mux/],
    ['the same mid twice', chromeLike(line => line.replace('a=mid:1', 'a=mid:0')), /twice/],
    ['a mid with a line end in disguise', chromeLike(line => line.replace('a=mid:1', 'a=mid:1;x')), /mid/],
    ['nine sections', chromeLike() + '\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0'.repeat(7), /media sections/],
    ['64 KiB and more', `v=0${'x'.repeat(65_536)}`, /too long/],
  ];
  for (const [name, text, why] of cases) {
    const offer = parseWhepOffer(text);
    t.match(offer.ok ? 'parsed' : offer.error.why, why, name);
  }
});

t.test('feedback: what is asked for again, and key frames', async t => {
  const nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0, 0b101];
  const pli = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9];
  const fir = [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0];
  const report = [0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 9, 64, ...new Array<number>(19).fill(0)];
  const bye = [0x81, 203, 0, 1, 0, 0, 0, 1];
  const read = (...bytes: number[]): unknown => {
    const feedback = parseFeedback(Uint8Array.from(bytes));
    return feedback.ok ? feedback.value : feedback.error.why;
  };
  t.match(read(...report, ...nack), { fractionLost: 64, keyFrameWanted: false, nacks: [{ ssrc: 9, sequence: 0xffff }, { ssrc: 9, sequence: 0 }, { ssrc: 9, sequence: 2 }] });
  t.match(read(...pli), { keyFrameWanted: true, nacks: [] });
  t.match(read(...fir), { keyFrameWanted: true });
  t.match(read(...report, ...bye), { goodbye: true, keyFrameWanted: false });
  t.equal(read(), 'empty');
  t.equal(read(0x81, 205, 0xff, 0xff, 0, 0, 0, 1), 'longer than the datagram');
  t.equal(read(0x41, 205, 0, 0), 'no RTCP header');
  t.equal(read(...Array.from({ length: 33 }, () => [0x80, 201, 0, 0]).flat()), 'too many packets');
  const many = Array.from({ length: 60 }, (_, i) => [i, 0, 0xff, 0xff]).flat();
  t.equal((read(0x81, 205, 0, 2 + 60, 0, 0, 0, 1, 0, 0, 0, 9, ...many) as { nacks: unknown[] }).nacks.length, MAX_NACKS);
});

t.test('any bytes and any text are taken', async t => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => void [parseBindingRequest(bytes), parseFeedback(bytes), localFragmentOf(bytes)]));
  fc.assert(fc.property(fc.array(fc.oneof(fc.constantFrom(...chromeLike().split('\r\n')), fc.string()), { maxLength: 40 }), lines => void parseWhepOffer(lines.join('\r\n'))));
  t.pass();
});
