/**
 * Container half of the demultiplexer: finds packs, maps and PES packets in a byte stream that was cut anywhere.
 *
 *   hunting --BA--> between --E0..EF, C0..DF--> payload --end--> between
 *      ^               |  \--BB, BD, BE, BF, F0..FF--> skipping --end--> between
 *      +--- gap() -----+--- not a start code: video goes on in `payload` until the next one, else hunting for any start code
 */
import { findStartCode } from '../media/h26x.ts';
import { MAX_PSM_BYTES, type ProgramStreamMap, readPsm } from './psm.ts';
import { readPackLength, readPesHeader } from './pes.ts';
import { START_CODE, isAudioId, isVideoId } from './stream-types.ts';

/** Payload bytes shown to `pes` so that it can tell whether an access unit begins. */
export const HEAD_BYTES = 8;
const START_CODE_BYTES = 4;
/** A start code may be cut by the end of what is there. */
const HOLD_BACK_BYTES = START_CODE_BYTES - 1;

export interface PesSink {
  /** A packet begins; `head` is its first payload bytes, at most HEAD_BYTES. */
  pes(streamId: number, pts90k: number | undefined, dts90k: number | undefined, head: Uint8Array): void;
  /** Payload; valid only during the call. */
  data(bytes: Uint8Array): void;
  /** The packet ended where it said, or at the next start code. */
  end(): void;
  map(map: ProgramStreamMap): void;
  /** A packet could not be read: what it carried is missing. */
  lost(): void;
}

export interface ScanCounters {
  packs: number;
  pesPackets: number;
  maps: number;
  badMaps: number;
  /** Private, padding and other packets passed over by their length. */
  skippedPackets: number;
  /** Bytes dropped while looking for a start code. */
  skippedBytes: number;
  resyncs: number;
  /** PES packets that ended elsewhere than their length said; a length of 0 is not one. */
  wrongLengths: number;
  badHeaders: number;
}

type State =
  | { readonly name: 'hunting'; readonly forPack: boolean }
  | { readonly name: 'between' }
  /** `left` is Infinity for a packet without a length. */
  | { readonly name: 'payload'; readonly streamId: number; left: number }
  | { readonly name: 'skipping'; left: number };

const HUNT_PACK: State = { name: 'hunting', forPack: true };
const HUNT_ANY: State = { name: 'hunting', forPack: false };
const BETWEEN: State = { name: 'between' };

export class PesScanner {
  readonly counters: ScanCounters = { packs: 0, pesPackets: 0, maps: 0, badMaps: 0, skippedPackets: 0, skippedBytes: 0, resyncs: 0, wrongLengths: 0, badHeaders: 0 };
  readonly #sink: PesSink;
  #state: State = HUNT_PACK;
  #pending: Uint8Array = new Uint8Array(0);

  constructor(sink: PesSink) {
    this.#sink = sink;
  }

  /** Nothing of a packet is open: every byte so far belonged to a packet that ended. */
  get isBetweenPackets(): boolean {
    const isDone = this.#state.name === 'between' || (this.#state.name === 'payload' && this.#state.left === 0);
    return isDone && this.#pending.length === 0;
  }

  /** Inside a packet that has no length of its own. */
  get isInOpenEndedPacket(): boolean {
    return this.#state.name === 'payload' && this.#state.left === Infinity;
  }

  push(chunk: Uint8Array): void {
    const bytes = this.#pending.length === 0 ? chunk : concat(this.#pending, chunk);
    let at = 0;
    while (at < bytes.length) {
      const used = this.#step(bytes, at);
      if (used === undefined) break;
      at += used;
    }
    // Not slice: of some kinds of bytes (Node's Buffer) that is no copy, and the caller's memory is used again.
    this.#pending = at === bytes.length ? EMPTY : new Uint8Array(bytes.subarray(at));
  }

  /** No byte will follow what is here: hands out what was held back, then looks for the next pack. `complete` false: the rest of it is lost. */
  cut(complete: boolean): void {
    if (!complete) this.#sink.lost();
    if (this.#state.name === 'payload') {
      if (this.#state.left > 0 && this.#pending.length > 0) this.#sink.data(this.#pending);
      this.#sink.end();
    }
    this.#pending = EMPTY;
    this.#state = HUNT_PACK;
  }

  /** Bytes used from `at`; undefined when more are needed. 0 is a change of state alone. */
  #step(bytes: Uint8Array, at: number): number | undefined {
    switch (this.#state.name) {
      case 'hunting':
        return this.#hunt(bytes, at, this.#state.forPack);
      case 'between':
        return this.#between(bytes, at);
      case 'skipping': {
        const used = Math.min(this.#state.left, bytes.length - at);
        this.#state.left -= used;
        if (this.#state.left === 0) this.#state = BETWEEN;
        return used;
      }
      case 'payload':
        return this.#payload(this.#state, bytes, at);
    }
  }

  #hunt(bytes: Uint8Array, at: number, forPack: boolean): number | undefined {
    const found = findStreamCode(bytes, at, bytes.length, forPack);
    if (found < 0) {
      const dropped = Math.max(0, bytes.length - HOLD_BACK_BYTES - at);
      this.counters.skippedBytes += dropped;
      return dropped === 0 ? undefined : dropped;
    }
    this.counters.skippedBytes += found - at;
    this.#state = BETWEEN;
    return found - at;
  }

  #between(bytes: Uint8Array, at: number): number | undefined {
    if (bytes.length - at < START_CODE_BYTES) return undefined;
    const id = bytes[at + 3]!;
    if (!isStartCodeAt(bytes, at) || id < START_CODE.end) return this.#lose();
    if (id === START_CODE.end) return START_CODE_BYTES;
    if (id === START_CODE.pack) return this.#pack(bytes, at);
    if (bytes.length - at < 6) return undefined;
    const length = (bytes[at + 4]! << 8) | bytes[at + 5]!;
    if (id === START_CODE.programStreamMap) return this.#map(bytes, at, 6 + length);
    if (isAudioId(id) || isVideoId(id)) return this.#pes(bytes, at, id, length);
    if (id !== START_CODE.systemHeader) this.counters.skippedPackets += 1;
    this.#state = { name: 'skipping', left: 6 + length };
    return 0;
  }

