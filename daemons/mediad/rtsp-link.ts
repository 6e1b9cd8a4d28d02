/** One connection to an RTSP server from which we pull: IO around one ClientSession. Ends once, whatever ended it. */
import { connect, type Socket } from 'node:net';
import { assertNever } from '#core/result.ts';
import { RTP_HEADER_BYTES, isRtcp } from '#core/rtp/packet.ts';
import { writeReceiverReport } from '#core/rtp/sender-report.ts';
import { TrackSync } from '#core/rtp/track-sync.ts';
import { type ClientFailure, type ClientInput, type ClientOptions, type ClientOutput, ClientSession, type PulledTrack } from '#core/rtsp/client-session.ts';
import { serialize } from '#core/rtsp/message.ts';
import { INTERLEAVED, INTERLEAVED_HEADER_BYTES, RtspReader } from '#core/rtsp/reader.ts';
import { parametersOf } from '#core/rtp/format-parameters.ts';
import { type Ms, NEVER, addMs, earliest } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import { closeNow } from './tcp-close.ts';
import { PullPorts } from './rtsp-pull-ports.ts';
import { RtspTrack } from './rtsp-track.ts';
import { JITTER_LIMITS, type PullWorld } from './pull-world.ts';
import type { UnitSource } from './unit-source.ts';

const CONNECT_MS = 5000;
/** A server that plays and sends nothing is asked anew. */
const SILENT_MS = 10_000;
/** A server that does not close when it was told goodbye. */
const LEAVE_MS = 500;

export interface RtspLinkOptions {
  readonly world: PullWorld;
  readonly address: string;
  readonly port: number;
  readonly client: ClientOptions;
  readonly source: UnitSource;
  onPlaying(tracks: readonly PulledTrack[]): void;
  /** Once. */
  onEnded(failure: ClientFailure | 'unreachable' | null, why: string): void;
}

export class RtspLink {
  readonly #options: RtspLinkOptions;
  readonly #socket: Socket;
  readonly #reader = new RtspReader();
  readonly #alarm: Alarm;
  readonly #limit: Disposable;
  readonly #ports = new Map<number, PullPorts>();
  readonly #inbox: ClientInput[] = [];
  #draining = false;
  #session: ClientSession | undefined;
  #tracks: readonly RtspTrack[] = [];
  #byChannel = new Map<number, RtspTrack>();
  #lastPacketAt: Ms = NEVER;
  #playing = false;
  #ended = false;
  #closed: Promise<unknown> = Promise.resolve();

  constructor(options: RtspLinkOptions) {
    this.#options = options;
    const { address, port, world } = options;
    const { clock, localAddress } = world;
    this.#socket = connect({ host: address, port, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) });
    this.#alarm = new Alarm(clock, () => this.#onDue());
    this.#limit = clock.schedule(addMs(clock.now(), CONNECT_MS), () => this.#end('unreachable', `no connection to ${address}:${port} in ${CONNECT_MS} ms`));
    this.#socket.once('connect', () => this.#onConnect());
    this.#socket.on('error', error => this.#end(this.#session === undefined ? 'unreachable' : 'ended', `${address}:${port}: ${(error as NodeJS.ErrnoException).code ?? error.message}`));
    this.#socket.on('close', () => this.#end('ended', 'the server closed the connection'));
    this.#socket.on('data', (chunk: Buffer) => this.#onData(chunk));
  }

  get lostPackets(): number {
    return this.#tracks.reduce((sum, track) => sum + track.lostPackets, 0);
  }

  /** Says goodbye; ends when no port is left. */
  async stop(): Promise<void> {
    if (this.#session !== undefined) this.#feed({ type: 'stop' });
    else this.#end(null, 'stopped');
    await this.#closed;
  }

  #onConnect(): void {
    this.#limit[Symbol.dispose]();
    if (this.#ended) return;
    const { session, outputs } = ClientSession.start(this.#options.client, this.#options.world.clock.now());
    this.#session = session;
    for (const output of outputs) this.#carryOut(output);
    this.#arm();
  }

  #feed(input: ClientInput): void {
    this.#inbox.push(input);
    if (this.#draining || this.#session === undefined) return;
    this.#draining = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
        for (const output of this.#session.handle(next, this.#options.world.clock.now())) this.#carryOut(output);
      }
    } finally {
      this.#draining = false;
      this.#arm();
    }
  }

  #onData(chunk: Buffer): void {
    if (this.#ended) return;
    const now = this.#options.world.clock.now();
    for (const item of this.#reader.push(chunk)) {
      if (item.kind === 'response') this.#feed({ type: 'response', response: item });
      else if (item.kind === 'request') this.#feed({ type: 'request', request: item });
      else this.#onFrame(item.channel, item.payload, now);
    }
    if (this.#reader.error !== undefined) this.#end('ended', `not RTSP any more: ${this.#reader.error.why}`);
  }

  #onFrame(channel: number, payload: Uint8Array, now: Ms): void {
    const track = this.#byChannel.get(channel);
    if (track === undefined) return;
    if (isRtcp(payload, 0, payload.length)) return track.rtcp(payload, 0, payload.length);
    if (payload.length >= RTP_HEADER_BYTES && track.take(payload, 0, payload.length, now)) this.#lastPacketAt = now;
  }

  #carryOut(output: ClientOutput): void {
    switch (output.type) {
      case 'send':
        this.#socket.write(serialize(output.message));
        return;
      case 'bind':
        return void this.#bind(output.index);
      case 'expect':
        return this.#expect(output.tracks);
      case 'playing':
        this.#playing = true;
        for (const { index, rtpTime } of output.tracks) if (rtpTime !== undefined) this.#tracks[index]?.begin(rtpTime);
        this.#lastPacketAt = this.#options.world.clock.now();
        return this.#options.onPlaying(output.tracks);
      case 'keepalive':
        return this.#sendReports();
      case 'closed':
        return this.#end(output.failure, output.why);
      default:
        return assertNever(output);
    }
  }

