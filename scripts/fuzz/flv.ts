/** Tag bodies of a publisher: the first octet says whether picture or sound, and where the input is parted into several; and names of HLS files. */
import { concatBytes, toByteString } from '#core/bytes.ts';
import { FlvTagDemuxer } from '#core/flv/demux.ts';
import { AUDIO_TAG, FlvPackager, VIDEO_TAG } from '#core/flv/tags.ts';
import { parseHlsFile } from '#core/hls/playlist.ts';
import { decoderConfig, parseDecoderConfig } from '#core/media/decoder-config.ts';
import { splitLengthPrefixed } from '#core/media/length-prefixed.ts';
import { Mp4Fragmenter } from '#core/mp4/fragment.ts';

const AVC_HEADER = Uint8Array.of(0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x0d, 0xff, 0xe1, 0, 8, 0x67, 0x64, 0, 0x0d, 0xac, 0xd9, 0x41, 0x41, 1, 0, 4, 0x68, 0xeb, 0xe3, 0xcb);
const HEVC_SETS = [Uint8Array.of(0x40, 1, 0x0c, 1, 0xff), Uint8Array.of(0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0x90, 0, 0, 3, 0, 0, 3, 0, 0x5a, 0xa0, 6, 2, 0, 0x90, 0x59, 0x6e, 0x92), Uint8Array.of(0x44, 1, 0xc0)];
const hevcHeader = concatBytes(Uint8Array.of(0x90, 0x68, 0x76, 0x63, 0x31), decoderConfig('h265', HEVC_SETS)!.record);
/** Parts of the input end at this octet. */
const PART = 0xee;

export default {
  name: 'flv',
  seeds: [
    concatBytes(Uint8Array.of(1), AVC_HEADER, Uint8Array.of(PART, 0x17, 1, 0, 0, 40, 0, 0, 0, 2, 0x65, 0x88, PART, 0x27, 1, 0, 0, 0, 0, 0, 0, 2, 0x41, 0xe0)),
    concatBytes(Uint8Array.of(1), hevcHeader, Uint8Array.of(PART, 0x93, 0x68, 0x76, 0x63, 0x31, 0, 0, 0, 3, 0x26, 1, 0xaf, PART, 0xa1, 0x68, 0x76, 0x63, 0x31, 0, 0, 1, 0, 0, 0, 3, 2, 1, 0xd0)),
    Uint8Array.of(0, 0xaf, 0, 0x14, 8, PART, 0xaf, 1, 1, 2, 3, PART, 0x72, 0xd5),
    Uint8Array.from('segment-12.m4s', text => text.charCodeAt(0)),
  ],
  run(input: Uint8Array): void {
    const type = (input[0] ?? 0) % 2 === 0 ? AUDIO_TAG : VIDEO_TAG;
    const demuxer = new FlvTagDemuxer();
    const packager = new FlvPackager((input[0] ?? 0) % 3 === 0 ? 'legacy' : 'enhanced');
    const fragmenter = new Mp4Fragmenter({ keepG711: true });
    for (let at = 1, count = 0; at <= input.length && count < 64; count++) {
      const end = input.indexOf(PART, at);
      const { tracks, units } = demuxer.push(type, count * 40, input.subarray(at, end < 0 ? input.length : end));
      if (tracks !== undefined) {
        packager.tracks(tracks);
        fragmenter.tracks(tracks);
      }
      for (const unit of units) {
        packager.unit(unit);
        fragmenter.unit(unit);
      }
      at = end < 0 ? input.length + 1 : end + 1;
    }
    for (const codec of ['h264', 'h265'] as const) {
      const parsed = parseDecoderConfig(codec, input);
      if (parsed.ok) decoderConfig(codec, parsed.value.parameterSets);
    }
    splitLengthPrefixed(input, 1 + ((input[0] ?? 0) % 4));
    parseHlsFile(toByteString(input));
  },
};
