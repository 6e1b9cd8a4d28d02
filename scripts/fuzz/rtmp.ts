/** RTMP behind its handshake, to both ends of it; the first octet says how the input is cut. A second reading takes it as AMF0 and as an address. */
import { concatBytes, toByteString } from '#core/bytes.ts';
import { type AmfValue, EcmaArray, parseAmf0, writeAmf0 } from '#core/rtmp/amf0.ts';
import { ChunkWriter } from '#core/rtmp/chunk-writer.ts';
import { RtmpClientSession } from '#core/rtmp/client-session.ts';
import { HANDSHAKE_RANDOM_BYTES } from '#core/rtmp/handshake.ts';
import { type RtmpMessage, command, setChunkSize, userControl } from '#core/rtmp/messages.ts';
import { RtmpServerSession } from '#core/rtmp/server-session.ts';
import { parseRtmpUrl } from '#core/rtmp/url.ts';
import { ms } from '#core/units.ts';

const RANDOM = new Uint8Array(HANDSHAKE_RANDOM_BYTES);
const HANDSHAKE = concatBytes(Uint8Array.of(3), new Uint8Array(2 * 1536));
const TARGET = { app: 'live', stream: 'a?token=t', tcUrl: 'rtmp://127.0.0.1/live' };
const connect = command(0, 'connect', 1, new Map<string, AmfValue>([['app', 'live'], ['fourCcList', ['hvc1', '*']]]));
const chunks = (...messages: readonly RtmpMessage[]): Uint8Array => {
  const writer = new ChunkWriter();
  return concatBytes(...messages.flatMap(message => writer.write(message)));
};
const media = (type: number, timestampMs: number, ...octets: readonly number[]): RtmpMessage => ({ type, streamId: 1, timestampMs, body: Uint8Array.from(octets) });
const metadata = writeAmf0('@setDataFrame', 'onMetaData', new EcmaArray([['width', 768], ['encoder', 'x']]));

export default {
  name: 'rtmp',
  seeds: [
    concatBytes(Uint8Array.of(7), chunks(connect, command(0, 'createStream', 2, null), command(1, 'play', 0, null, 'a?token=t'))),
    concatBytes(Uint8Array.of(255), chunks(connect, command(1, 'publish', 0, null, 'a', 'live'), { type: 18, streamId: 1, timestampMs: 0, body: metadata }, media(9, 0xffffff, 0x17, 1, 0, 0, 0, 1), setChunkSize(1), userControl(6, 1))),
    concatBytes(Uint8Array.of(40), chunks(command(0, '_result', 1, null, null), command(0, '_result', 4, null, 1), command(1, 'onStatus', 0, null, new Map([['code', 'NetStream.Publish.Start']])), media(8, 1, 0xaf, 1))),
    metadata,
    Uint8Array.from('rtmp://[::1]:1935/live/a?b=c', text => text.charCodeAt(0)),
  ],
  run(input: Uint8Array): void {
    const cut = 1 + (input[0] ?? 0);
    const server = new RtmpServerSession(RANDOM, ms(0));
    const client = new RtmpClientSession((input[0] ?? 0) % 2 === 0 ? 'publish' : 'play', TARGET, RANDOM, ms(0));
    server.push(HANDSHAKE, ms(0));
    client.push(HANDSHAKE, ms(0));
    for (let at = 1; at < input.length; at += cut) {
      const piece = input.subarray(at, at + cut);
      for (const event of server.push(piece, ms(at))) if (event.type === 'play' || event.type === 'publish') server.grant(ms(at));
      client.push(piece, ms(at));
      server.drain();
      client.drain();
    }
    parseAmf0(input);
    parseRtmpUrl(toByteString(input));
  },
};
