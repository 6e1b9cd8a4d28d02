import { addMs } from '#core/units.ts';
import { systemClock } from '#kit/clock.ts';

export function pause(delayMs: number): Promise<void> {
  return new Promise(resolve => void systemClock.schedule(addMs(systemClock.now(), delayMs), resolve));
}
