/** Those who listen to events over HTTP (Server-Sent Events, HTML 9.2): what they missed first, then what happens, and a sign of life. */
import type { FastifyInstance, FastifyReply } from 'fastify';
import { GatewayError } from '#core/result.ts';
import { type Ms, addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Counters } from '#kit/counters.ts';
import { type Caller, maySee, seesAll } from './caller.ts';
import type { EventHub, KeptEvent } from './event-hub.ts';

const MAX_STREAMS = 128;
const MAX_PER_USER = 8;
const BEAT_MS = 15_000;
/** A listener who does not read is disconnected: it may come back with the ID of the last it has. */
const MAX_BEHIND_BYTES = 256 * 1024;

export interface StreamParts {
  readonly caller: Caller;
  readonly reply: FastifyReply;
  /** Empty: all. */
  readonly types: readonly string[];
  readonly lastId: string | undefined;
  /** He may still come in. */
  stillKnown(): boolean;
}

interface Stream {
  readonly user: string;
  readonly app: FastifyInstance;
  stillKnown(): boolean;
  end(): void;
}

export class Streams implements Disposable {
  readonly #clock: Clock;
  readonly #events: EventHub;
  readonly #counters: Counters;
  readonly #open = new Set<Stream>();

  constructor(clock: Clock, events: EventHub, counters: Counters) {
    this.#clock = clock;
    this.#events = events;
    this.#counters = counters;
  }

  [Symbol.dispose](): void {
    for (const stream of [...this.#open]) stream.end();
  }

  get size(): number {
    return this.#open.size;
  }

  /** Those that came in by this door, which is closed. */
  endOf(app: FastifyInstance): void {
    for (const stream of [...this.#open]) if (stream.app === app) stream.end();
  }

  /** Those of this user whose log-in or right is over, now and not with the next beat. */
  lookAgain(user: string): void {
    for (const stream of [...this.#open]) if (stream.user === user && !stream.stillKnown()) stream.end();
  }

  /** CAPACITY_EXHAUSTED. Returns at once; the answer goes on. */
  open({ caller, reply, types, lastId, stillKnown }: StreamParts): void {
    const own = [...this.#open].filter(({ user }) => user === caller.user).length;
    if (this.#open.size >= MAX_STREAMS || own >= MAX_PER_USER) throw new GatewayError('CAPACITY_EXHAUSTED', { why: 'too many listeners' });
    const { raw } = reply;
    reply.hijack();
    raw.writeHead(200, { ...(reply.getHeaders() as Record<string, string>), 'Content-Type': 'text/event-stream; charset=utf-8', 'X-Accel-Buffering': 'no' });
    const wanted = ({ event }: KeptEvent): boolean => (types.length === 0 || types.includes(event.type)) && isFor(caller, event.data);
    const write = (text: string): void => {
      if (raw.writableLength <= MAX_BEHIND_BYTES) return void raw.write(text);
      this.#counters.add('events.reader-too-slow');
      raw.destroy();
    };
    const { missed, events } = this.#events.since(lastId);
    if (missed) write('event: missed\ndata: {}\n\n');
    for (const each of events) if (wanted(each)) write(textOf(each));
    write(': listening\n\n');
    const listening = this.#events.listen(each => (wanted(each) ? write(textOf(each)) : undefined));
    const beat = new Beat(this.#clock, caller.until, () => {
      if (!stillKnown()) return void raw.end();
      write(': beat\n\n');
    });
    const stream: Stream = { user: caller.user, app: reply.server, stillKnown, end: () => void raw.end() };
    this.#open.add(stream);
    raw.once('close', () => {
      this.#open.delete(stream);
      listening[Symbol.dispose]();
      beat[Symbol.dispose]();
    });
  }
}

/** Every BEAT_MS, and when the token ends. */
class Beat implements Disposable {
  readonly #clock: Clock;
  readonly #until: Ms | null;
  readonly #run: () => void;
  #next: Disposable;

  constructor(clock: Clock, until: Ms | null, run: () => void) {
    this.#clock = clock;
    this.#until = until;
    this.#run = run;
    this.#next = this.#schedule();
  }

  [Symbol.dispose](): void {
    this.#next[Symbol.dispose]();
  }

  #schedule(): Disposable {
    const at = addMs(this.#clock.now(), BEAT_MS);
    return this.#clock.schedule(this.#until !== null && this.#until < at && this.#until > this.#clock.now() ? this.#until : at, () => {
      this.#next = this.#schedule();
      this.#run();
    });
  }
}

/** One line of data: JSON has no line ends of its own. */
const textOf = ({ id, event }: KeptEvent): string => `id: ${id}\nevent: ${event.type}\ndata: ${JSON.stringify({ atWallMs: event.atWallMs, ...event.data })}\n\n`;

/** Who may not see all hears of single channels and devices only where they are his. */
function isFor(caller: Caller, data: Readonly<Record<string, unknown>>): boolean {
  if (seesAll(caller)) return true;
  const { deviceId, channelId, channels } = data;
  if (typeof deviceId !== 'string' || Array.isArray(channels)) return false;
  return maySee(caller, deviceId, typeof channelId === 'string' ? channelId : '');
}
