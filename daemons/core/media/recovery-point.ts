/** Recovery point SEI (ITU-T H.264 D.1.8, H.265 D.2.8): where decoding can begin in a stream that refreshes without IDR pictures. */
import { BitReader, rbspOf } from './bit-reader.ts';
import { type VideoCodec, isVcl, nalType, nalUnits } from './h26x.ts';

const RECOVERY_POINT = 6;
const MAX_SEI_BYTES = 1024;
const MAX_SEI_MESSAGES = 32;
/** SEI stands before the first slice. */
const NAL_UNITS_LOOKED_AT = 16;

/** Pictures from this one on until all of them are right; undefined when it is no recovery point. */
export function recoveryPictures(codec: VideoCodec, accessUnit: Uint8Array): number | undefined {
  for (const { at, end } of nalUnits(accessUnit, NAL_UNITS_LOOKED_AT)) {
    const type = nalType(codec, accessUnit[at]!);
    if (isVcl(codec, type)) return undefined;
    if (type !== (codec === 'h264' ? 6 : 39)) continue;
    const found = inSei(codec, rbspOf(accessUnit.subarray(at, end), codec === 'h264' ? 1 : 2, MAX_SEI_BYTES));
    if (found !== undefined) return found;
  }
  return undefined;
}

function inSei(codec: VideoCodec, rbsp: Uint8Array): number | undefined {
  let at = 0;
  for (let message = 0; message < MAX_SEI_MESSAGES && at + 2 < rbsp.length; message += 1) {
    const type = ffCoded(rbsp, at);
    const size = ffCoded(rbsp, type.next);
    at = size.next;
    if (type.value === RECOVERY_POINT && at + size.value <= rbsp.length) {
      const reader = new BitReader(rbsp.subarray(at, at + size.value));
      const pictures = codec === 'h264' ? reader.ue() : Math.max(0, reader.se());
      return reader.overrun ? undefined : pictures;
    }
    at += size.value;
  }
  return undefined;
}

/** last_payload_type_byte and its ff_bytes (7.3.2.3.1). */
function ffCoded(rbsp: Uint8Array, from: number): { readonly value: number; readonly next: number } {
  let at = from;
  while (rbsp[at] === 0xff) at += 1;
  return { value: (at - from) * 255 + (rbsp[at] ?? 0), next: at + 1 };
}
