/** SDP as cameras and platforms send it; what is accepted must be answerable, and the answer readable. */
import { fromByteString } from '#core/bytes.ts';
import { buildAnswer, buildOffer } from '#core/sdp/build.ts';
import { parseFLine } from '#core/sdp/f-line.ts';
import { parseGbSdp } from '#core/sdp/gb-sdp.ts';
import { checkMediaTarget } from '#core/sdp/media-target.ts';
import { PS_PAYLOAD, answerTransport, choosePayload, readAnswer } from '#core/sdp/negotiate.ts';

const ID = '33010000001320000701';
const RULE = { allowed: ['192.0.2.0/24'], own: ['192.0.2.10'], transport: 'udp' } as const;

const seeds: Uint8Array[] = [
  buildOffer({ originUser: ID, address: '192.0.2.20', port: 30000, transport: 'udp', ssrc: 100000001, sessionName: 'Play' }),
  buildOffer({ originUser: ID, address: '2001:db8::1', port: 30000, transport: 'tcp-passive', ssrc: 1100000002, sessionName: 'Playback', uri: `${ID}:0`, time: { startS: 1773100800, stopS: 1773102600 }, f: parseFLine('v/2/6/25/1/4096a/1/8/1') }),
  fromByteString('v=0\no=- 0 0 IN IP4 192.0.2.71\ns=Download\nc=IN IP4 192.0.2.71\nt=1773100800 1773102600\nm=audio 2 RTP/AVP 8\nm=video 15060 TCP/RTP/AVP 96 98\na=rtpmap:96 PS/90000\na=setup:active\na=filesize:471859200\na=streamMode:sub\ny=null\nf=v/2/6/25/1/2048a///'),
];

export default {
  name: 'sdp',
  seeds,
  run(input: Uint8Array): void {
    const parsed = parseGbSdp(input);
    if (!parsed.ok) return;
    const { media, connectionAddress } = parsed.value;
    choosePayload(media);
    checkMediaTarget(connectionAddress, media.port, RULE);
    readAnswer({ transport: 'udp', ssrc: 1, payloads: [PS_PAYLOAD] }, parsed.value);
    const answer = buildAnswer(parsed.value, { originUser: ID, address: '192.0.2.10', port: 30002, transport: answerTransport(media), ssrc: parsed.value.ssrc ?? 1, payload: PS_PAYLOAD, f: parsed.value.f });
    if (!parseGbSdp(answer).ok && answer.length < 16_000) throw new Error('our own answer cannot be read');
  },
};