  #lose(): number {
    this.counters.resyncs += 1;
    this.#state = HUNT_ANY;
    return 0;
  }

  /** A pack header cut off by its sender is passed over up to the next start code (quirk 44). */
  #pack(bytes: Uint8Array, at: number): number | undefined {
    const length = readPackLength(bytes, at);
    if (length === 'more') return undefined;
    this.counters.packs += 1;
    if (length !== 'bad') {
      this.#state = { name: 'skipping', left: length };
      return 0;
    }
    this.counters.badHeaders += 1;
    this.#state = HUNT_ANY;
    return START_CODE_BYTES;
  }

  #map(bytes: Uint8Array, at: number, length: number): number | undefined {
    if (length <= MAX_PSM_BYTES && bytes.length - at < length) return undefined;
    const map = length <= MAX_PSM_BYTES ? readPsm(bytes.subarray(at, at + length)) : undefined;
    if (map?.ok !== true) {
      this.counters.badMaps += 1;
      this.#state = HUNT_ANY;
      return START_CODE_BYTES;
    }
    this.counters.maps += 1;
    this.#sink.map(map.value);
    return length;
  }

  #pes(bytes: Uint8Array, at: number, streamId: number, length: number): number | undefined {
    const openEnded = length === 0 || length === 0xffff;
    const header = readPesHeader(bytes, at, openEnded ? Infinity : 6 + length);
    if (header === 'more') return undefined;
    if (header === 'bad') {
      this.counters.badHeaders += 1;
      this.#sink.lost();
      this.#state = HUNT_ANY;
      return START_CODE_BYTES;
    }
    const left = openEnded ? Infinity : 6 + length - header.headerBytes;
    const payloadAt = at + header.headerBytes;
    if (bytes.length < payloadAt + Math.min(left, HEAD_BYTES)) return undefined;
    this.counters.pesPackets += 1;
    this.#sink.pes(streamId, header.pts90k, header.dts90k, bytes.subarray(payloadAt, payloadAt + Math.min(left, HEAD_BYTES)));
    this.#state = { name: 'payload', streamId, left };
    return header.headerBytes;
  }

  /**
   * A start code of the container cannot stand inside video (a NAL header has its high bit clear), so one there ends the packet whatever
   * its length said. Audio may hold any bytes: its length is believed.
   */
  #payload(state: State & { name: 'payload' }, bytes: Uint8Array, at: number): number | undefined {
    const here = Math.min(state.left, bytes.length - at);
    const scans = state.left === Infinity || isVideoId(state.streamId);
    const found = scans ? findStreamCode(bytes, at, at + here, false) : -1;
    if (found >= 0) {
      if (state.left !== Infinity) this.counters.wrongLengths += 1;
      return this.#endPayload(bytes, at, found - at);
    }
    if (here === state.left) return this.#complete(state, bytes, at, here);
    const used = scans ? here - HOLD_BACK_BYTES : here;
    if (used <= 0) return undefined;
    this.#sink.data(bytes.subarray(at, at + used));
    state.left -= used;
    return used;
  }

  /** The packet is all there. When what follows a video packet is not a start code, its length was too short and the payload goes on. */
  #complete(state: State & { name: 'payload' }, bytes: Uint8Array, at: number, here: number): number | undefined {
    const next = at + here;
    if (!isVideoId(state.streamId) || isStreamCodeAt(bytes, next)) return this.#endPayload(bytes, at, here);
    if (bytes.length - next >= START_CODE_BYTES) {
      this.counters.wrongLengths += 1;
      state.left = Infinity;
      return 0;
    }
    if (here === 0) return undefined;
    this.#sink.data(bytes.subarray(at, next));
    state.left = 0;
    return here;
  }

  #endPayload(bytes: Uint8Array, at: number, used: number): number {
    if (used > 0) this.#sink.data(bytes.subarray(at, at + used));
    this.#sink.end();
    this.#state = BETWEEN;
    return used;
  }
}

const EMPTY: Uint8Array = new Uint8Array(0);

const isStartCodeAt = (bytes: Uint8Array, at: number): boolean => bytes[at] === 0 && bytes[at + 1] === 0 && bytes[at + 2] === 1;

const isStreamCodeAt = (bytes: Uint8Array, at: number): boolean => isStartCodeAt(bytes, at) && (bytes[at + 3] ?? 0) >= START_CODE.end;

/** Next start code of the container (or of a pack) that lies wholly before `end`; -1 when there is none. */
function findStreamCode(bytes: Uint8Array, from: number, end: number, packOnly: boolean): number {
  for (let at = findStartCode(bytes, from); at >= 0 && at + START_CODE_BYTES <= end; at = findStartCode(bytes, at + 3)) {
    const id = bytes[at + 3]!;
    if (packOnly ? id === START_CODE.pack : id >= START_CODE.end) return at;
  }
  return -1;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const whole = new Uint8Array(a.length + b.length);
  whole.set(a);
  whole.set(b, a.length);
  return whole;
}
