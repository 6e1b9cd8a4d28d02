/** What a WebRTC viewer sends: STUN checks, feedback, the offer. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { parseFeedback } from '#core/webrtc/feedback.ts';
import { localFragmentOf } from '#core/webrtc/ice-lite.ts';
import { parseWhepOffer, pickAudio, pickH264 } from '#core/webrtc/offer.ts';
import { bindingRequest, integrityFits, parseBindingRequest } from '#core/webrtc/stun.ts';

const mac = (bytes: Uint8Array): Uint8Array => new Uint8Array(20).fill(bytes.length);
const fingerprint = Array.from({ length: 32 }, () => 'AB').join(':');
const offer = [
  'v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0 1', `a=fingerprint:sha-256 ${fingerprint}`, 'm=video 9 UDP/TLS/RTP/SAVPF 96 97', 'a=mid:0', 'a=recvonly', 'a=rtcp-mux', 'a=ice-ufrag:abcd',
  'a=setup:actpass', 'a=rtpmap:96 H264/90000', 'a=fmtp:96 packetization-mode=1;profile-level-id=42e01f', 'm=audio 9 UDP/TLS/RTP/SAVPF 8', 'a=mid:1', 'a=rtcp-mux', 'a=rtpmap:8 PCMA/8000', '',
].join('\r\n');

const seeds: Uint8Array[] = [
  bindingRequest(new Uint8Array(12).fill(3), 'abcd:efgh', true, mac),
  Uint8Array.of(0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 7, 0xff, 0xff, 0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2),
  fromByteString(offer),
];

export default {
  name: 'webrtc',
  seeds,
  run(input: Uint8Array): void {
    const check = parseBindingRequest(input);
    if (check.ok) integrityFits(input, check.value.integrityAt, mac);
    localFragmentOf(input);
    parseFeedback(input);
    const parsed = parseWhepOffer(toByteString(input));
    if (!parsed.ok) return;
    for (const media of parsed.value.media) {
      pickH264(media, 0x42);
      pickAudio(media, 'g711a');
    }
  },
};
