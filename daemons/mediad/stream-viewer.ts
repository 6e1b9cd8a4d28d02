/**
 * One viewer of one channel over one connection that takes bytes: HTTP-FLV, fMP4, their WebSocket forms. The format is a `Packer`;
 * who is slow, and when it may go on, is core/media/slow-viewer.
 *
 *   waiting ──tracks that the format can carry──► flowing ──slow──► dropping ──key frame──► flowing
 *      any ──source ends, far end goes, stalled, tracks that the format cannot change to──► ended
 */
import { SlowViewer } from '#core/media/slow-viewer.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import type { Ms } from '#core/units.ts';
import type { ViewerPipe } from './http-pipe.ts';
import type { OutletLease } from './outlet-door.ts';
import type { UnitSeat, UnitSink } from './unit-stream.ts';

/** Bytes in parts, or words for the program at the far end (ViewerPipe.tell). */
export type Piece = readonly Uint8Array[] | string;

export interface Packer {
  /** What goes first or in between; `end`: this viewer cannot go on with these tracks. */
  tracks(tracks: MediaTracks): readonly Piece[] | 'end';
  unit(unit: MediaUnit): readonly Piece[];
}

export class StreamViewer implements UnitSink, Disposable {
  readonly #packer: Packer;
  readonly #pipe: ViewerPipe;
  readonly #slow = new SlowViewer();
  readonly #lease: OutletLease;
  #seat: UnitSeat | undefined;
  #ended = false;

  constructor(packer: Packer, pipe: ViewerPipe, lease: OutletLease) {
    this.#packer = packer;
    this.#pipe = pipe;
    this.#lease = lease;
    lease.onEnd = () => this.onEnd();
  }

  /** What is known since the last key frame is sent before this returns. */
  start(): void {
    const seat = this.#lease.stream.join(this);
    if (this.#ended) seat[Symbol.dispose]();
    else this.#seat = seat;
  }

  report(): { readonly sentBytes: number; readonly droppedUnits: number } {
    return { sentBytes: this.#pipe.sentBytes, droppedUnits: this.#slow.droppedUnits };
  }

  onTracks(tracks: MediaTracks): void {
    if (this.#ended) return;
    const answer = this.#packer.tracks(tracks);
    if (answer === 'end') return this.onEnd();
    this.#send(answer);
  }

  onUnit(unit: MediaUnit, now: Ms): void {
    if (this.#ended) return;
    const before = this.#slow.state;
    const admitted = this.#slow.admit(unit, this.#pipe.waitingBytes, now);
    if (before === 'flowing' && this.#slow.state === 'dropping') this.#seat?.wantKeyFrame();
    if (this.#slow.state === 'stalled') {
      this.#pipe.destroy();
      return this[Symbol.dispose]();
    }
    if (admitted) this.#send(this.#packer.unit(unit));
  }

  #send(pieces: readonly Piece[]): void {
    for (const piece of pieces) {
      if (typeof piece === 'string') this.#pipe.tell(piece);
      else this.#pipe.write(piece);
    }
  }

  onEnd(): void {
    if (this.#ended) return;
    this.#pipe.end();
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#seat?.[Symbol.dispose]();
    this.#lease[Symbol.dispose]();
  }
}
