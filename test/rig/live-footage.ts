/** Test footage as the stream of a bridge, in real time and round again: for takers of units without a camera. */
import type { MediaUnit } from '#core/media/unit.ts';
import { addMs } from '#core/units.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { UnitHub } from '../../daemons/mediad/unit-hub.ts';
import type { FootageName } from '../../scripts/media/footage.ts';
import { footageUnits } from './media-units.ts';

const PICTURE_TICKS = 3600;
const PICTURE_MS = 40;

export class LiveFootage implements Disposable {
  readonly stream: UnitHub;
  readonly #units: readonly MediaUnit[];
  readonly #roundTicks: number;
  readonly #startedAt = clock.now();
  #at = 0;
  #timer: Disposable | undefined;
  keyFramesWanted = 0;
  /** May change a unit before it is given. */
  spoil: (unit: MediaUnit) => MediaUnit = unit => unit;

  /** Runs at once. */
  static async start(name: FootageName, spoil?: LiveFootage['spoil']): Promise<LiveFootage> {
    const { units, pictures } = await footageUnits(name);
    const live = new LiveFootage(units, pictures * PICTURE_TICKS);
    if (spoil !== undefined) live.spoil = spoil;
    live.#next();
    return live;
  }

  private constructor(units: readonly MediaUnit[], roundTicks: number) {
    this.#units = units;
    this.#roundTicks = roundTicks;
    this.stream = new UnitHub({ clock, onTaken: () => undefined, onKeyFrameWanted: () => void (this.keyFramesWanted += 1) });
    this.stream.promise({ video: units.some(({ kind }) => kind === 'video'), audio: units.some(({ kind }) => kind === 'audio') });
  }

  end(why: string): void {
    this[Symbol.dispose]();
    this.stream.end(why);
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
  }

  /** Everything of one picture's time. */
  #next(): void {
    const now = clock.now();
    const elapsed = Math.floor((now - this.#startedAt) / PICTURE_MS) + 1;
    while (this.#position() < elapsed * PICTURE_TICKS) {
      const unit = this.#units[this.#at % this.#units.length]!;
      const shift = Math.floor(this.#at / this.#units.length) * this.#roundTicks;
      this.#at += 1;
      this.stream.take(this.spoil({ ...unit, pts90k: unit.pts90k + shift, dts90k: unit.dts90k + shift }), now);
    }
    this.#timer = clock.schedule(addMs(this.#startedAt, elapsed * PICTURE_MS), () => this.#next());
  }

  #position(): number {
    return this.#units[this.#at % this.#units.length]!.dts90k + Math.floor(this.#at / this.#units.length) * this.#roundTicks;
  }
}
