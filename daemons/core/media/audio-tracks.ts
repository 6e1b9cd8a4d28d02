/** What an audio codec's bytes say about their track, and whole ADTS frames out of PES that cut them anywhere. */
import { AAC_SAMPLES_PER_FRAME, type AudioCodec, g711Ticks90k, parseAdts } from './audio.ts';
import type { AudioTrack } from './unit.ts';

/** Sample rate, in Hz, of codecs that have only one (ITU-T G.711, G.722.1, G.723.1, G.729; SVAC audio as GB/T 28181 sends it). */
const RATE_HZ: Readonly<Record<Exclude<AudioCodec, 'aac'>, number>> = { 'g711a': 8000, 'g711u': 8000, 'g722.1': 16000, 'g723.1': 8000, 'g729': 8000, 'svac-audio': 8000 };
/** Index 15 says the rate in full (ISO/IEC 14496-3 table 1.18). */
const RATES_BY_INDEX: readonly number[] = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350];

/** AudioSpecificConfig of two bytes (ISO/IEC 14496-3 1.6.2.1). `objectType` 2 is AAC LC. */
export function audioSpecificConfig(objectType: number, sampleRateHz: number, channels: number): Uint8Array {
  const index = Math.max(0, RATES_BY_INDEX.indexOf(sampleRateHz));
  return Uint8Array.of((objectType << 3) | (index >> 1), ((index & 1) << 7) | (channels << 3));
}

/** The reverse, for AAC LC and its like; undefined when it cannot stand in an ADTS header. */
export function readAudioSpecificConfig(config: Uint8Array): { readonly objectType: number; readonly sampleRateHz: number; readonly channels: number } | undefined {
  if (config.length < 2) return undefined;
  const declared = config[0]! >> 3;
  // SBR and PS ride on AAC LC: a decoder finds them by itself (1.6.5).
  const objectType = declared === 5 || declared === 29 ? 2 : declared;
  const sampleRateHz = RATES_BY_INDEX[((config[0]! & 7) << 1) | (config[1]! >> 7)];
  const channels = (config[1]! >> 3) & 0x0f;
  if (objectType < 1 || objectType > 4 || sampleRateHz === undefined || channels > 7) return undefined;
  return { objectType, sampleRateHz, channels };
}

/** An ADTS header without CRC for one raw frame of `payloadBytes` (at most 8184). */
export function adtsHeader(objectType: number, sampleRateHz: number, channels: number, payloadBytes: number): Uint8Array {
  const index = Math.max(0, RATES_BY_INDEX.indexOf(sampleRateHz));
  const length = payloadBytes + 7;
  return Uint8Array.of(
    0xff,
    0xf1,
    ((objectType - 1) << 6) | (index << 2) | (channels >> 2),
    ((channels & 3) << 6) | (length >> 11),
    (length >> 3) & 0xff,
    ((length & 7) << 5) | 0x1f,
    0xfc,
  );
}

/** Undefined when the bytes are not what the codec says. */
export function audioTrackOf(codec: AudioCodec, bytes: Uint8Array): AudioTrack | undefined {
  if (codec !== 'aac') return { codec, sampleRateHz: RATE_HZ[codec], channels: 1, config: NO_CONFIG };
  const adts = parseAdts(bytes);
  if (!adts.ok) return undefined;
  const { profile, sampleRateHz, channels } = adts.value;
  return { codec, sampleRateHz, channels: channels === 0 ? 1 : channels, config: audioSpecificConfig(profile + 1, sampleRateHz, channels) };
}

const NO_CONFIG = new Uint8Array(0);

/** Duration in 90 kHz ticks of whole ADTS frames or of G.711; 0 where the bytes do not tell. */
export function audioTicks90k(codec: AudioCodec, bytes: Uint8Array): number {
  if (codec === 'g711a' || codec === 'g711u') return g711Ticks90k(bytes.length);
  if (codec !== 'aac') return 0;
  let samples = 0;
  let rateHz = 1;
  for (let at = 0; at < bytes.length; ) {
    const adts = parseAdts(bytes, at);
    if (!adts.ok) break;
    samples += adts.value.samples;
    rateHz = adts.value.sampleRateHz;
    at += adts.value.frameBytes;
  }
  return (samples * 90000) / rateHz;
}

export interface WholeFrames {
  /** Undefined when there is none. */
  readonly bytes: Uint8Array | undefined;
  /** The first of them began in an earlier packet. */
  readonly carried: boolean;
  readonly skippedBytes: number;
}

/** Gives whole ADTS frames only (fault 75); what is cut at the end of a packet waits for the next one. */
export class AdtsFramer {
  #rest: Uint8Array = new Uint8Array(0);

  take(packet: Uint8Array): WholeFrames {
    const carried = this.#rest.length > 0;
    const bytes = carried ? joined(this.#rest, packet) : packet;
    const spans: (readonly [number, number])[] = [];
    let at = 0;
    let skippedBytes = 0;
    this.#rest = NO_CONFIG;
    while (at < bytes.length) {
      const adts = parseAdts(bytes, at);
      if (adts.ok && at + adts.value.frameBytes <= bytes.length) {
        spans.push([at, at + adts.value.frameBytes]);
        at += adts.value.frameBytes;
      } else if (adts.ok || (bytes.length - at < 7 && maybeHeader(bytes, at))) {
        this.#rest = new Uint8Array(bytes.subarray(at));
        break;
      } else {
        skippedBytes += 1;
        at += 1;
      }
    }
    return { bytes: gather(bytes, spans), carried, skippedBytes };
  }

  /** Bytes are missing here. */
  reset(): void {
    this.#rest = NO_CONFIG;
  }
}

const AAC_PROFILES_LOOK = 0xf6;
const maybeHeader = (bytes: Uint8Array, at: number): boolean => bytes[at] === 0xff && (at + 1 === bytes.length || (bytes[at + 1]! & AAC_PROFILES_LOOK) === 0xf0);

function gather(bytes: Uint8Array, spans: readonly (readonly [number, number])[]): Uint8Array | undefined {
  const first = spans[0];
  if (first === undefined) return undefined;
  const last = spans.at(-1)!;
  const length = spans.reduce((sum, [from, to]) => sum + to - from, 0);
  if (last[1] - first[0] === length) return bytes.subarray(first[0], last[1]);
  const whole = new Uint8Array(length);
  let at = 0;
  for (const [from, to] of spans) {
    whole.set(bytes.subarray(from, to), at);
    at += to - from;
  }
  return whole;
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}

/** Duration of one AAC frame. */
export const aacFrameTicks90k = (sampleRateHz: number): number => (AAC_SAMPLES_PER_FRAME * 90000) / sampleRateHz;
