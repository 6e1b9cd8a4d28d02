/** A camera that tells of one numbered alarm after another. What the gateway took with 200 has to arrive above, whatever happens. */
import { readAlarm } from '#core/gb/alarm.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { pause } from '../../simulators/common/names.ts';
import type { PairScene } from '../../lab/pair-scene.ts';

const EVERY_MS = 100;
const ARRIVE_MS = 15_000;
const LOOK_MS = 50;
const MARK = 'alarm of the bench ';

export class Alarms implements Disposable {
  readonly #scene: PairScene;
  readonly #timer: NodeJS.Timeout;
  readonly #taken = new Set<number>();
  #sent = 0;
  #read = 0;
  readonly #arrived = new Map<number, number>();
  /** Numbers go on from one to the next. */
  static #last = 0;

  constructor(scene: PairScene) {
    this.#scene = scene;
    this.#timer = setInterval(() => void this.#send(), EVERY_MS);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Waits for what is under way. Twice: came more than once. */
  async end(): Promise<{ readonly sent: number; readonly taken: number; readonly lost: number; readonly 'came twice': number }> {
    this[Symbol.dispose]();
    for (const limit = clock.now() + ARRIVE_MS; this.#lost() > 0 && clock.now() < limit; await pause(clock, LOOK_MS));
    return { sent: this.#sent, taken: this.#taken.size, lost: this.#lost(), 'came twice': [...this.#arrived.values()].filter(times => times > 1).length };
  }

  #lost(): number {
    const { notices } = this.#scene.platform;
    for (; this.#read < notices.length; this.#read++) {
      const { description } = readAlarm(notices[this.#read]!.element);
      const number = description?.startsWith(MARK) === true ? Number(description.slice(MARK.length)) : NaN;
      this.#arrived.set(number, (this.#arrived.get(number) ?? 0) + 1);
    }
    return [...this.#taken].filter(number => !this.#arrived.has(number)).length;
  }

  async #send(): Promise<void> {
    this.#sent += 1;
    const number = (Alarms.#last += 1);
    const time = new Date(clock.wall()).toISOString().slice(0, 19);
    const status = await this.#scene.camera.device.sendAlarm({ alarm: { priority: 1 + (number % 4), method: '5', time, description: `${MARK}${number}`, longitude: undefined, latitude: undefined, type: '6', eventType: undefined } });
    if (status === 200) this.#taken.add(number);
  }
}
