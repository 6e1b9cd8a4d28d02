import { pino, type Logger } from 'pino';
import type { Clock } from './clock.ts';
import { LogSink } from './log-sink.ts';

export type Log = Logger;

const REDACTED = ['password', 'ha1', 'secret', 'authorization', 'Authorization', '*.password', '*.ha1', '*.secret', '*.authorization', '*.Authorization', '*.*.password', '*.*.ha1'];

/** One a descriptor: the lines of all logs of a process keep their order. */
const sinks = new Map<number, LogSink>();

function sinkOf(fd: number): LogSink {
  let sink = sinks.get(fd);
  if (sink === undefined) {
    const made = (sink = new LogSink(fd));
    sinks.set(fd, made);
    process.once('exit', () => made.end());
  }
  return sink;
}

/** One JSON line an event: `log.info({ deviceId }, 'device.online')`. The message is an event name; facts are fields with units in their names. */
export function createLog(daemon: string, level: string, fd = 1): Log {
  const sink = sinkOf(fd);
  const log = pino({ name: daemon, level, base: { daemon }, redact: { paths: REDACTED, censor: '[redacted]' }, timestamp: pino.stdTimeFunctions.isoTime }, sink);
  sink.onRecovered ??= dropped => log.warn({ dropped }, 'log.dropped');
  return log;
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
