/**
 * The units of one bridge: made only while somebody takes them (unit-stream.ts), from the packets of its source leg or by a unit source
 * (unit-source.ts).
 *
 *   off ──first taker joins: what was kept since the last key picture is read first──► reading every batch
 *    ▲                                                                                    │ last one leaves ▲ another joins
 *    └──────────────────────────────────── nobody came in `LINGER_MS` ──────────────────── lingering
 */
import type { MediaFormat } from '#contracts/mediad.ts';
import { type Ms, NEVER, addMs } from '#core/units.ts';
import { Alarm } from '#kit/clock.ts';
import type { Plane } from './leg.ts';
import { MediaBatch } from './media-batch.ts';
import { UnitHub } from './unit-hub.ts';
import { EsReader, PsReader, type UnitReader, type UnitTaker } from './unit-reader.ts';

/** Who looks, goes and comes back (snapshots, reconnecting players) finds its key frame. */
const LINGER_MS = 5000;

export interface BridgeUnitsOptions {
  readonly plane: Plane;
  readonly bridgeId: string;
  readonly onKeyPictureWanted: () => void;
  /** Adds the packets since the last key picture, or those of that picture alone (`behind`), as far as they were kept. */
  readonly held: (packets: MediaBatch, now: Ms) => 'nothing' | 'live' | 'behind';
  /** The tap is wanted, or no more. */
  readonly onTaken: (taken: boolean) => void;
}

export class BridgeUnits {
  readonly hub: UnitHub;
  readonly #options: BridgeUnitsOptions;
  readonly #taker: UnitTaker;
  #reader: UnitReader | undefined;
  #format: MediaFormat = 'ps';
  #formatParameters: string | undefined;
  readonly #alarm: Alarm;

  constructor(options: BridgeUnitsOptions) {
    this.#options = options;
    const { plane, onKeyPictureWanted } = options;
    this.#alarm = new Alarm(plane.clock, () => this.#onNobody());
    const hub = new UnitHub({
      clock: plane.clock,
      gopBytes: () => plane.gopBytes,
      onTaken: taken => this.#onTaken(taken),
      onKeyFrameWanted: onKeyPictureWanted,
    });
    this.hub = hub;
    this.#taker = { take: (unit, now) => hub.take(unit, now), gap: now => hub.gap(now), promise: promised => hub.promise(promised), learn: (codec, sets) => hub.intake.learn(codec, sets) };
  }

  /** What the source's packets are. */
  setFormat({ format, formatParameters }: { readonly format: MediaFormat; readonly formatParameters: string | undefined }): void {
    if (format === this.#format && formatParameters === this.#formatParameters) return;
    this.#format = format;
    this.#formatParameters = formatParameters;
    if (this.#reader !== undefined) this.#reader = this.#newReader();
  }

  read(batch: MediaBatch, now: Ms): void {
    this.#reader?.read(batch, now);
  }

  #newReader(): UnitReader {
    return this.#format === 'ps' ? new PsReader(this.#taker) : new EsReader(this.#taker, this.#format, this.#formatParameters);
  }

  /** Nothing follows. */
  end(why: string): void {
    this.#alarm[Symbol.dispose]();
    this.#reader = undefined;
    this.hub.end(why);
  }

  #onTaken(taken: boolean): void {
    const now = this.#options.plane.clock.now();
    if (!taken) return this.#alarm.arm(addMs(now, LINGER_MS));
    this.#alarm.arm(NEVER);
    if (this.#reader !== undefined) return;
    this.#reader = this.#newReader();
    const { plane, bridgeId, held } = this.#options;
    const packets = new MediaBatch();
    const kept = held(packets, now);
    this.#reader.read(packets, now);
    // What follows is built on pictures that were not kept.
    if (kept === 'behind') this.#reader.gap(now);
    plane.counters.countEvent(`units.taken.${kept}`);
    plane.log.debug({ bridgeId, format: this.#format, kept }, 'units.taken');
    this.#options.onTaken(true);
  }

  #onNobody(): void {
    const { plane, bridgeId } = this.#options;
    const { pictures, sounds, picturesHeld, freezes, frozenMs, badSounds } = this.hub.stats(plane.clock.now());
    plane.log.info({ bridgeId, pictures, sounds, picturesHeld, freezes, frozenMs, badSounds }, 'units.left');
    this.#reader = undefined;
    this.hub.restart();
    this.#options.onTaken(false);
  }
}
