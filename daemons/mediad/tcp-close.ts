import type { Socket } from 'node:net';
import type { Clock } from '#kit/clock.ts';
import { addMs } from '#core/units.ts';

/** What is queued may still leave for this long. */
const LINGER_MS = 300;

/** Ends when the descriptor is free. Sends what is queued first, but waits for no peer. */
export function closeSoon(socket: Socket, clock: Clock): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise(resolve => {
    const limit = clock.schedule(addMs(clock.now(), LINGER_MS), () => socket.destroy());
    socket.once('close', () => {
      limit[Symbol.dispose]();
      resolve();
    });
    socket.destroySoon();
  });
}

/** Ends when the descriptor is free; what came or waits is thrown away. */
export function closeNow(socket: Socket): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise(resolve => {
    socket.once('close', () => resolve());
    socket.destroy();
  });
}
