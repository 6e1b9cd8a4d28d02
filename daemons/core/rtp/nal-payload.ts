/** What the payload formats of H.264 and H.265 have in common: pictures out of NAL units and their fragments, and the way back. */
import { type VideoCodec, inspectAccessUnit, isVcl, nalType, nalUnits, startsAccessUnit } from '../media/h26x.ts';
import type { RawUnit } from '../media/unit-intake.ts';
import type { MediaUnit } from '../media/unit.ts';
import { MAX_UNIT_BYTES } from '../ps/unit-assembler.ts';
import type { Depacketizer, DepacketizerCounters, EsPacket, Packetizer } from './payload-format.ts';
import { TimestampLine, timestampOf } from './media-clock.ts';

export const VIDEO_CLOCK_HZ = 90_000;
/** Payload bytes of one packet, as all our senders cut (gb28181.md 6.6). */
export const MAX_ES_PAYLOAD_BYTES = 1400;
const FIRST_BUFFER_BYTES = 64 * 1024;
const START_CODE = Uint8Array.of(0, 0, 0, 1);
/** F bit: the sender knows of bit errors (RFC 6184 1.3, fault 72). */
const FORBIDDEN_BIT = 0x80;

/**
 *   empty ──packet──► open ──marker, or a packet of another time──► empty (a unit is given)
 *   A gap makes what is open damaged, and what follows when it does not begin a picture.
 */
export abstract class NalDepacketizer implements Depacketizer {
  readonly clockHz = VIDEO_CLOCK_HZ;
  readonly counters: DepacketizerCounters = { malformed: 0, refused: 0, oversizeUnits: 0 };
  protected readonly codec: VideoCodec;
  readonly #line = new TimestampLine(VIDEO_CLOCK_HZ);
  #buffer = new Uint8Array(FIRST_BUFFER_BYTES);
  #used = 0;
  #open = false;
  #timestamp = 0;
  #damaged = false;
  #afterGap = false;
  /** What is open holds a slice: SPS and PPS come with markers of their own from some cameras. */
  #hasPicture = false;
  /** Of the picture that a marker ended. */
  #markedTimestamp: number | undefined;
  /** Each packet has one: another time tells where a picture ends. */
  #markersLie = false;
  /** A fragmentation unit goes on. */
  #inFragment = false;

  constructor(codec: VideoCodec) {
    this.codec = codec;
  }

  protected abstract read(payload: Uint8Array): void;
  /** Header and first byte of the NAL unit that this payload begins with; undefined when it goes on with another one. */
  protected abstract firstNal(payload: Uint8Array): Uint8Array | undefined;

