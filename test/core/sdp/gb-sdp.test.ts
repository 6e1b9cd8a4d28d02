import fc from 'fast-check';
import t from 'tap';
import { fromByteString, toByteString } from '#core/bytes.ts';
import { type OfferParts, buildAnswer, buildOffer, formatSsrc } from '#core/sdp/build.ts';
import { formatFLine, parseFLine } from '#core/sdp/f-line.ts';
import { type GbSdp, parseGbSdp, readSsrc } from '#core/sdp/gb-sdp.ts';
import { type MediaTargetRule, checkMediaTarget } from '#core/sdp/media-target.ts';
import { type MediaTransport, PS_PAYLOAD, answerTransport, choosePayload, readAnswer } from '#core/sdp/negotiate.ts';

const GATEWAY = '33010000002000000001';
const CHANNEL = '33010000001320000701';
const crlf = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, '\r\n') + '\r\n';
const parse = (text: string): ReturnType<typeof parseGbSdp> => parseGbSdp(fromByteString(crlf(text)));

function must(text: string): GbSdp {
  const parsed = parse(text);
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
}

const statusOf = (parsed: ReturnType<typeof parseGbSdp>): number => (parsed.ok ? 200 : parsed.error.status);

const LIVE = `v=0
  o=${GATEWAY} 0 0 IN IP4 192.0.2.20
  s=Play
  c=IN IP4 192.0.2.20
  t=0 0
  m=video 30000 RTP/AVP 96
  a=rtpmap:96 PS/90000
  a=recvonly
  y=0100000001`;

const live = (change: (lines: string[]) => string[]): string => change(LIVE.split('\n')).join('\n');
const replaced = (from: string, to: string): string => LIVE.replace(from, to);

/** Text and parts of one offer, used both ways (gb28181.md 6.2, A.3). */
const OFFERS: readonly { readonly name: string; readonly text: string; readonly parts: OfferParts }[] = [
  { name: 'live over UDP', text: LIVE, parts: { originUser: GATEWAY, address: '192.0.2.20', port: 30000, transport: 'udp', ssrc: 100000001, sessionName: 'Play' } },
  {
    name: 'live, we listen',
    text: `v=0
      o=${GATEWAY} 0 0 IN IP4 192.0.2.20
      s=Play
      c=IN IP4 192.0.2.20
      t=0 0
      m=video 30000 TCP/RTP/AVP 96 97 98 100
      a=rtpmap:96 PS/90000
      a=rtpmap:97 MPEG4/90000
      a=rtpmap:98 H264/90000
      a=rtpmap:100 H265/90000
      a=recvonly
      a=setup:passive
      a=connection:new
      y=0100000001
      f=v/2/6/25/1/4096a/1/8/1`,
    parts: {
      originUser: GATEWAY,
      address: '192.0.2.20',
      port: 30000,
      transport: 'tcp-passive',
      ssrc: 100000001,
      sessionName: 'Play',
      payloads: [PS_PAYLOAD, { payloadType: 97, encoding: 'MPEG4', clockRate: 90000 }, { payloadType: 98, encoding: 'H264', clockRate: 90000 }, { payloadType: 100, encoding: 'H265', clockRate: 90000 }],
      f: parseFLine('v/2/6/25/1/4096a/1/8/1'),
    },
  },
  {
    name: 'download, we connect, IPv6',
    text: `v=0
      o=${GATEWAY} 0 0 IN IP6 2001:db8::20
      s=Download
      u=${CHANNEL}:0
      c=IN IP6 2001:db8::20
      t=1773100800 1773102600
      m=video 30006 TCP/RTP/AVP 96
      a=rtpmap:96 PS/90000
      a=recvonly
      a=setup:active
      a=connection:new
      a=downloadspeed:4
      a=streamnumber:1
      y=1100000004`,
    parts: {
      originUser: GATEWAY,
      address: '2001:db8::20',
      port: 30006,
      transport: 'tcp-active',
      ssrc: 1100000004,
      sessionName: 'Download',
      uri: `${CHANNEL}:0`,
      time: { startS: 1773100800, stopS: 1773102600 },
      downloadSpeed: 4,
      streamNumber: 1,
    },
  },
];

