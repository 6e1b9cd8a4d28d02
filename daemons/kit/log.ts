import { pino, type Logger } from 'pino';
import type { Clock } from './clock.ts';

export type Log = Logger;

const REDACTED = ['password', 'ha1', 'secret', 'authorization', 'Authorization', '*.password', '*.ha1', '*.secret', '*.authorization', '*.Authorization', '*.*.password', '*.*.ha1'];

/** One JSON line an event: `log.info({ deviceId }, 'device.online')`. The message is an event name; facts are fields with units in their names. */
export function createLog(daemon: string, level: string, fd = 1): Log {
  return pino({ name: daemon, level, base: { daemon }, redact: { paths: REDACTED, censor: '[redacted]' }, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd, sync: true }));
}

/** Loss and floods: counted on the hot path, said once a window. */
export class CountedLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #event: string;
  readonly #windowMs: number;
  readonly #level: 'warn' | 'debug';
  #count = 0;
  #nextAt = 0;

  constructor(log: Log, clock: Clock, event: string, windowMs = 1000, level: 'warn' | 'debug' = 'warn') {
    this.#log = log;
    this.#clock = clock;
    this.#event = event;
    this.#windowMs = windowMs;
    this.#level = level;
  }

  count(detail: Readonly<Record<string, string | number>> = {}, by = 1): void {
    this.#count += by;
    const now = this.#clock.now();
    if (now < this.#nextAt) return;
    this.#log[this.#level]({ ...detail, count: this.#count, windowMs: this.#windowMs }, this.#event);
    this.#count = 0;
    this.#nextAt = now + this.#windowMs;
  }
}
