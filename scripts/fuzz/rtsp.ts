/** RTSP over a stream: cut anywhere, the same items come out. The first octet of the input says how it is cut. */
import { concatBytes, fromByteString, sameBytes } from '#core/bytes.ts';
import { headerOf, serialize } from '#core/rtsp/message.ts';
import { type RtspItem, RtspReader } from '#core/rtsp/reader.ts';
import { parseTransports, formatTransport } from '#core/rtsp/transport.ts';
import { parseRtspUrl, splitTrack } from '#core/rtsp/url.ts';

function read(stream: Uint8Array, segment: number): { readonly items: Uint8Array[]; readonly error: string } {
  const reader = new RtspReader();
  const items: Uint8Array[] = [];
  for (let at = 0; at < stream.length; at += segment) for (const item of reader.push(stream.slice(at, at + segment))) items.push(written(item));
  return { items, error: reader.error?.why ?? '' };
}

const written = (item: RtspItem): Uint8Array => (item.kind === 'frame' ? concatBytes(Uint8Array.of(0x24, item.channel, item.payload.length >> 8, item.payload.length), item.payload) : serialize(item));

const seed = (octet: number, text: string, ...more: readonly Uint8Array[]): Uint8Array => concatBytes(Uint8Array.of(octet), fromByteString(text.replaceAll('\n', '\r\n')), ...more);

export const rtspSeeds: readonly Uint8Array[] = [
  seed(7, 'OPTIONS rtsp://127.0.0.1:8554/live/34020000001320000001 RTSP/1.0\nCSeq: 1\nUser-Agent: Lavf\n\nDESCRIBE rtsp://127.0.0.1/live/34020000001320000001?token=1.a RTSP/1.0\nCSeq: 2\nAccept: application/sdp\n\n'),
  seed(40, 'SETUP rtsp://[::1]:8554/live/34020000001320000001/trackID=0 RTSP/1.0\nCSeq: 3\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1,RTP/AVP;unicast;client_port=5000-5001;mode="PLAY"\n\n', Uint8Array.of(0x24, 1, 0, 4, 0x80, 201, 0, 1), fromByteString('PLAY * RTSP/1.0\nCSeq:4\nRange: npt=0.000-\n\n')),
  seed(1, 'RTSP/1.0 401 Unauthorized\nCSeq: 2\nWWW-Authenticate: Digest realm="x",\n nonce="y"\n\nRTSP/1.0 200 OK\nCSeq: 3\nContent-Length: 5\n\nv=0\n\n'),
];

export default {
  name: 'rtsp',
  seeds: rtspSeeds,
  run(input: Uint8Array): void {
    const stream = input.subarray(1);
    const whole = read(stream, Math.max(stream.length, 1));
    const cut = read(stream, 1 + (input[0] ?? 0));
    if (whole.error !== cut.error) throw new Error(`a cut changed the error: ${whole.error} / ${cut.error}`);
    if (whole.items.length !== cut.items.length || whole.items.some((bytes, i) => !sameBytes(bytes, cut.items[i]!))) throw new Error('a cut changed the items');
    for (const item of new RtspReader().push(stream.slice())) {
      if (item.kind === 'frame') continue;
      const transports = parseTransports(headerOf(item, 'transport') ?? '');
      if (transports.ok) for (const spec of transports.value) parseTransports(formatTransport(spec));
      if (item.kind !== 'request') continue;
      const url = parseRtspUrl(item.uri);
      if (url.ok) splitTrack(url.value.path);
    }
  },
};