await t.test('offers, written and read', async t => {
  for (const { name, text, parts } of OFFERS) {
    t.equal(toByteString(buildOffer(parts)), crlf(text), name);
    const read = must(text);
    t.match(read, { originUser: parts.originUser, sessionName: parts.sessionName, connectionAddress: parts.address, ssrc: parts.ssrc, ssrcText: formatSsrc(parts.ssrc) }, name);
    t.same(read.media.payloadTypes, (parts.payloads ?? [PS_PAYLOAD]).map(payload => payload.payloadType));
    t.same(read.time, parts.time ?? { startS: 0, stopS: 0 });
    t.equal(read.media.downloadSpeed, parts.downloadSpeed);
    t.equal(read.media.streamNumber, parts.streamNumber);
    t.same(read.f, parts.f);
  }
});

await t.test('asking again for lost packets is agreed only where both lines stand, and never over TCP', async t => {
  const parts: OfferParts = { originUser: GATEWAY, address: '192.0.2.20', port: 30000, transport: 'udp', ssrc: 100000001, sessionName: 'Play', nack: true };
  const text = toByteString(buildOffer(parts));
  t.match(text, /a=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtcp-fb:\* nack\r\ny=/);
  const offer = must(text);
  t.equal(offer.media.nack, true);
  const answer = toByteString(buildAnswer(offer, { originUser: CHANNEL, address: '192.0.2.71', port: 15060, transport: 'udp', ssrc: 1, payload: PS_PAYLOAD, nack: true }));
  t.equal(must(answer).media.nack, true);
  t.equal(must(text.replace('a=rtcp-mux\r\n', '')).media.nack, false);
  t.equal(must(text.replace('* nack', '96 nack')).media.nack, true);
  t.equal(must(text.replace('* nack', '96 nack pli')).media.nack, false);
  t.equal(must(LIVE).media.nack, false);
  t.notMatch(toByteString(buildOffer({ ...parts, transport: 'tcp-passive' })), 'nack');
});

await t.test('reading is liberal where cameras are', async t => {
  const lfOnly = must(LIVE);
  t.same(parseGbSdp(fromByteString(LIVE.replaceAll(/\n\s*/g, '\n'))), { ok: true, value: lfOnly }, 'line feed only, no last line end');
  t.equal(must(replaced('s=Play', 's=PLAY')).sessionName, 'Play');
  t.equal(must(replaced('s=Play', 's=Embedded')).sessionName, 'Embedded');
  t.equal(must(live(lines => [...lines.slice(0, 5), 'y=0100000001', 'f=v/2/6/25/1/4096a/1/8/1', 'z=?', ...lines.slice(5, 8)])).ssrc, 100000001, 'y= and f= in the session part, unknown letters');
  t.equal(must(live(lines => [...lines, 'c=IN IP4 192.0.2.99/127'])).connectionAddress, '192.0.2.99', 'c= of the media wins');
  t.equal(must(live(lines => lines.filter(line => !line.includes('c=')))).connectionAddress, '192.0.2.20', 'o= when there is no c=');
  t.equal(must(live(lines => [...lines, 'a=setup:passive', 'a=setup:active'])).media.setup, 'passive', 'the first setup counts');
  t.equal(must(live(lines => [...lines, 'a=streamMode:sub'])).media.streamNumber, 1, 'vendor spelling');
  t.equal(must(live(lines => [...lines, 'a=filesize:471859200'])).media.fileSize, 471859200);
  t.equal(must(replaced('m=video 30000 RTP/AVP', 'm=video  30000  rtp/avp')).media.protocol, 'RTP/AVP');
});

