/** IO around one ServerSession: its connection, the lease of its channel, its viewer. Decisions are the automaton's. */
import type { Socket } from 'node:net';
import { normalizeIp } from '#core/ip.ts';
import type { OutletPath } from '#core/outlets/outlet-path.ts';
import { GatewayError, HTTP_STATUS, assertNever } from '#core/result.ts';
import { serialize } from '#core/rtsp/message.ts';
import { RtspReader } from '#core/rtsp/reader.ts';
import type { RtspTrack } from '#core/rtsp/sdp-write.ts';
import { ConnectionAccess } from '#core/rtsp/server-access.ts';
import { ServerSession } from '#core/rtsp/server-session.ts';
import type { ServerInput, ServerOutput } from '#core/rtsp/server-steps.ts';
import type { TransportSpec } from '#core/rtsp/transport.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Hashes } from '#kit/hashes.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { MediaPorts } from './media-ports.ts';
import { OUTLET_REALM, type OutletDoor, type OutletLease, type OutletViewer } from './outlet-door.ts';
import { DatagramLeg, InterleavedLeg, type RtspLeg } from './rtsp-legs.ts';
import { RtspViewer } from './rtsp-viewer.ts';
import { closeSoon } from './tcp-close.ts';

/** RFC 2326 7.1.1: what HTTP calls unavailable is here not enough bandwidth. */
const NOT_ENOUGH_BANDWIDTH = 453;
/** RFC 2326 10. One counter for all others: whoever may connect invents as many as it likes. */
const METHODS: ReadonlySet<string> = new Set(['OPTIONS', 'DESCRIBE', 'ANNOUNCE', 'SETUP', 'PLAY', 'PAUSE', 'TEARDOWN', 'GET_PARAMETER', 'SET_PARAMETER', 'REDIRECT', 'RECORD']);

export interface RtspConnectionOptions {
  readonly door: OutletDoor;
  readonly ports: MediaPorts;
  readonly clock: Clock;
  readonly random: Random;
  readonly hashes: Hashes;
  readonly log: Log;
  count(name: string): void;
  /** A wrong password came from there. */
  authFailed(address: string): void;
  onClosed(connection: RtspConnection): void;
}

