/** Whose REGISTER was refused last, and why: for `vlink why` and the log. */
import type { RegisterAnswer } from '#core/gb/register-rules.ts';
import type { Ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { CountedLog, type Log } from '#kit/log.ts';
import type { Flow } from '#kit/sip-endpoint.ts';
import type { Refusal } from './why.ts';

const MAX_REFUSALS = 1000;
/** Of a refused ID: anybody may send one, of any length. */
const MAX_REFUSED_ID = 64;

export class DeviceRefusals {
  readonly #clock: Clock;
  readonly #log: CountedLog;
  readonly #latest = new Map<string, Omit<Refusal, 'deviceId' | 'ageMs'> & { readonly at: Ms }>();

  constructor(log: Log, clock: Clock) {
    this.#clock = clock;
    this.#log = new CountedLog(log, clock, 'device.refused');
  }

  /** Each answer to a REGISTER: one that was accepted is refused no more. */
  answered(id: string, { status, why }: RegisterAnswer, { remoteAddress, remotePort }: Flow): void {
    // A copy: a substring would keep the whole message in memory.
    const deviceId = Buffer.from(id.slice(0, MAX_REFUSED_ID)).toString();
    if (status === 200) return void this.#latest.delete(deviceId);
    if (status === 401) return;
    this.#latest.delete(deviceId);
    this.#latest.set(deviceId, { status: status ?? 0, why, from: `${remoteAddress}:${remotePort}`, at: this.#clock.now() });
    if (this.#latest.size > MAX_REFUSALS) this.#latest.delete(this.#latest.keys().next().value!);
    this.#log.count({ deviceId, status: status ?? 0, why, address: remoteAddress });
  }

  /** Latest refusal of each device, newest last. */
  rows(): Refusal[] {
    const now = this.#clock.now();
    return [...this.#latest].map(([deviceId, { at, ...refusal }]) => ({ deviceId, ...refusal, ageMs: now - at }));
  }
}
