/** Audio frames inside PES: AAC in ADTS (ISO/IEC 13818-7 6.2) and G.711 (ITU-T G.711). */
import { type Result, fail, ok } from '../result.ts';

export type AudioCodec = 'aac' | 'g711a' | 'g711u' | 'g722.1' | 'g723.1' | 'g729' | 'svac-audio';

export const ADTS_HEADER_BYTES = 7;
/** Samples of one AAC frame (raw_data_block of AAC LC). */
export const AAC_SAMPLES_PER_FRAME = 1024;

const SAMPLE_RATES_HZ: readonly number[] = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

export interface AdtsHeader {
  /** MPEG-4 audio object type minus one: 1 is AAC LC. */
  readonly profile: number;
  readonly sampleRateHz: number;
  /** 0: given inside the stream. */
  readonly channels: number;
  /** 7, or 9 with CRC. */
  readonly headerBytes: number;
  /** Header and payload. */
  readonly frameBytes: number;
  readonly samples: number;
}

/** Reads the ADTS header at `at`; the payload need not be there. */
export function parseAdts(bytes: Uint8Array, at = 0): Result<AdtsHeader> {
  if (bytes.length - at < ADTS_HEADER_BYTES) return fail(at, 'shorter than an ADTS header');
  if (bytes[at] !== 0xff || (bytes[at + 1]! & 0xf6) !== 0xf0) return fail(at, 'no ADTS syncword');
  const sampleRateHz = SAMPLE_RATES_HZ[(bytes[at + 2]! >> 2) & 0x0f];
  if (sampleRateHz === undefined) return fail(at + 2, 'reserved sampling_frequency_index');
  const headerBytes = (bytes[at + 1]! & 1) === 1 ? ADTS_HEADER_BYTES : ADTS_HEADER_BYTES + 2;
  const frameBytes = ((bytes[at + 3]! & 3) << 11) | (bytes[at + 4]! << 3) | (bytes[at + 5]! >> 5);
  if (frameBytes < headerBytes) return fail(at + 3, 'aac_frame_length shorter than its header');
  const channels = ((bytes[at + 2]! & 1) << 2) | (bytes[at + 3]! >> 6);
  const blocks = (bytes[at + 6]! & 3) + 1;
  return ok({ profile: bytes[at + 2]! >> 6, sampleRateHz, channels, headerBytes, frameBytes, samples: blocks * AAC_SAMPLES_PER_FRAME });
}

/** Cuts a byte stream into whole ADTS frames, skipping what is not one; an unfinished frame at the end is left out. */
export function splitAdts(bytes: Uint8Array): { readonly frames: readonly Uint8Array[]; readonly skippedBytes: number } {
  const frames: Uint8Array[] = [];
  let skippedBytes = 0;
  let at = 0;
  while (at < bytes.length) {
    const header = parseAdts(bytes, at);
    if (header.ok && at + header.value.frameBytes <= bytes.length) {
      frames.push(bytes.subarray(at, at + header.value.frameBytes));
      at += header.value.frameBytes;
    } else {
      skippedBytes += 1;
      at += 1;
    }
  }
  return { frames, skippedBytes };
}

/** AAC although the PSM says G.711, or none at all (quirks 47, 49): a syncword whose frame ends at a second one or at the end. */
export function looksLikeAdts(bytes: Uint8Array): boolean {
  const header = parseAdts(bytes);
  if (!header.ok) return false;
  const next = header.value.frameBytes;
  return next === bytes.length || (next < bytes.length && parseAdts(bytes, next).ok);
}

/** Duration in 90 kHz ticks of G.711 data: one octet a sample at 8 kHz. */
export const g711Ticks90k = (byteLength: number): number => (byteLength * 90000) / 8000;
