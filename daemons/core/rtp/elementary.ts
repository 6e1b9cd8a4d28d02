/**
 * RTP payloads of elementary streams, both ways: H.264 (RFC 6184), H.265 (RFC 7798), AAC (RFC 3640, AAC-hbr) and G.711 (RFC 3551).
 *
 *     const depacketizer = openDepacketizer('h264', parametersOf('packetization-mode=1; sprop-parameter-sets=Z0I...,aM4...'));
 *     units.push(...depacketizer.push(payload, marker, timestamp));     // in order; gap() where numbers are missing
 *     const packetizer = openPacketizer('h264');
 *     for (const { payload, marker, timestamp } of packetizer.packets(unit)) send(payload, marker, timestamp);
 */
import type { Codec } from '../media/codec.ts';
import { AacDepacketizer, AacPacketizer } from './aac-payload.ts';
import { type FormatParameters, NO_PARAMETERS } from './format-parameters.ts';
import { G711Depacketizer, G711Packetizer } from './g711-payload.ts';
import { H264Depacketizer, H264Packetizer } from './h264-payload.ts';
import { H265Depacketizer, H265Packetizer } from './h265-payload.ts';
import type { Depacketizer, Packetizer } from './payload-format.ts';

export type ElementaryFormat = 'h264' | 'h265' | 'aac' | 'g711a' | 'g711u';

export type { Depacketizer, DepacketizerCounters, EsPacket, Packetizer } from './payload-format.ts';

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
