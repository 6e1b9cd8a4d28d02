/** The beat of healthd: what is cheap every second, the rest every ten, what is slow when its time comes. One second late is one second later, never twice. */
import { addMs } from '#core/units.ts';
import { Gathering, type Measured } from '#core/health/model.ts';
import { measurePeers } from '#core/health/measure/daemons.ts';
import { measureClock } from '#core/health/measure/hardware.ts';
import { observeOrigin } from '#core/health/measure/service.ts';
import type { ClockState } from '#core/health/linux/clock.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import { peersAreKnown } from '#kit/peer-credentials.ts';
import type { AlarmBook } from './alarm-book.ts';
import type { DaemonCollector } from './collect-daemons.ts';
import type { InventoryCollector } from './collect-inventory.ts';
import type { NodeCollector } from './collect-node.ts';
import type { HistoryStore } from './history-store.ts';
import type { Watch } from './watch.ts';

const SECOND_MS = 1000;
const TEN = 10;
const MINUTE = 60;
/** A clock that was set is told for so long. */
const STEP_SHOWN_MS = 600_000;

export interface SamplerOptions {
  readonly clock: Clock;
  readonly watch: Watch;
  readonly history: HistoryStore;
  readonly alarms: AlarmBook;
  readonly node: NodeCollector;
  readonly daemons: DaemonCollector;
  readonly inventory: InventoryCollector;
  readonly inventoryS: () => number;
}

export class Sampler implements Disposable {
  readonly #options: SamplerOptions;
  readonly #timer: Alarm;
  #seconds = 0;
  #inventoryAt = 0;
  #steps: { readonly at: number; readonly byMs: number }[] = [];
  #stepCount = 0;
  #clockState: ClockState | undefined;

  constructor(options: SamplerOptions) {
    this.#options = options;
    this.#timer = new Alarm(options.clock, () => this.#beat());
  }

  start(): void {
    this.#beat();
  }

  [Symbol.dispose](): void {
    this.#timer[Symbol.dispose]();
  }

  #beat(): void {
    const { clock, watch, node, daemons } = this.#options;
    this.#timer.arm(addMs(clock.now(), SECOND_MS));
    this.#followClock();
    watch.take('node-second', node.everySecond(clock.now()));
    daemons.everySecond();
    if (this.#seconds % TEN === 0) {
      watch.take('node', node.everyTenSeconds(clock.now()));
      watch.take('own', this.#own());
      daemons.everyTenSeconds();
    }
    if (this.#seconds % MINUTE === 0) void this.#askClock();
    if (this.#seconds >= this.#inventoryAt) this.#takeInventory();
    watch.tick();
    this.#seconds += 1;
  }

  #followClock(): void {
    const { clock, history } = this.#options;
    const byMs = history.followClock();
    const now = clock.now();
    if (byMs !== 0) {
      this.#stepCount += 1;
      this.#steps.push({ at: now, byMs: Math.abs(byMs) });
    }
    this.#steps = this.#steps.filter(({ at }) => now - at < STEP_SHOWN_MS);
  }

  #takeInventory(): void {
    const { inventory, inventoryS, watch } = this.#options;
    this.#inventoryAt = this.#seconds + inventoryS();
    void inventory.read().then(measured => watch.take('inventory', measured));
  }

  async #askClock(): Promise<void> {
    this.#clockState = await this.#options.inventory.clockState();
  }

  /** The clock, our own databases, and who asks us. */
  #own(): Measured {
    const { clock, history, alarms } = this.#options;
    const found = new Gathering();
    found.add(measureClock({ atWallMs: clock.wall(), state: this.#clockState, steppedMs: this.#steps.reduce((most, { byMs }) => Math.max(most, byMs), 0), steps: this.#stepCount }));
    found.add(measurePeers('healthd', peersAreKnown()));
    const { bytes, failing, durable, lostMinutes } = history.figures;
    found.sample('viewlink_history_bytes', {}, bytes);
    found.observe('store.failing', 'store:history', failing !== null || !durable ? 1 : 0, failing !== null ? `${failing}, ${lostMinutes} minutes lost` : durable ? `${Math.round(bytes / 1e6)} MB` : 'it could not be opened and lives in memory only');
    found.observe('store.failing', 'store:alarms', alarms.isFailing ? 1 : 0, alarms.isFailing ? 'alarms are kept in memory only' : 'writes reach the disk');
    observeOrigin(found, 'alarms', alarms.origin);
    return found;
  }
}