await t.test('several media: the first usable video, the rest is rejected in the answer', async t => {
  const offer = must(live(lines => [...lines.slice(0, 5), 'm=audio 30004 RTP/AVP 8', 'm=video 0 RTP/AVP 96', ...lines.slice(5), 'm=application 9 UDP/BFCP *']));
  t.equal(offer.mediaIndex, 2);
  t.equal(offer.media.port, 30000);
  const answer = toByteString(buildAnswer(offer, { originUser: CHANNEL, address: '192.0.2.71', port: 15060, transport: 'udp', ssrc: 7, payload: PS_PAYLOAD }));
  t.same(answer.match(/m=.*/g), ['m=audio 0 RTP/AVP 8', 'm=video 0 RTP/AVP 96', 'm=video 15060 RTP/AVP 96', 'm=application 0 UDP/BFCP *']);
  t.ok(answer.endsWith('y=0000000007\r\n'));
  t.equal(must(replaced('m=video 30000 RTP/AVP 96', 'm=audio 30000 RTP/AVP 8')).media.kind, 'audio', 'audio when there is no video');
});

await t.test('answers mirror the offer, y= and f= last', async t => {
  const roles: readonly { readonly setup: string; readonly ours: MediaTransport; readonly lines: readonly string[] }[] = [
    { setup: 'a=setup:passive', ours: 'tcp-active', lines: ['a=setup:active', 'a=connection:new'] },
    { setup: 'a=setup:active', ours: 'tcp-passive', lines: ['a=setup:passive', 'a=connection:new'] },
    { setup: '', ours: 'tcp-active', lines: ['a=setup:active', 'a=connection:new'] },
    { setup: 'a=setup:actpass', ours: 'tcp-active', lines: ['a=setup:active', 'a=connection:new'] },
  ];
  for (const { setup, ours, lines } of roles) {
    const offer = must(`${replaced('RTP/AVP', 'TCP/RTP/AVP')}\n${setup}`);
    t.equal(answerTransport(offer.media), ours, setup);
    const answer = buildAnswer(offer, { originUser: CHANNEL, address: '192.0.2.71', port: 15060, transport: ours, ssrc: 100000001, payload: PS_PAYLOAD, f: parseFLine('v/2/6/25/1/4096a/1/8/1') });
    t.equal(toByteString(answer), crlf([`v=0\no=${CHANNEL} 0 0 IN IP4 192.0.2.71\ns=Play\nc=IN IP4 192.0.2.71\nt=0 0\nm=video 15060 TCP/RTP/AVP 96\na=rtpmap:96 PS/90000\na=sendonly`, ...lines, 'y=0100000001', 'f=v/2/6/25/1/4096a/1/8/1'].join('\n')));
  }
  t.equal(answerTransport(must(LIVE).media), 'udp');
});

await t.test('refused offers carry their status (faults 30-37)', async t => {
  const cases: readonly (readonly [string, string, number])[] = [
    ['empty body', '', 400],
    ['no version', 's=Play', 400],
    ['a line that is none', replaced('t=0 0', 'nonsense'), 400],
    ['no media', live(lines => lines.slice(0, 5)), 488],
    ['rejected media', replaced('30000', '0'), 488],
    ['port 65536', replaced('30000', '65536'), 488],
    ['port -1', replaced('30000', '-1'), 488],
    ['payload type over 32 bits', replaced('AVP 96', 'AVP 4294967296'), 488],
    ['payload type 128', replaced('AVP 96', 'AVP 128'), 488],
    ['no payload type', replaced('AVP 96', 'AVP'), 488],
    ['unknown protocol', replaced('RTP/AVP', 'RTP/SAVP'), 488],
    ['t= reversed', replaced('s=Play', 's=Playback').replace('t=0 0', 't=1773102600 1773100800'), 400],
    ['t= in 1969', replaced('s=Play', 's=Playback').replace('t=0 0', 't=-3600 0'), 400],
    ['t= in 2106', replaced('s=Play', 's=Download').replace('t=0 0', 't=1773100800 4294967295'), 400],
    ['history without t=', replaced('s=Play', 's=playback').replace('t=0 0', 'b=AS:1'), 400],
    ['1000 m-lines', `${LIVE}\n${'m=video 2 RTP/AVP 96\n'.repeat(300)}`, 488],
    ['10000 attributes', `${LIVE}\n${'a=x\n'.repeat(10_000)}`, 413],
    ['600 short attributes', `${LIVE}\n${'a=x\n'.repeat(600)}`, 488],
    ['one endless line', `${LIVE}\na=${'x'.repeat(2000)}`, 488],
  ];
  for (const [name, text, status] of cases) t.equal(statusOf(parse(text)), status, name);
  t.equal(statusOf(parseGbSdp(fromByteString('v=0\r\ns=\0'))), 400, 'NUL');
  t.same(must(replaced('t=0 0', 't=now then')).time, { startS: 0, stopS: 0 }, 'a live offer has no time to be wrong');
});

