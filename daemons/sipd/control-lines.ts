/** Controls on their way to cameras, one after the other for each channel: IO around core/gb/control-line. */
import { ControlLine, type Departure } from '#core/gb/control-line.ts';
import type { Motion } from '#core/gb/control-policy.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { ChannelRef } from './catalogs.ts';

export interface ControlLinesDeps {
  readonly clock: Clock;
  /** One message to the device; settles when it was answered or nobody did. */
  ask(deviceId: string, xml: string): Promise<unknown>;
}

interface Line {
  readonly line: ControlLine<string>;
  readonly alarm: Alarm;
}

export class ControlLines implements Disposable {
  readonly #deps: ControlLinesDeps;
  /** By device and channel; only while something is under way. */
  readonly #lines = new Map<string, Line>();
  #closed = false;

  constructor(deps: ControlLinesDeps) {
    this.#deps = deps;
  }

  /** What waits leaves no more. */
  [Symbol.dispose](): void {
    this.#closed = true;
    for (const { alarm } of this.#lines.values()) alarm[Symbol.dispose]();
    this.#lines.clear();
  }

  put(channel: ChannelRef, value: string, motion: Motion | undefined, stop: boolean): void {
    if (this.#closed) return;
    const key = `${channel.deviceId}\n${channel.channelId}`;
    let entry = this.#lines.get(key);
    if (entry === undefined) {
      const line = new ControlLine<string>();
      entry = { line, alarm: new Alarm(this.#deps.clock, () => this.#depart(key, channel, line.tick(this.#deps.clock.now()))) };
      this.#lines.set(key, entry);
    }
    this.#depart(key, channel, entry.line.put({ motion, stop, value }, this.#deps.clock.now()));
  }

  #depart(key: string, channel: ChannelRef, departure: Departure<string> | undefined): void {
    const entry = this.#lines.get(key);
    if (entry === undefined || this.#closed) return;
    if (departure !== undefined) {
      void this.#deps.ask(channel.deviceId, departure.value).then(() => this.#depart(key, channel, entry.line.answered(departure.ticket, this.#deps.clock.now())));
    }
    entry.alarm.arm(entry.line.deadline);
    if (entry.line.idle && this.#lines.get(key) === entry) this.#lines.delete(key);
  }
}
