/** What every RTP payload format of an elementary stream offers, both ways. */
import type { RawUnit } from '../media/unit-intake.ts';
import type { MediaUnit } from '../media/unit.ts';

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
