/** Channels that are pushed to RTMP servers for as long as the configuration says so (core/rtmp/push-course). */
import { connect, type Socket } from 'node:net';
import type { PushRow } from '#contracts/mediad.ts';
import { diffList } from '#core/config/diff.ts';
import type { OutletPushConfig } from '#core/config/schema.ts';
import { parseOutletPath } from '#core/outlets/outlet-path.ts';
import { GatewayError } from '#core/result.ts';
import { HANDSHAKE_RANDOM_BYTES } from '#core/rtmp/handshake.ts';
import { type ClientEvent, RtmpClientSession } from '#core/rtmp/client-session.ts';
import { PushCourse } from '#core/rtmp/push-course.ts';
import { type RtmpUrl, parseRtmpUrl } from '#core/rtmp/url.ts';
import { type Ms, addMs } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { OutletDoor } from './outlet-door.ts';
import { RtmpPacker, RtmpPipe } from './rtmp-pipe.ts';
import { StreamViewer } from './stream-viewer.ts';
import { closeSoon } from './tcp-close.ts';

const CONNECT_MS = 5000;
const KEEPALIVE_MS = 15_000;

export interface RtmpPushesOptions {
  readonly door: OutletDoor;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly count: (name: string) => void;
}

/** One attempt: a connection, its session, and the channel. */
class Attempt {
  readonly socket: Socket;
  readonly session: RtmpClientSession;
  viewer: StreamViewer | undefined;
  over = false;

  constructor(socket: Socket, session: RtmpClientSession) {
    this.socket = socket;
    this.session = session;
  }

  flush(): void {
    const parts = this.session.drain();
    if (parts.length === 0 || !this.socket.writable) return;
    this.socket.cork();
    for (const part of parts) this.socket.write(part);
    this.socket.uncork();
  }
}

class RtmpPush {
  readonly #config: OutletPushConfig;
  readonly #url: RtmpUrl;
  readonly #options: RtmpPushesOptions;
  readonly #course: PushCourse;
  readonly #alarm: Alarm;
  #attempt: Attempt | undefined;
  #stateSince: Ms;
  /** Of attempts before this one. */
  #sentBytes = 0;
  #failures = 0;
  #why: string | null = null;

  constructor(config: OutletPushConfig, url: RtmpUrl, options: RtmpPushesOptions) {
    this.#config = config;
    this.#url = url;
    this.#options = options;
    this.#course = new PushCourse(config.retryS * 1000);
    this.#alarm = new Alarm(options.clock, () => this.#tick());
    this.#stateSince = options.clock.now();
    this.#course.start();
    this.#connect();
  }

  get isPushing(): boolean {
    return this.#course.state === 'pushing';
  }

  row(): PushRow {
    const { channel, streamNumber } = this.#config;
    const sentBytes = this.#sentBytes + (this.#attempt?.viewer?.report().sentBytes ?? 0);
    return { channel, streamNumber, server: this.#url.shown, state: this.#course.state, ageMs: Math.round(this.#options.clock.now() - this.#stateSince), sentBytes, failures: this.#failures, why: this.#why };
  }

  stop(): Promise<void> {
    this.#course.stop();
    this.#alarm[Symbol.dispose]();
    return this.#giveUp(this.#attempt);
  }

  #tick(): void {
    const { clock } = this.#options;
    const now = clock.now();
    if (this.#course.tick(now)) return this.#connect();
    const attempt = this.#attempt;
    if (attempt !== undefined && this.#course.state === 'connecting') this.#run(attempt, attempt.session.tick(now));
    this.#arm();
  }

  #arm(): void {
    const session = this.#attempt?.session.deadline;
    this.#alarm.arm(session === undefined ? this.#course.deadline : (Math.min(session, this.#course.deadline) as Ms));
  }

  #connect(): void {
    const { clock, random } = this.#options;
    const now = clock.now();
    this.#stateSince = now;
    const { address, port, target } = this.#url;
    const socket = connect({ host: address, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS });
    const attempt = new Attempt(socket, new RtmpClientSession('publish', target, random.bytes(HANDSHAKE_RANDOM_BYTES), now));
    this.#attempt = attempt;
    let why = 'the server closed';
    const limit = clock.schedule(addMs(now, CONNECT_MS), () => {
      why = 'no connection in time';
      socket.destroy();
    });
    socket.once('connect', () => {
      limit[Symbol.dispose]();
      attempt.flush();
    });
    socket.on('data', bytes => this.#run(attempt, attempt.session.push(bytes, clock.now())));
    socket.on('error', (error: NodeJS.ErrnoException) => (why = error.code ?? error.message));
    socket.once('close', () => {
      limit[Symbol.dispose]();
      this.#failed(attempt, why);
    });
    this.#arm();
  }

  #run(attempt: Attempt, events: readonly ClientEvent[]): void {
    attempt.flush();
    for (const event of events) {
      if (event.type === 'running') void this.#open(attempt);
      else if (event.type === 'closed') this.#failed(attempt, event.why);
    }
    this.#arm();
  }

