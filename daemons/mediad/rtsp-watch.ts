/**
 * Which RTSP inlets can be reached: each is asked for its OPTIONS now and then, without credentials.
 *
 *   unknown ──answers anything of RTSP──► online ──twice no answer──► offline ──answers──► online
 *      └── no answer ──► offline
 */
import { type Socket, connect } from 'node:net';
import type { Endpoint, InletRow } from '#contracts/mediad.ts';
import type { InletConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { NO_BODY, serialize } from '#core/rtsp/message.ts';
import { RtspReader } from '#core/rtsp/reader.ts';
import { type Ms, addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import { rtspTarget } from './source-rtsp.ts';

const EVERY_MS = 15_000;
/** First looks are spread over this. */
const SPREAD_MS = 1000;
const ANSWER_MS = 4000;
const MISSES = 2;
const MAX_AT_ONCE = 32;

export interface RtspWatchOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly localAddress: string | undefined;
  readonly everyMs?: number;
  onOnline(inletId: string, remote: Endpoint): void;
  onOffline(inletId: string, why: string): void;
}

interface Watched {
  readonly inlet: InletConfig;
  state: 'unknown' | 'online' | 'offline';
  misses: number;
  since: Ms;
  dueAt: Ms;
}

export class RtspWatch implements Disposable {
  readonly #options: RtspWatchOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #asking = new Map<Socket, Watched>();
  #timer: Disposable | undefined;
  #closed = false;

  constructor(options: RtspWatchOptions) {
    this.#options = options;
  }

  /** The inlets as they are configured now; others are forgotten. */
  configure(inlets: readonly InletConfig[]): void {
    const { clock, random } = this.#options;
    const wanted = new Map(inlets.filter(({ kind }) => kind === 'rtsp').map(inlet => [inlet.id, inlet]));
    for (const [id, { inlet, state }] of this.#watched) {
      if (wanted.get(id)?.url === inlet.url) continue;
      this.#watched.delete(id);
      if (state === 'online') this.#options.onOffline(id, 'no longer configured so');
    }
    const now = clock.now();
    for (const [id, inlet] of wanted) {
      if (!this.#watched.has(id)) this.#watched.set(id, { inlet, state: 'unknown', misses: 0, since: now, dueAt: addMs(now, random.int(SPREAD_MS)) });
    }
    this.#arm();
  }

  rows(): readonly InletRow[] {
    const now = this.#options.clock.now();
    return [...this.#watched.values()].filter(({ state }) => state === 'online').map(({ inlet, since }) => {
      const { address, port } = rtspTarget(inlet, 0);
      return { inletId: inlet.id, remote: { address, port }, ageMs: Math.round(now - since), codecs: [], bytes: 0, bridges: 0 };
    });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    for (const socket of this.#asking.keys()) socket.destroy();
  }

  #arm(): void {
    if (this.#closed) return;
    this.#timer?.[Symbol.dispose]();
    const asked = new Set(this.#asking.values());
    const waiting = [...this.#watched.values()].filter(watched => !asked.has(watched));
    if (waiting.length === 0 || this.#asking.size >= MAX_AT_ONCE) return;
    const next = waiting.reduce((first, watched) => (watched.dueAt < first.dueAt ? watched : first));
    this.#timer = this.#options.clock.schedule(next.dueAt, () => {
      this.#ask(next);
      this.#arm();
    });
  }

  #ask(watched: Watched): void {
    const { clock, localAddress } = this.#options;
    const reader = new RtspReader();
    let done: ((why: string | null) => void) | undefined;
    const target = this.#targetOf(watched.inlet);
    if (typeof target === 'string') return this.#told(watched, target);
    const { url, address, port } = target;
    const socket = connect({ host: address, port, ...(localAddress === undefined ? {} : { localAddress }) });
    const limit = clock.schedule(addMs(clock.now(), ANSWER_MS), () => done?.(`no answer in ${ANSWER_MS} ms`));
    this.#asking.set(socket, watched);
    done = why => {
      done = undefined;
      limit[Symbol.dispose]();
      socket.destroy();
      this.#asking.delete(socket);
      if (!this.#closed) this.#told(watched, why);
      this.#arm();
    };
    socket.on('connect', () => socket.write(serialize({ kind: 'request', method: 'OPTIONS', uri: url, headers: [{ name: 'CSeq', value: '1' }, { name: 'User-Agent', value: 'ViewLink Gateway' }], body: NO_BODY })));
    socket.on('data', (chunk: Buffer) => {
      if (reader.push(chunk).some(({ kind }) => kind === 'response')) done?.(null);
      else if (reader.error !== undefined) done?.('it does not speak RTSP');
    });
    socket.on('error', error => done?.((error as NodeJS.ErrnoException).code ?? error.message));
    socket.on('close', () => done?.('it closed the connection'));
  }

  #targetOf(inlet: InletConfig): ReturnType<typeof rtspTarget> | string {
    try {
      return rtspTarget(inlet, 0);
    } catch (error) {
      if (error instanceof GatewayError) return error.message;
      throw error;
    }
  }

  #told(watched: Watched, why: string | null): void {
    const { clock, everyMs = EVERY_MS, log, onOnline, onOffline } = this.#options;
    const now = clock.now();
    watched.dueAt = addMs(now, everyMs);
    watched.misses = why === null ? 0 : watched.misses + 1;
    if (this.#watched.get(watched.inlet.id) !== watched) return;
    const before = watched.state;
    if (why === null) watched.state = 'online';
    else if (before === 'unknown' || watched.misses >= MISSES) watched.state = 'offline';
    if (watched.state === before) return;
    watched.since = now;
    log.info({ inletId: watched.inlet.id, state: watched.state, why }, 'inlet.state');
    const target = this.#targetOf(watched.inlet);
    if (watched.state === 'online' && typeof target !== 'string') onOnline(watched.inlet.id, { address: target.address, port: target.port });
    else onOffline(watched.inlet.id, why ?? '');
  }
}
