/** Looks at a stream like any taker until it is clear what it has, or time is up. */
import type { SourceTracks } from '#contracts/mediad.ts';
import type { MediaTracks } from '#core/media/unit.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { UnitStream } from './unit-stream.ts';

/** Nulls when it is not clear within `withinMs`, or the stream ends. */
export function tracksOf(stream: UnitStream, clock: Clock, withinMs: number): Promise<SourceTracks> {
  return new Promise(resolve => {
    let known = false;
    const done = (tracks: MediaTracks | null): void => {
      known = true;
      timer[Symbol.dispose]();
      seat?.[Symbol.dispose]();
      resolve({ video: tracks?.video?.codec ?? null, audio: tracks?.audio?.codec ?? null });
    };
    const timer = clock.schedule(addMs(clock.now(), withinMs), () => done(null));
    let seat: Disposable | undefined;
    seat = stream.join({ onTracks: done, onUnit: () => undefined, onEnd: () => done(null) });
    if (known) seat[Symbol.dispose]();
  });
}
