/** One daemon of the gateway: what it counts, whether it answers, and how often it began anew. */
import { parseOpenFilesLimit } from '#core/health/linux/process.ts';
import { countedEvents, measureDaemon } from '#core/health/measure/daemons.ts';
import type { Measured } from '#core/health/model.ts';
import { GatewayError } from '#core/result.ts';
import type { Ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { AnswerOf, ParamsOf } from '#kit/rpc.ts';
import { RpcLink } from '#kit/rpc-link.ts';
import type { Sysroot } from './sysroot.ts';

/** One that hangs is not waited for longer: it does not answer. */
const PATIENCE_MS = 3000;
const LATELY_MS = 600_000;

type Counters = Readonly<Record<string, number>>;
/** What every daemon offers. */
export interface Counting {
  counters(params: Record<string, never>): Counters;
}

export interface DaemonLinkOptions<Requests> {
  readonly name: string;
  readonly socket: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly sysroot: Sysroot;
  /** It went or came: look at it now. */
  readonly onChange: () => void;
  /** What it counts; null: it does not answer. */
  readonly count: (link: DaemonLink<Requests>) => Promise<Counters | null>;
}

/** Of whatever contract. */
export interface MeasuredDaemon extends AsyncDisposable {
  readonly name: string;
  start(): Promise<void>;
  measure(): Promise<{ readonly figures: Measured; readonly events: Measured }>;
}

export class DaemonLink<Requests> implements MeasuredDaemon {
  readonly name: string;
  readonly #options: DaemonLinkOptions<Requests>;
  readonly #link: RpcLink<Requests>;
  #last: { readonly at: Ms; readonly counters: Counters } | null = null;
  #pid: number | undefined;
  #filesLimit: number | null = null;
  readonly #restarts: Ms[] = [];
  #restartCount = 0;

  constructor(options: DaemonLinkOptions<Requests>) {
    this.name = options.name;
    this.#options = options;
    this.#link = new RpcLink<Requests>(options.socket, { log: options.log, onUp: () => options.onChange(), onDown: () => options.onChange() });
  }

  start(): Promise<void> {
    return this.#link.start();
  }

  get up(): boolean {
    return this.#link.up;
  }

  /** Null: it does not answer. */
  async ask<Method extends keyof Requests & string>(method: Method, params: ParamsOf<Requests, Method>): Promise<AnswerOf<Requests, Method> | null> {
    try {
      return await this.#link.call(method, params, { timeoutMs: PATIENCE_MS });
    } catch (error) {
      if (error instanceof GatewayError) return null;
      throw error;
    }
  }

  /** Its own figures, and what it counts. */
  async measure(): Promise<{ readonly figures: Measured; readonly events: Measured }> {
    const { clock, sysroot } = this.#options;
    const counters = await this.#options.count(this);
    const now = clock.now();
    const pid = counters?.['process.pid'];
    const anew = pid !== undefined && this.#pid !== undefined && pid !== this.#pid;
    if (anew) this.#restarted(now);
    if (pid !== undefined && pid !== this.#pid) this.#filesLimit = sysroot.parsed(`/proc/${pid}/limits`, parseOpenFilesLimit) ?? null;
    this.#pid = pid ?? this.#pid;
    const before = anew ? null : this.#last;
    if (counters !== null) this.#last = { at: now, counters };
    while (this.#restarts.length > 0 && now - this.#restarts[0]! > LATELY_MS) this.#restarts.shift();
    const figures = measureDaemon({ name: this.name, counters, before: before?.counters ?? null, elapsedS: before === null ? 0 : (now - before.at) / 1000, restarts: this.#restartCount, restartsLately: this.#restarts.length, openFilesLimit: this.#filesLimit, wallMs: clock.wall() });
    return { figures, events: countedEvents(this.name, counters ?? {}) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#link[Symbol.asyncDispose]();
  }

  #restarted(now: Ms): void {
    this.#restartCount += 1;
    this.#restarts.push(now);
    this.#options.log.warn({ unit: this.name }, 'daemon.restarted');
  }
}