await t.test('y= is a number of 1 to 10 digits, or nothing (fault 33)', async t => {
  const texts: readonly (readonly [string | undefined, number | undefined])[] = [
    ['0100000001', 100000001],
    ['100000001', 100000001],
    ['7', 7],
    ['4294967295', 4294967295],
    ['4294967296', undefined],
    ['01000000011', undefined],
    ['null', undefined],
    ['', undefined],
    ['-1', undefined],
    ['1e3', undefined],
    [undefined, undefined],
  ];
  for (const [text, ssrc] of texts) t.equal(readSsrc(text), ssrc, String(text));
  t.equal(must(replaced('y=0100000001', 'y=null')).ssrcText, 'null');
  t.equal(must(live(lines => lines.slice(0, 8))).ssrc, undefined);
});

await t.test('f= both ways, garbage is none (fault 34)', async t => {
  for (const text of ['v/2/6/25/1/4096a/1/8/1', 'v/2/6/25/1/2048a///', 'v/////a/1/8/1', 'v/5/2560x1440/25/2/8000a/6/13/11', 'v/////a///']) t.equal(formatFLine(parseFLine(text)!), text);
  for (const text of ['', 'v', 'garbage', 'v/2/6/25/1/4096', `v/${'9'.repeat(500)}`, 'v/2/6/25/1/4096a/1/8/1/1', 'v/<x>/////a///']) t.equal(parseFLine(text), undefined, text.slice(0, 20));
  t.equal(must(`${LIVE}\nf=(null)`).f, undefined);
});

await t.test('payload: PS under any number, 96 without rtpmap, nothing else guessed (6.3, fault 34)', async t => {
  const chosen = (text: string, wanted?: readonly string[]): unknown => {
    const payload = choosePayload(must(text).media, wanted);
    return payload.ok ? payload.value.payloadType : payload.error.status;
  };
  t.equal(chosen(LIVE), 96);
  t.equal(chosen(live(lines => lines.filter(line => !line.includes('rtpmap')))), 96);
  t.equal(chosen(replaced('AVP 96', 'AVP 98 108').replace('96 PS', '108 ps')), 108);
  t.equal(chosen(replaced('AVP 96', 'AVP 97').replace('rtpmap:96', 'rtpmap:98')), 488, 'dynamic without rtpmap');
  t.equal(chosen(replaced('96 PS', '96 H264')), 488);
  t.equal(chosen(replaced('96 PS', '96 H264'), ['PS', 'H264']), 96);
  t.equal(chosen(replaced('video 30000 RTP/AVP 96', 'audio 30000 RTP/AVP 8'), ['PCMA']), 8);
});

