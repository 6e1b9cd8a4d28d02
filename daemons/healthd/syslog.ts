/** One collector of syslog: datagrams that go and are forgotten, or a connection that comes back, with a short queue before it. */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import type { SyslogConfig } from '#core/config/health-schema.ts';
import { framed } from '#core/health/syslog.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { CountedLog, type Log } from '#kit/log.ts';

const MAX_QUEUED = 1000;
const RETRY_MS = 2000;
const LOG_WINDOW_MS = 60_000;

export interface Syslog extends Disposable {
  send(message: string): void;
  readonly sent: number;
  readonly dropped: number;
}

export interface SyslogWorld {
  readonly clock: Clock;
  readonly log: Log;
}

export const openSyslog = (config: SyslogConfig, world: SyslogWorld): Syslog => (config.transport === 'udp' ? new UdpSyslog(config, world) : new StreamSyslog(config, world));

class UdpSyslog implements Syslog {
  readonly #config: SyslogConfig;
  readonly #socket;
  sent = 0;
  dropped = 0;

  constructor(config: SyslogConfig, { clock, log }: SyslogWorld) {
    this.#config = config;
    const failed = new CountedLog(log, clock, 'syslog.failed', LOG_WINDOW_MS);
    this.#socket = createSocket(config.address.includes(':') ? 'udp6' : 'udp4');
    this.#socket.on('error', error => failed.count({ address: config.address, why: error.message }));
    this.#socket.unref();
  }

  send(message: string): void {
    this.#socket.send(message, this.#config.port, this.#config.address, error => {
      if (error === null) this.sent += 1;
      else this.dropped += 1;
    });
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

/** What waits while there is no connection goes when it is back, the newest last; beyond the limit the oldest is dropped. */
class StreamSyslog implements Syslog {
  readonly #config: SyslogConfig;
  readonly #world: SyslogWorld;
  readonly #failed: CountedLog;
  readonly #queue: string[] = [];
  #socket: Socket | undefined;
  #open = false;
  #retry: Disposable | undefined;
  #closed = false;
  sent = 0;
  dropped = 0;

  constructor(config: SyslogConfig, world: SyslogWorld) {
    this.#config = config;
    this.#world = world;
    this.#failed = new CountedLog(world.log, world.clock, 'syslog.failed', LOG_WINDOW_MS);
  }

  send(message: string): void {
    this.#queue.push(message);
    while (this.#queue.length > MAX_QUEUED) {
      this.#queue.shift();
      this.dropped += 1;
    }
    if (this.#open) this.#drain();
    else if (this.#socket === undefined && this.#retry === undefined) this.#connect();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    this.#socket?.destroy();
  }

  #connect(): void {
    const { address, port, transport } = this.#config;
    try {
      // Loaded only where it is wanted: it weighs three megabytes.
      this.#socket = transport === 'tcp' ? connectTcp({ host: address, port }) : process.getBuiltinModule('node:tls').connect({ host: address, port, ...this.#trust() });
    } catch (error) {
      return this.#gone((error as Error).message);
    }
    this.#socket.unref();
    this.#socket.once(transport === 'tcp' ? 'connect' : 'secureConnect', () => {
      this.#open = true;
      this.#drain();
    });
    let why = 'closed';
    this.#socket.on('error', error => (why = error.message));
    this.#socket.once('close', () => this.#gone(why));
    this.#socket.resume();
  }

  #trust(): { readonly servername?: string; readonly ca?: Buffer } {
    const { ca, name } = this.#config;
    return { ...(name !== '' && { servername: name }), ...(ca !== '' && { ca: readFileSync(ca) }) };
  }

  #gone(why: string): void {
    this.#socket = undefined;
    this.#open = false;
    if (this.#closed) return;
    const { clock } = this.#world;
    this.#failed.count({ address: this.#config.address, why });
    this.#retry = clock.schedule(addMs(clock.now(), RETRY_MS), () => {
      this.#retry = undefined;
      if (this.#queue.length > 0) this.#connect();
    });
  }

  /** A collector that does not read keeps the queue, not our memory. */
  #drain(): void {
    while (this.#queue.length > 0 && this.#socket !== undefined) {
      const taken = this.#socket.write(framed(this.#queue.shift()!));
      this.sent += 1;
      if (!taken) return void this.#socket.once('drain', () => this.#drain());
    }
  }
}