export class RtspConnection {
  readonly remoteAddress: string;
  readonly #options: RtspConnectionOptions;
  readonly #socket: Socket;
  readonly #reader = new RtspReader();
  readonly #access: ConnectionAccess;
  readonly #session: ServerSession;
  readonly #alarm: Alarm;
  readonly #localAddress: string;
  readonly #inbox: ServerInput[] = [];
  #draining = false;
  #viewer: RtspViewer | undefined;
  #lease: OutletLease | undefined;
  /** Closing of what was released; a new open waits for it. */
  #released: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  constructor(socket: Socket, options: RtspConnectionOptions) {
    this.#options = options;
    this.#socket = socket;
    this.remoteAddress = normalizeIp(socket.remoteAddress ?? '') ?? '';
    this.#localAddress = normalizeIp(socket.localAddress ?? '') ?? '';
    const { door, hashes, random, clock } = options;
    const access = (this.#access = new ConnectionAccess({
      realm: OUTLET_REALM,
      nonce: random.hex(16),
      hashes,
      rules: { tokenFits: path => door.tokenFits(path), ha1: (name, path) => door.user(name, path)?.ha1 },
    }));
    this.#session = new ServerSession({ access, sessionId: random.hex(8), localAddress: this.#localAddress, remoteAddress: this.remoteAddress }, clock.now());
    this.#alarm = new Alarm(clock, () => this.feed({ type: 'tick' }));
    this.#alarm.arm(this.#session.deadline);
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', () => undefined);
    socket.on('end', () => void this.close('the far end closed'));
    socket.on('close', () => void this.close('the connection closed'));
    socket.resume();
  }

  #viewerOf(path: OutletPath): OutletViewer {
    return { protocol: 'rtsp', user: this.#access.userOf(path), remote: `${this.remoteAddress}:${this.#socket.remotePort ?? 0}`, report: () => ({ sentBytes: this.#viewer?.sentBytes ?? 0, droppedUnits: this.#viewer?.droppedUnits ?? 0 }) };
  }

  /** Drain before feed. */
  feed(input: ServerInput): void {
    this.#inbox.push(input);
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
        for (const output of this.#session.handle(next, this.#options.clock.now())) this.#carryOut(output);
      }
    } finally {
      this.#draining = false;
      this.#alarm.arm(this.#session.deadline);
    }
  }

  /** Ends when nothing of it is left. */
  close(why: string): Promise<void> {
    this.#closing ??= this.#close(why);
    return this.#closing;
  }

  async #close(why: string): Promise<void> {
    const { clock, log, onClosed } = this.#options;
    this.#alarm[Symbol.dispose]();
    log.debug({ remote: this.remoteAddress, why }, 'rtsp.closed');
    this.#release();
    await Promise.all([closeSoon(this.#socket, clock), this.#released]);
    onClosed(this);
  }

  #onData(chunk: Buffer): void {
    if (this.#closing !== undefined) return;
    for (const item of this.#reader.push(chunk)) {
      if (item.kind === 'request') {
        this.#options.count(`rtsp.${METHODS.has(item.method) ? item.method.toLowerCase() : 'unknown'}`);
        this.feed({ type: 'request', request: item });
      } else if (item.kind === 'frame') this.feed({ type: 'alive' });
    }
    if (this.#reader.error !== undefined) return this.feed({ type: 'broken', error: this.#reader.error });
    this.feed({ type: 'midway', isMidway: this.#reader.isMidway });
  }

  #carryOut(output: ServerOutput): void {
    switch (output.type) {
      case 'respond':
        this.#options.count(`rtsp.status.${output.response.status}`);
        this.#socket.write(serialize(output.response));
        return;
      case 'open':
        return this.#answer(this.#open(output.path));
      case 'bind':
        return this.#answer(this.#bind(output.track, output.media, output.transport));
      case 'start':
        return this.feed({ type: 'started', starts: this.#viewer?.start() ?? [] });
      case 'flow':
        return this.#viewer?.flow();
      case 'pause':
        return this.#viewer?.pause();
      case 'release':
        return this.#release();
      case 'auth-failed':
        return this.#options.authFailed(this.remoteAddress);
      case 'close':
        this.#options.count('rtsp.closed');
        return void this.close(output.why);
      default:
        return assertNever(output);
    }
  }

  #answer(asked: Promise<ServerInput>): void {
    asked.then(
      input => this.feed(input),
      (error: unknown) => {
        if (!(error instanceof GatewayError)) throw error;
        this.feed({ type: 'refused', status: error.code === 'CAPACITY_EXHAUSTED' ? NOT_ENOUGH_BANDWIDTH : error.code === 'MEDIA_TARGET_REFUSED' ? 461 : HTTP_STATUS[error.code] });
      },
    );
  }

  async #open(path: OutletPath): Promise<ServerInput> {
    await this.#released;
    const lease = await this.#options.door.open(path, this.#viewerOf(path));
    const { tracks } = lease.stream;
    if (this.#closing !== undefined || tracks === null) {
      lease[Symbol.dispose]();
      throw new GatewayError('MEDIA_UNAVAILABLE', { why: 'closed while it opened' });
    }
    this.#lease = lease;
    lease.onEnd = () => this.feed({ type: 'ended' });
    const { clock, random } = this.#options;
    this.#viewer = new RtspViewer({ clock, random, stream: lease.stream, onLost: () => this.feed({ type: 'ended' }) });
    return { type: 'opened', tracks };
  }

  async #bind(track: number, media: RtspTrack, transport: TransportSpec): Promise<ServerInput> {
    const leg = await this.#openLeg(transport);
    const viewer = this.#viewer;
    if (viewer === undefined || this.#closing !== undefined) {
      await leg.close();
      throw new GatewayError('MEDIA_UNAVAILABLE', { why: 'closed while it opened' });
    }
    const ssrc = await viewer.add(track, media, leg);
    return { type: 'bound', transport: { ...transport, serverPort: leg.serverPort, ssrc } };
  }

  async #openLeg({ lower, interleaved, clientPort }: TransportSpec): Promise<RtspLeg> {
    if (lower === 'tcp') return new InterleavedLeg(this.#socket, interleaved!);
    const { ports, clock } = this.#options;
    return DatagramLeg.open({ ports, clock, localAddress: this.#localAddress, remoteAddress: this.remoteAddress, clientPort: clientPort!, onAlive: () => this.feed({ type: 'alive' }) });
  }

  #release(): void {
    const lease = this.#lease;
    this.#lease = undefined;
    const viewer = this.#viewer;
    this.#viewer = undefined;
    if (viewer !== undefined) this.#released = Promise.all([this.#released, viewer.close()]);
    lease?.[Symbol.dispose]();
  }
}
