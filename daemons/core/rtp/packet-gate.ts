/**
 * Lets whole pictures through and nothing that is built on a picture with a hole (design.md 7). Works on packets in order:
 *
 *   opening ──key picture──► flowing ──a number is missing, a restart──► frozen ──key picture──► flowing
 *      └── no key picture in 10 s, not even one with a hole, or pictures cannot be told apart ──► ungated ──key picture──► flowing
 *
 * Packets of one picture (one RTP timestamp) are held until it is complete: at its marker when markers have proved to be ends of
 * pictures, else when the next one begins. A picture is given on without a copy when one batch has all of it. A gap damages what it
 * lies in, or both sides of it. Sound of its own packet goes on while pictures are frozen. What leaves is numbered anew.
 */
import type { Ms } from '../units.ts';
import type { PacketColumns, PacketTaker } from './packet-columns.ts';
import type { PacketStore } from './packet-store.ts';
import { beginsUnit, isBesidePicture } from './payload-probe.ts';
import { PictureLook, type Seen } from './picture-look.ts';

/** A picture may be so large (fault 72). */
const MAX_PICTURE_BYTES = 4 * 1024 * 1024;
/** A picture that takes longer has no border that we can see. */
const MAX_PICTURE_MS = 2000;
/** Without a key picture for so long there is none (fault 73). */
const PATIENCE_MS = 10_000;
/** Payload that is none that we know may turn out to be one whose beginning we missed. */
const UNKNOWN_MS = 3000;
/** So many markers at ends of pictures, and one is believed at once. One inside of a picture: not for long. */
const MARKERS_TRUSTED = 3;
const MARKERS_DISTRUSTED = -100;

export type GateState = 'opening' | 'flowing' | 'frozen' | 'ungated';

export class PacketGate {
  readonly #store: PacketStore;
  readonly #look = new PictureLook();
  state: GateState = 'opening';
  /** Video codecs of the PSM, when they are none that can be looked into: headers alone tell key pictures then. */
  opaque = false;
  /** Where in `out` of the last `take` a key picture begins; -1: none. */
  keyAt = -1;

  /** Slots of the open picture; what lies in the present batch is not in them yet. */
  #held: number[] = [];
  #from = 0;
  #open = false;
  #bytes = 0;
  #timestamp = 0;
  #since = 0;
  #headless = false;
  #aligned = false;
  #packets = 0;
  /** The last packet had a marker that is not believed yet. */
  #marked = false;
  #trust = 0;
  /** Pictures cannot be told apart: all passes. */
  #boundless = false;
  #brokenTimestamp = NaN;
  /** Since when nobody knows what the payload is; NaN: it is known. */
  #unknownSince = NaN;

  #last = NaN;
  #outIndex = 0;
  #startedAt = NaN;
  #frozenAt = NaN;
  #frozenBefore = 0;
  #skippable = false;

  freezes = 0;
  pictures = 0;
  keyPictures = 0;
  picturesDropped = 0;

  constructor(store: PacketStore) {
    this.#store = store;
  }

  /** Nothing can be shown before the next key picture: frozen, or the first one came with a hole or not at all. */
  get wantsKeyPicture(): boolean {
    return this.state === 'frozen' || (this.state === 'opening' && this.picturesDropped > 0);
  }

  /** How long the present freeze lasts; null when there is none. */
  frozenForMs(now: Ms): number | null {
    return this.state === 'frozen' ? now - this.#frozenAt : null;
  }

  frozenMs(now: Ms): number {
    return this.#frozenBefore + (this.frozenForMs(now) ?? 0);
  }

