/**
 * RTP payloads of elementary streams, both ways: H.264 (RFC 6184), H.265 (RFC 7798), AAC (RFC 3640, AAC-hbr) and G.711 (RFC 3551).
 *
 *     const depacketizer = openDepacketizer('h264', parametersOf('packetization-mode=1; sprop-parameter-sets=Z0I...,aM4...'));
 *     units.push(...depacketizer.push(payload, marker, timestamp));     // in order; gap() where numbers are missing
 *     const packetizer = openPacketizer('h264');
 *     for (const { payload, marker, timestamp } of packetizer.packets(unit)) send(payload, marker, timestamp);
 */
import type { Codec } from '../media/codec.ts';
import type { RawUnit } from '../media/unit-intake.ts';
import type { MediaUnit } from '../media/unit.ts';
import { AacDepacketizer, AacPacketizer } from './aac-payload.ts';
import { type FormatParameters, NO_PARAMETERS } from './format-parameters.ts';
import { G711Depacketizer, G711Packetizer } from './g711-payload.ts';
import { H264Depacketizer, H264Packetizer } from './h264-payload.ts';
import { H265Depacketizer, H265Packetizer } from './h265-payload.ts';

export type ElementaryFormat = 'h264' | 'h265' | 'aac' | 'g711a' | 'g711u';

export interface EsPacket {
  /** The sender's own, or a view into the unit: not to be written. */
  readonly payload: Uint8Array;
  readonly marker: boolean;
  /** 32 bits of the format's clock; a sender may add an offset of its own. */
  readonly timestamp: number;
}

export interface Packetizer {
  readonly clockHz: number;
  /** Packets of one unit in order; none when the unit is of another codec. */
  packets(unit: MediaUnit): EsPacket[];
}

export interface DepacketizerCounters {
  /** Payloads, or parts of them, that could not be read. */
  malformed: number;
  /** Interleaved modes and others that are not taken (RFC 6184 5.4, RFC 3640 3.2.3.2, RFC 7798 4.4.4). */
  refused: number;
  oversizeUnits: number;
}

export interface Depacketizer {
  readonly clockHz: number;
  readonly counters: Readonly<DepacketizerCounters>;
  /**
   * The next payload in order, in memory that may be used again afterwards. Units have 90 kHz times without wraps, counted from the
   * sender's own random begin. A picture comes with its marker, else with the first packet behind it.
   */
  push(payload: Uint8Array, marker: boolean, timestamp: number): RawUnit[];
  /** Packets are missing here: what is open, or begins in the middle, is damaged. */
  gap(): void;
  /** The stream ended: what is open. */
  flush(): RawUnit[];
}

export const isElementaryFormat = (codec: Codec): codec is ElementaryFormat => codec === 'h264' || codec === 'h265' || codec === 'aac' || codec === 'g711a' || codec === 'g711u';

/** `clockHz`: of the rtpmap; counts for AAC without a configuration. */
export function openDepacketizer(format: ElementaryFormat, parameters: FormatParameters = NO_PARAMETERS, clockHz?: number): Depacketizer {
  switch (format) {
    case 'h264':
      return new H264Depacketizer();
    case 'h265':
      return new H265Depacketizer(parameters);
    case 'aac':
      return new AacDepacketizer(parameters, clockHz);
    case 'g711a':
    case 'g711u':
      return new G711Depacketizer(format);
  }
}

/** `sampleRateHz`: AAC only, the clock of its timestamps. */
export function openPacketizer(format: ElementaryFormat, sampleRateHz = 8000): Packetizer {
  switch (format) {
    case 'h264':
      return new H264Packetizer();
    case 'h265':
      return new H265Packetizer();
    case 'aac':
      return new AacPacketizer(sampleRateHz);
    case 'g711a':
    case 'g711u':
      return new G711Packetizer(format);
  }
}
