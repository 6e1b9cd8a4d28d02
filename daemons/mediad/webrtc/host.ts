/**
 * Keeps the thread that speaks WebRTC (thread.ts): starts it, watches that it answers, starts it anew when it ended. Its viewers end with it.
 *
 *   starting ──ready──► up ──error, exit, silent for `SILENT_MS`──► waiting ──delay──► starting
 *      └── port taken, no answer in time ─────────────────────────────►┘
 */
import { Worker } from 'node:worker_threads';
import type { MediaUnit } from '#core/media/unit.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { FromThread, RtcStats, RtcThreadData, ToThread } from './messages.ts';

const READY_MS = 20_000;
const OPEN_MS = 5000;
/** It reports every two seconds by itself. */
const SILENT_MS = 8000;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 10_000;
const MAX_HEAP_MB = 512;

export interface RtcSessionEvents {
  onConnected(remote: string): void;
  onKeyFrameWanted(): void;
  /** Once, whatever ended it. */
  onClosed(why: string): void;
}

export interface RtcHostOptions extends RtcThreadData {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

interface Session {
  readonly events: RtcSessionEvents;
  readonly answer: PromiseWithResolvers<string>;
  stats: RtcStats | undefined;
}

export class RtcHost implements AsyncDisposable {
  readonly #options: RtcHostOptions;
  readonly #sessions = new Map<string, Session>();
  #worker: Worker | undefined;
  #up = false;
  #ready = Promise.withResolvers<void>();
  #watch: Disposable | undefined;
  #delayMs = FIRST_DELAY_MS;
  #counters: Readonly<Record<string, number>> = {};
  #deaths = 0;
  /** Bound in the end; 0 before. */
  port = 0;

  constructor(options: RtcHostOptions) {
    this.#options = options;
    this.#ready.promise.catch(() => undefined);
    this.#start();
  }

  /** When it first listens; rejects with a GatewayError when it cannot. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  counters(): Readonly<Record<string, number>> {
    return { ...this.#counters, 'webrtc.sessions': this.#sessions.size, 'webrtc.thread-deaths': this.#deaths };
  }

  statsOf(id: string): RtcStats | undefined {
    return this.#sessions.get(id)?.stats;
  }

  /** The answer to an offer; BAD_REQUEST when it cannot be served, MEDIA_UNAVAILABLE while the thread is down. */
  async open(params: Omit<Extract<ToThread, { type: 'open' }>, 'type' | 'id'>, events: RtcSessionEvents): Promise<{ readonly id: string; readonly answer: string }> {
    if (!this.#up) throw new GatewayError('MEDIA_UNAVAILABLE', { why: 'WebRTC is not ready' });
    const { clock, random } = this.#options;
    const id = random.hex(16);
    const session: Session = { events, answer: Promise.withResolvers(), stats: undefined };
    this.#sessions.set(id, session);
    this.#post({ type: 'open', id, ...params });
    using _limit = clock.schedule(addMs(clock.now(), OPEN_MS), () => session.answer.reject(new GatewayError('MEDIA_UNAVAILABLE', { why: 'WebRTC does not answer' })));
    try {
      return { id, answer: await session.answer.promise };
    } catch (error) {
      this.#sessions.delete(id);
      this.#post({ type: 'close', id, why: 'not answered in time' });
      throw error;
    }
  }

  burst(id: string, units: readonly MediaUnit[]): void {
    const copies = units.map(copyOf);
    this.#post({ type: 'burst', id, units: copies }, copies);
  }

  unit(id: string, unit: MediaUnit): void {
    const copy = copyOf(unit);
    this.#post({ type: 'unit', id, unit: copy }, [copy]);
  }

  /** `onClosed` follows. */
  close(id: string, why: string): void {
    if (this.#sessions.has(id)) this.#post({ type: 'close', id, why });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    const worker = this.#worker;
    this.#down('the gateway stops');
    await worker?.terminate();
  }

  #start(): void {
    const { address, candidate, port, clock, log } = this.#options;
    const worker = new Worker(new URL('thread.ts', import.meta.url), { workerData: { address, candidate, port } satisfies RtcThreadData, resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB } });
    this.#worker = worker;
    const ended = (why: string): void => {
      if (this.#worker !== worker) return;
      log.error({ why }, 'webrtc.thread-ended');
      this.#ready.reject(new GatewayError('MEDIA_UNAVAILABLE', { outlet: 'webrtc', address, port, why }));
      this.#deaths += 1;
      this.#down('WebRTC ended');
      void worker.terminate();
      this.#watch = clock.schedule(addMs(clock.now(), this.#delayMs), () => this.#start());
      this.#delayMs = Math.min(this.#delayMs * 2, LONGEST_DELAY_MS);
    };
    worker.on('error', error => ended(error instanceof Error ? error.message : String(error)));
    worker.on('exit', code => ended(`exit ${code}`));
    worker.on('message', (message: FromThread) => {
      if (this.#worker === worker) this.#onMessage(message, ended);
    });
    this.#watchFor(READY_MS, ended);
  }

  #watchFor(limitMs: number, ended: (why: string) => void): void {
    this.#watch?.[Symbol.dispose]();
    const { clock } = this.#options;
    this.#watch = clock.schedule(addMs(clock.now(), limitMs), () => ended('it does not answer'));
  }

  #onMessage(message: FromThread, ended: (why: string) => void): void {
    this.#watchFor(SILENT_MS, ended);
    if (message.type === 'ready') {
      this.#up = true;
      this.#delayMs = FIRST_DELAY_MS;
      this.port = message.port;
      this.#options.log.info({ address: this.#options.address, port: message.port }, 'webrtc.listening');
      return this.#ready.resolve();
    }
    if (message.type === 'stats') {
      this.#counters = message.counters;
      for (const stats of message.sessions) {
        const session = this.#sessions.get(stats.id);
        if (session !== undefined) session.stats = stats;
      }
      return;
    }
    const session = this.#sessions.get(message.id);
    if (session === undefined) return;
    if (message.type === 'opened') session.answer.resolve(message.answer);
    else if (message.type === 'refused') session.answer.reject(new GatewayError('BAD_REQUEST', { why: message.why }));
    else if (message.type === 'connected') session.events.onConnected(message.remote);
    else if (message.type === 'key-frame-wanted') session.events.onKeyFrameWanted();
    else {
      this.#sessions.delete(message.id);
      session.events.onClosed(message.why);
    }
  }

  #down(why: string): void {
    this.#worker = undefined;
    this.#up = false;
    this.#watch?.[Symbol.dispose]();
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const { events, answer } of sessions) {
      answer.promise.catch(() => undefined);
      answer.reject(new GatewayError('MEDIA_UNAVAILABLE', { why }));
      events.onClosed(why);
    }
  }

  #post(message: ToThread, units: readonly MediaUnit[] = []): void {
    this.#worker?.postMessage(message, units.map(({ bytes }) => bytes.buffer as ArrayBuffer));
  }
}

/** Bytes of its own, to be handed over: a unit may be a view of much more memory. */
const copyOf = ({ kind, codec, pts90k, dts90k, keyFrame, damaged, bytes }: MediaUnit): MediaUnit => ({ kind, codec, pts90k, dts90k, keyFrame, damaged, bytes: Uint8Array.from(bytes) });