await t.test('the camera answers (faults 33, 35; quirks 38, 39)', async t => {
  const offer = { transport: 'tcp-passive', ssrc: 100000001, payloads: [PS_PAYLOAD] } as const;
  const answer = (...lines: string[]): GbSdp => must(`${replaced('RTP/AVP', 'TCP/RTP/AVP').split('\n').slice(0, 6).join('\n')}\n${lines.join('\n')}`);
  const read = (sdp: GbSdp, transport: MediaTransport = 'tcp-passive'): unknown => {
    const agreed = readAnswer({ ...offer, transport }, sdp);
    return agreed.ok ? [agreed.value.address, agreed.value.port, agreed.value.ssrc, agreed.value.payload.encoding] : agreed.error.status;
  };
  t.same(read(answer('a=setup:active', 'y=0100000001')), ['192.0.2.20', 30000, 100000001, 'PS']);
  t.same(read(answer('a=setup:active', 'y=200000002')), ['192.0.2.20', 30000, 200000002, 'PS'], 'its own SSRC');
  t.same(read(answer()), ['192.0.2.20', 30000, 100000001, 'PS'], 'neither setup nor y=');
  t.equal(read(answer('a=setup:passive')), 488, 'both passive');
  t.equal(read(answer('a=setup:active'), 'tcp-active'), 488, 'both active');
  t.equal(read(answer('a=setup:active'), 'udp'), 488, 'TCP to an offer over UDP');
  t.equal(read(must(LIVE)), 488, 'UDP to an offer over TCP');
  t.equal(read({ ...answer(), media: { ...answer().media, payloadTypes: [99] } }), 488, 'a payload type that nobody explained');
});

await t.test('media goes only where the peer may point us (faults 28-30)', async t => {
  const rule: MediaTargetRule = { allowed: ['192.0.2.0/24', '203.0.113.9', '2001:db8::/64'], own: ['192.0.2.10', '192.0.2.11'], transport: 'udp' };
  const verdict = (address: string, port: number | null = 30000, change: Partial<MediaTargetRule> = {}): string | null => checkMediaTarget(address, port, { ...rule, ...change });
  for (const address of ['192.0.2.20', '203.0.113.9', '2001:db8::7', '::ffff:192.0.2.20']) t.equal(verdict(address), null, address);
  const refused: readonly string[] = ['198.51.100.1', '0.0.0.0', '::', '127.0.0.1', '::1', '224.0.0.1', 'ff02::1', '255.255.255.255', '169.254.1.1', 'fe80::1', '192.0.2.10', '::ffff:192.0.2.11', 'localhost', '192.0.2.020', '', '0x7f000001'];
  for (const address of refused) t.type(verdict(address), 'string', address);
  for (const address of ['127.0.0.1', '224.0.0.1', '0.0.0.0']) t.type(verdict(address, 30000, { allowed: ['0.0.0.0/0', '::/0'] }), 'string', `${address} although everything is allowed`);
  t.equal(verdict('127.0.0.1', 30000, { allowed: ['127.0.0.1'], own: ['127.0.0.1'] }), null, 'a peer that is itself at loopback');
  t.equal(verdict('::ffff:127.0.0.2', 30000, { allowed: ['127.0.0.0/8'] }), null);
  t.type(verdict('127.0.0.2', 30000, { allowed: ['127.0.0.1'] }), 'string');
  t.equal(verdict('192.0.2.10', 30000, { allowed: ['192.0.2.10'] }), null, 'a peer on our own host, named by its address');
  for (const port of [0, 1, 1023, 65536, -1, 30001, 30000.5, NaN]) t.type(verdict('192.0.2.20', port), 'string', String(port));
  t.equal(verdict('192.0.2.20', 30001, { transport: 'tcp' }), null, 'TCP has no RTCP beside it');
  t.equal(verdict('192.0.2.20', null), null, 'it connects to us');
});

await t.test('any bytes and any soup of lines: an answer, in time', async () => {
  const line = fc.constantFrom(...LIVE.split('\n').map(each => each.trim()), 'm=audio 2 RTP/AVP 8', 'a=setup:active', 's=Playback', 't=9 1', 'y=null', 'f=', 'c=IN', 'o=', 'm=', '\0', '=');
  fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), bytes => typeof parseGbSdp(bytes).ok === 'boolean'));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 40 }), lines => {
      const parsed = parseGbSdp(fromByteString(['v=0', ...lines].join('\r\n')));
      if (!parsed.ok) return [400, 413, 488].includes(parsed.error.status);
      const answer = buildAnswer(parsed.value, { originUser: CHANNEL, address: '192.0.2.71', port: 15060, transport: answerTransport(parsed.value.media), ssrc: 1, payload: PS_PAYLOAD });
      return parseGbSdp(answer).ok;
    }),
  );
});