  push(payload: Uint8Array, marker: boolean, timestamp: number): RawUnit[] {
    const units = this.#open && (timestamp !== this.#timestamp || this.#beginsAnother(payload)) ? this.#close() : [];
    if (!this.#open) this.#begin(timestamp, payload);
    this.#afterGap = false;
    if (payload.length === 0) this.counters.malformed += 1;
    else if (beginsWithStartCode(payload)) for (const { at, end } of nalUnits(payload)) this.nal(payload.subarray(at, end));
    else this.read(payload);
    if (marker && !this.#inFragment && this.#hasPicture && !this.#markersLie) {
      units.push(...this.#close());
      this.#markedTimestamp = timestamp;
    }
    return units;
  }

  gap(): void {
    this.#damaged ||= this.#open;
    this.#afterGap = true;
    this.#inFragment = false;
  }

  flush(): RawUnit[] {
    return this.#open ? this.#close() : [];
  }

  /** Neither marker nor time tells, but a slice does. */
  #beginsAnother(payload: Uint8Array): boolean {
    if (!this.#hasPicture || this.#inFragment || payload.length === 0 || beginsWithStartCode(payload)) return false;
    const first = this.firstNal(payload);
    return first !== undefined && startsAccessUnit(this.codec, first, 0);
  }

  #begin(timestamp: number, payload: Uint8Array): void {
    this.#open = true;
    this.#timestamp = timestamp;
    this.#used = 0;
    this.#hasPicture = false;
    const goesOn = timestamp === this.#markedTimestamp;
    const first = (this.#afterGap || goesOn) && payload.length > 0 ? this.firstNal(payload) : undefined;
    const beginsInside = first === undefined || !startsAccessUnit(this.codec, first, 0);
    this.#markersLie ||= goesOn && beginsInside;
    this.#damaged = (this.#afterGap || goesOn) && beginsInside;
  }

  #close(): RawUnit[] {
    if (this.#inFragment) this.damage();
    this.#open = false;
    this.#inFragment = false;
    if (this.#used === 0) return [];
    const bytes = this.#buffer.slice(0, this.#used);
    const pts90k = this.#line.ticks90k(this.#timestamp);
    return [{ kind: 'video', codec: this.codec, pts90k, dts90k: pts90k, keyFrame: inspectAccessUnit(this.codec, bytes).keyFrame, damaged: this.#damaged, bytes }];
  }

  protected damage(): void {
    this.#damaged = true;
  }

  protected malformed(): void {
    this.counters.malformed += 1;
    this.#damaged = true;
  }

  protected refuse(): void {
    this.counters.refused += 1;
    this.#damaged = true;
  }

  /** A whole NAL unit. */
  protected nal(bytes: Uint8Array): void {
    if (this.#inFragment) this.damage();
    this.#inFragment = false;
    if ((bytes[0]! & FORBIDDEN_BIT) !== 0) this.damage();
    this.#hasPicture ||= isVcl(this.codec, nalType(this.codec, bytes[0]!));
    this.#append(START_CODE);
    this.#append(bytes);
  }

  protected beginFragment(header: Uint8Array, bytes: Uint8Array): void {
    this.nal(header);
    this.#append(bytes);
    this.#inFragment = true;
  }

  protected continueFragment(bytes: Uint8Array): void {
    if (!this.#inFragment) this.damage();
    else this.#append(bytes);
  }

  protected endFragment(): void {
    this.#inFragment = false;
  }

  #append(bytes: Uint8Array): void {
    const needed = this.#used + bytes.length;
    if (needed > MAX_UNIT_BYTES) {
      if (!this.#damaged) this.counters.oversizeUnits += 1;
      this.#damaged = true;
      return;
    }
    if (needed > this.#buffer.length) {
      const grown = new Uint8Array(Math.min(MAX_UNIT_BYTES, Math.max(needed, this.#buffer.length * 2)));
      grown.set(this.#buffer.subarray(0, this.#used));
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, this.#used);
    this.#used = needed;
  }
}

/** Annex B in RTP, as some cameras send it against the RFC: no NAL unit begins with these bytes. */
const beginsWithStartCode = (payload: Uint8Array): boolean => payload[0] === 0 && payload[1] === 0 && (payload[2] === 1 || (payload[2] === 0 && payload[3] === 1));

export abstract class NalPacketizer implements Packetizer {
  readonly clockHz = VIDEO_CLOCK_HZ;
  readonly #codec: VideoCodec;
  readonly #maxPayloadBytes: number;

  constructor(codec: VideoCodec, maxPayloadBytes: number) {
    this.#codec = codec;
    this.#maxPayloadBytes = maxPayloadBytes;
  }

  /** Adds the fragments of a NAL unit that is longer than a payload. */
  protected abstract fragments(nal: Uint8Array, maxPayloadBytes: number): Uint8Array[];

  packets(unit: MediaUnit): EsPacket[] {
    if (unit.codec !== this.#codec) return [];
    const payloads: Uint8Array[] = [];
    for (const { at, end } of nalUnits(unit.bytes)) {
      const nal = unit.bytes.subarray(at, end);
      if (nal.length <= this.#maxPayloadBytes) payloads.push(nal);
      else payloads.push(...this.fragments(nal, this.#maxPayloadBytes));
    }
    const timestamp = timestampOf(unit.pts90k, VIDEO_CLOCK_HZ);
    return payloads.map((payload, index) => ({ payload, marker: index === payloads.length - 1, timestamp }));
  }
}

/** Cuts what stands behind the NAL unit header; `header` makes the fragmentation header of a piece. */
export function cutFragments(nal: Uint8Array, nalHeaderBytes: number, maxPayloadBytes: number, header: (first: boolean, last: boolean) => Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  const room = maxPayloadBytes - header(true, true).length;
  for (let at = nalHeaderBytes; at < nal.length; at += room) {
    const end = Math.min(nal.length, at + room);
    const head = header(at === nalHeaderBytes, end === nal.length);
    const piece = new Uint8Array(head.length + end - at);
    piece.set(head);
    piece.set(nal.subarray(at, end), head.length);
    pieces.push(piece);
  }
  return pieces;
}