  async #open(attempt: Attempt): Promise<void> {
    const { door, clock, log, count } = this.#options;
    const { channel, streamNumber, hevc } = this.#config;
    if (!this.#course.taken()) return;
    this.#stateSince = clock.now();
    const path = parseOutletPath(`/live/${channel}?stream=${streamNumber}`);
    try {
      if (!path.ok) throw new GatewayError('BAD_REQUEST', { channel, why: path.error.why });
      const lease = await door.open(path.value, { protocol: 'push', remote: `${this.#url.address}:${this.#url.port}`, report: () => attempt.viewer?.report() ?? { sentBytes: 0, droppedUnits: 0 } });
      if (attempt.over || !this.#course.opened(clock.now())) return lease[Symbol.dispose]();
      this.#stateSince = clock.now();
      attempt.viewer = new StreamViewer(new RtmpPacker(attempt.session, hevc), new RtmpPipe(attempt.socket, attempt.session, clock), lease);
      attempt.viewer.start();
      count('outlet.push.begun');
      log.info({ channel, server: this.#url.shown }, 'push.running');
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      this.#failed(attempt, error.code);
    }
  }

  #failed(attempt: Attempt, why: string): void {
    if (attempt.over) return;
    const { clock, log, count } = this.#options;
    void this.#giveUp(attempt);
    const waitMs = this.#course.failed(clock.now());
    if (waitMs === undefined) return;
    this.#stateSince = clock.now();
    this.#failures += 1;
    this.#why = why;
    count('outlet.push.failed');
    log.warn({ channel: this.#config.channel, server: this.#url.shown, why, retryMs: waitMs }, 'push.failed');
    this.#arm();
  }

  async #giveUp(attempt: Attempt | undefined): Promise<void> {
    if (attempt === undefined || attempt.over) return;
    attempt.over = true;
    if (this.#attempt === attempt) this.#attempt = undefined;
    this.#sentBytes += attempt.viewer?.report().sentBytes ?? 0;
    attempt.viewer?.[Symbol.dispose]();
    attempt.session.end();
    attempt.flush();
    await closeSoon(attempt.socket, this.#options.clock);
  }
}

const keyOf = ({ channel, streamNumber, url }: OutletPushConfig): string => `${channel} ${streamNumber} ${url}`;

export class RtmpPushes implements AsyncDisposable {
  readonly #options: RtmpPushesOptions;
  readonly #running = new Map<string, RtmpPush>();
  #config: readonly OutletPushConfig[] = [];

  constructor(options: RtmpPushesOptions) {
    this.#options = options;
  }

  counters(): Readonly<Record<string, number>> {
    const running = [...this.#running.values()];
    return running.length === 0 ? {} : { 'outlet.pushes': running.length, 'outlet.pushes.running': running.filter(push => push.isPushing).length };
  }

  rows(): readonly PushRow[] {
    return [...this.#running.values()].map(push => push.row());
  }

  /** From now on these and no others. */
  configure(config: readonly OutletPushConfig[]): void {
    const { added, removed, changed } = diffList(this.#config, config, keyOf);
    this.#config = config;
    for (const entry of [...removed, ...changed.map(({ before }) => before)]) {
      void this.#running.get(keyOf(entry))?.stop();
      this.#running.delete(keyOf(entry));
    }
    for (const entry of [...added, ...changed.map(({ after }) => after)]) {
      const url = parseRtmpUrl(entry.url);
      if (url.ok) this.#running.set(keyOf(entry), new RtmpPush(entry, url.value, this.#options));
      else this.#options.log.error({ channel: entry.channel, why: url.error.why }, 'push.refused');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = [...this.#running.values()];
    this.#running.clear();
    await Promise.all(running.map(push => push.stop()));
  }
}