  /** Packets of `batch` in, packets of whole pictures out. */
  take(batch: PacketColumns, out: PacketTaker & { readonly count: number }, now: Ms): void {
    this.keyAt = -1;
    this.#from = 0;
    if (Number.isNaN(this.#startedAt)) this.#startedAt = now;
    if (this.#passesAll(batch, out, now)) return;
    let restart = batch.restartAt;
    for (let i = 0; i < batch.count; i++) {
      const index = batch.index[i]!;
      const restarted = index >= restart;
      if (restarted) restart = NaN;
      if (restarted || index !== this.#last + 1) this.#gap(i, now);
      this.#last = index;
      this.#packet(batch, i, out, now);
    }
    this.#keep(batch);
  }

  /** Forgets the open picture: nobody wants whole ones any more. */
  stop(now: Ms): void {
    this.#discard();
    this.#thaw(now);
    this.state = 'opening';
    this.#boundless = false;
    this.#unknownSince = NaN;
    this.freezes = this.pictures = this.keyPictures = this.picturesDropped = this.#frozenBefore = 0;
    this.#last = this.#startedAt = NaN;
  }

  #passesAll(batch: PacketColumns, out: PacketTaker, now: Ms): boolean {
    const unknown = batch.kind === null || batch.kind === 'unknown';
    if (unknown !== !Number.isNaN(this.#unknownSince)) this.#onKnown(unknown, now);
    if (unknown && now - this.#unknownSince < UNKNOWN_MS) return true;
    if (!unknown && !this.#boundless) return false;
    this.#thaw(now);
    this.state = 'ungated';
    this.#discard();
    this.#last = NaN;
    for (let i = 0; i < batch.count; i++) out.add(batch.memory[i]!, batch.payloadOffset[i]!, batch.payloadLength[i]!, batch.marker[i]!, batch.timestamp[i]!, this.#outIndex++);
    return true;
  }

  #onKnown(unknown: boolean, now: Ms): void {
    this.#unknownSince = unknown ? now : NaN;
    if (unknown) {
      // What is not looked into counts as missing.
      if (this.#open) this.#dropOpen(now);
      this.#freeze(now);
      this.#last = NaN;
    } else if (this.state === 'ungated') {
      this.#startedAt = now;
      this.state = 'opening';
    }
  }

  #freeze(now: Ms): void {
    if (this.state !== 'flowing') return;
    this.state = 'frozen';
    this.#frozenAt = now;
    this.freezes++;
  }

  /** Everything before the packet at `i` is in order; between it and the one before something is missing. */
  #gap(i: number, now: Ms): void {
    const before = Number.isNaN(this.#last);
    if (this.#open) this.#dropOpen(now);
    this.#from = i;
    this.#marked = false;
    this.#headless = true;
    if (!before) this.#freeze(now);
  }

  #packet(batch: PacketColumns, i: number, out: PacketTaker & { readonly count: number }, now: Ms): void {
    const memory = batch.memory[i]!;
    const offset = batch.payloadOffset[i]!;
    const length = batch.payloadLength[i]!;
    const timestamp = batch.timestamp[i]!;
    const begins = beginsUnit(batch.kind, memory, offset, length);
    if (this.#marked) this.#judgeMarker(batch, i, timestamp, begins);
    if (this.#open && this.#ends(batch, i, timestamp, begins)) this.#complete(batch, i, out, now);
    if (!this.#open) this.#begin(i, timestamp, begins, now);
    this.#packets++;
    this.#bytes += length;
    this.#look.feed(batch.kind, memory, offset, length);
    this.#marked = batch.marker[i]!;
    this.#timestamp = timestamp;
    if (this.#marked && this.#trust >= MARKERS_TRUSTED) this.#complete(batch, i + 1, out, now);
    else if (this.#bytes > MAX_PICTURE_BYTES || now - this.#since > MAX_PICTURE_MS) this.#endless(i + 1, now);
  }

  /** Where a marker was, did a picture end? */
  #judgeMarker(batch: PacketColumns, i: number, timestamp: number, begins: boolean): void {
    const ended = (begins && timestamp !== this.#timestamp) || isBesidePicture(batch.kind, batch.memory[i]!, batch.payloadOffset[i]!, batch.payloadLength[i]!);
    this.#trust = ended ? Math.min(this.#trust + 1, MARKERS_TRUSTED) : MARKERS_DISTRUSTED;
  }

  /** Does another picture begin with this packet? One timestamp a picture; where time stands still, a pack behind a marker. */
  #ends(batch: PacketColumns, i: number, timestamp: number, begins: boolean): boolean {
    if (!begins) return false;
    return timestamp !== this.#timestamp || (this.#marked && isBesidePicture(batch.kind, batch.memory[i]!, batch.payloadOffset[i]!, batch.payloadLength[i]!));
  }

  #begin(i: number, timestamp: number, begins: boolean, now: Ms): void {
    this.#open = true;
    this.#from = i;
    this.#timestamp = timestamp;
    this.#since = now;
    this.#bytes = this.#packets = 0;
    // Behind a gap a picture is only known to be whole from its first packet on.
    this.#aligned = begins;
    this.#look.begin();
  }

  /** The open picture ends before the packet at `end`. */
  #complete(batch: PacketColumns, end: number, out: PacketTaker & { readonly count: number }, now: Ms): void {
    const seen = this.#seen();
    // In an elementary stream any packet may begin something: behind a gap only what stands first in a picture proves that it is whole.
    if (this.#headless && batch.kind !== 'ps') this.#aligned &&= this.#look.isFromItsBegin;
    const key = seen === 'key' && this.#aligned;
    const audio = seen === 'audio' && this.#packets === 1 && this.#aligned;
    // The rest of a picture whose beginning was counted is no other picture.
    const counts = !audio && (this.#aligned || this.#timestamp !== this.#brokenTimestamp);
    if (counts) this.pictures++;
    if (key) this.#restartAt(now);
    else if (seen === 'key') this.#missKey(now);
    else if (this.state === 'opening' && now - this.#startedAt > PATIENCE_MS) this.state = 'ungated';
    const whole = !this.#headless || this.#aligned;
    this.#headless = false;
    const passes = this.state === 'flowing' ? seen !== 'skippable' || !this.#skippable : whole && (this.state === 'ungated' || (this.state === 'frozen' && audio) || (seen === 'parameters' && this.#aligned));
    if (seen === 'other' && passes) this.#skippable = false;
    if (!passes) {
      if (counts) this.picturesDropped++;
      return this.#discard(end);
    }
    if ((key || (seen === 'parameters' && this.#aligned)) && this.keyAt < 0) this.keyAt = out.count;
    for (const slot of this.#held) this.#store.give(slot, out, this.#outIndex++);
    this.#held.length = 0;
    for (let i = this.#from; i < end; i++) out.add(batch.memory[i]!, batch.payloadOffset[i]!, batch.payloadLength[i]!, batch.marker[i]!, batch.timestamp[i]!, this.#outIndex++);
    this.#open = false;
    this.#from = end;
  }

  #seen(): Seen {
    const { seen, hasHeaders } = this.#look;
    // A codec that we cannot look into, or nothing that looks like one of ours: its headers stand before key pictures only.
    if (this.opaque && seen !== 'audio') return hasHeaders ? 'key' : 'other';
    return seen === 'headers' ? 'key' : seen;
  }

  #restartAt(now: Ms): void {
    this.keyPictures++;
    this.#skippable = this.state !== 'flowing';
    this.#thaw(now);
    this.state = 'flowing';
  }

  #thaw(now: Ms): void {
    if (this.state === 'frozen') this.#frozenBefore += now - this.#frozenAt;
  }

  /** No end in sight: what is too large is dropped; without borders there is nothing to gate. */
  #endless(end: number, now: Ms): void {
    const unbounded = this.#bytes <= MAX_PICTURE_BYTES;
    this.picturesDropped++;
    this.#discard(end);
    this.#headless = true;
    if (unbounded) {
      this.#thaw(now);
      this.state = 'ungated';
      this.#boundless = true;
    } else this.#freeze(now);
  }

  #dropOpen(now: Ms): void {
    if (this.#seen() === 'key') this.#missKey(now);
    this.pictures++;
    this.picturesDropped++;
    this.#brokenTimestamp = this.#timestamp;
    this.#discard();
  }

  /** A key picture came with a hole: there will be others, however long it takes (fault 73 is about streams without any). */
  #missKey(now: Ms): void {
    this.#startedAt = now;
    if (this.state === 'ungated') this.state = 'opening';
  }

  #discard(end = 0): void {
    for (const slot of this.#held) this.#store.drop(slot);
    this.#held.length = 0;
    this.#open = false;
    this.#from = end;
  }

  /** The batch is gone after this call: what the open picture has in it is copied. */
  #keep(batch: PacketColumns): void {
    if (!this.#open) return;
    for (let i = this.#from; i < batch.count; i++)
      this.#held.push(this.#store.put(batch.memory[i]!, batch.payloadOffset[i]!, batch.payloadLength[i]!, batch.marker[i]!, batch.timestamp[i]!, batch.index[i]!));
  }
}