  async #bind(index: number): Promise<void> {
    const { world, address } = this.#options;
    const { clock } = world;
    try {
      const ports = await PullPorts.open({
        ports: world.ports,
        localAddress: this.#socket.localAddress ?? '127.0.0.1',
        serverAddress: address,
        rtp: (memory, offset, length) => {
          const now = clock.now();
          if (this.#tracks[index]?.take(memory, offset, length, now) === true) this.#lastPacketAt = now;
          this.#arm();
        },
        rtcp: (memory, offset, length) => this.#tracks[index]?.rtcp(memory, offset, length),
      });
      if (this.#ended) return void (await ports.close());
      this.#ports.set(index, ports);
      this.#feed({ type: 'bound', clientPort: ports.clientPort });
    } catch (error) {
      this.#end('unusable', (error as Error).message);
    }
  }

  #expect(tracks: readonly PulledTrack[]): void {
    const { source, client } = this.#options;
    const sync = new TrackSync(tracks.length, Math.max(0, tracks.findIndex(({ kind }) => kind === 'video')));
    const wait = client.transport === 'udp' ? JITTER_LIMITS : undefined;
    this.#tracks = tracks.map(track => new RtspTrack({ track, sync, wait, unit: unit => source.feed(unit), lost: () => source.lost() }));
    for (const { index, interleaved, serverPort, kind, format, fmtp } of tracks) {
      if (interleaved !== undefined) for (const channel of interleaved) this.#byChannel.set(channel, this.#tracks[index]!);
      const ports = this.#ports.get(index);
      if (ports !== undefined) ports.serverPort = serverPort;
      const { parameterSets } = parametersOf(fmtp);
      if (kind === 'video' && parameterSets.length > 0 && (format === 'h264' || format === 'h265')) source.learn(format, parameterSets);
    }
    source.promise({ video: tracks.some(({ kind }) => kind === 'video'), audio: tracks.some(({ kind }) => kind === 'audio') });
  }

  #sendReports(): void {
    const report = writeReceiverReport(1);
    for (const ports of this.#ports.values()) ports.sendRtcp(report);
    const channel = [...this.#byChannel.keys()].find(each => each % 2 === 1);
    if (channel === undefined) return;
    const frame = new Uint8Array(INTERLEAVED_HEADER_BYTES + report.length);
    frame.set([INTERLEAVED, channel, 0, report.length]);
    frame.set(report, INTERLEAVED_HEADER_BYTES);
    this.#socket.write(frame);
  }

  #arm(): void {
    if (this.#ended || this.#session === undefined) return;
    const now = this.#options.world.clock.now();
    const silent = this.#playing ? addMs(this.#lastPacketAt, SILENT_MS) : NEVER;
    this.#alarm.arm(earliest(this.#session.deadline, silent, ...this.#tracks.map(track => track.deadline(now))));
  }

  #onDue(): void {
    const now = this.#options.world.clock.now();
    for (const track of this.#tracks) if (track.deadline(now) <= now) track.expire(now);
    if (this.#playing && now >= this.#lastPacketAt + SILENT_MS) return this.#end('ended', `nothing came for ${SILENT_MS} ms`);
    this.#feed({ type: 'tick' });
  }

  #end(failure: ClientFailure | 'unreachable' | null, why: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const { clock } = this.#options.world;
    this.#limit[Symbol.dispose]();
    this.#alarm[Symbol.dispose]();
    for (const track of this.#tracks) track.close();
    const socket = this.#socket;
    this.#closed = Promise.all([failure === null ? leave(socket, clock) : closeNow(socket), ...[...this.#ports.values()].map(ports => ports.close())]);
    this.#options.onEnded(failure, why);
  }
}

/** What was said last must arrive: a connection that is cut while media still comes is reset, and the goodbye with it. */
function leave(socket: Socket, clock: Clock): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise(resolve => {
    const limit = clock.schedule(addMs(clock.now(), LEAVE_MS), () => socket.destroy());
    socket.once('close', () => {
      limit[Symbol.dispose]();
      resolve();
    });
    socket.end();
  });
}
