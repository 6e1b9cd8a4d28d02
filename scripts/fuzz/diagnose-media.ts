/** Captured media of anybody, judged: as datagrams, as a stream, as the program stream inside. */
import { concatBytes } from '#core/bytes.ts';
import { newPsFacts, walkPs } from '#core/diagnose/ps-walk.ts';
import { walkTcp } from '#core/diagnose/tcp-walk.ts';
import { validateMedia } from '#core/diagnose/validate-media.ts';
import { packHeader, pesHeader, systemHeader } from '#core/ps/mux.ts';
import { writePsm } from '#core/ps/psm.ts';
import { writeRtpHeader } from '#core/rtp/packet.ts';

const SSRC = 200_000_001;
const PIECE = 97;
const NAL = Uint8Array.of(0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x65, 4, 5);
const picture = concatBytes(packHeader(3600), systemHeader(true), writePsm([{ streamType: 0x1b, streamId: 0xe0 }, { streamType: 0x90, streamId: 0xc0 }]), pesHeader(0xe0, NAL.length, 3600), NAL, pesHeader(0xc0, 4, 3600), Uint8Array.of(1, 2, 3, 4));
const packet = new Uint8Array(12 + picture.length);
writeRtpHeader(packet, 0, true, 96, 1, 3600, SSRC);
packet.set(picture, 12);
const frame = concatBytes(Uint8Array.of(packet.length >> 8, packet.length & 0xff), packet);

export default {
  name: 'diagnose-media',
  seeds: [picture, packet, concatBytes(frame, frame), concatBytes(Uint8Array.of(0x24, 0), frame)],
  run(input: Uint8Array): void {
    const agreed = { ssrc: SSRC, payloadType: 96, place: '192.0.2.71:15060', format: 'ps' };
    const from = (packets: readonly Uint8Array[]): { bytes: Uint8Array; address: string; port: number }[] => packets.map(bytes => ({ bytes, address: '192.0.2.71', port: 15_060 }));
    walkPs(input, newPsFacts());
    validateMedia(from([packet, input, packet]), agreed, 'x');
    const pieces = Array.from({ length: Math.ceil(input.length / PIECE) }, (_, i) => input.subarray(i * PIECE, (i + 1) * PIECE));
    const { facts, packets, leadBytes } = walkTcp(pieces, SSRC, 96, input.length % 2 === 0);
    if (leadBytes > input.length || facts.strayBytes > input.length) throw new Error('more octets than there are');
    validateMedia(from(packets), agreed, 'x', facts);
  },
};
