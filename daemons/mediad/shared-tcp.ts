/**
 * One TCP port for many passive legs. Who connects is told by what comes first: a packet with the SSRC of a source leg; or nothing,
 * then it is a viewer, known by its address and port. What stays ambiguous is closed: channels are never crossed (fault 33).
 */
import type { Server, Socket } from 'node:net';
import type { Endpoint } from '#contracts/mediad.ts';
import { normalizeIp } from '#core/ip.ts';
import { readUint32, RTP_HEADER_BYTES } from '#core/rtp/packet.ts';
import { Deframer } from '#core/rtp/tcp-framing.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { closeServer, type LegListener, type ListenHandlers, type SourceListener } from './media-ports.ts';
import { ssrcTaken } from './shared-udp.ts';
import type { Strays } from './strays.ts';

/** A camera sends at once; a viewer's address may also be a camera's. */
const VIEWER_IS_QUIET_MS = 1000;
/** A connection that is only a source's must show its SSRC in this time. */
const FIRST_PACKET_MS = 10_000;
const MAX_UNDECIDED = 256;

interface SourceClaim {
  ssrc: number;
  adopts: boolean;
  readonly handlers: ListenHandlers;
}

interface SinkClaim {
  readonly remote: Endpoint;
  readonly handlers: ListenHandlers;
}

export class SharedTcp {
  readonly #clock: Clock;
  readonly #strays: Strays;
  readonly #server: Server;
  readonly #local: Endpoint;
  readonly #sources = new Set<SourceClaim>();
  readonly #sinks = new Set<SinkClaim>();
  readonly #undecided = new Set<Socket>();

  constructor(server: Server, local: Endpoint, clock: Clock, strays: Strays) {
    this.#clock = clock;
    this.#strays = strays;
    this.#server = server;
    this.#local = local;
    server.on('connection', socket => this.#onConnection(socket));
  }

  /** BAD_REQUEST when a live leg has this SSRC. */
  addSource(ssrc: number, handlers: ListenHandlers): SourceListener {
    const claim: SourceClaim = { ssrc, adopts: false, handlers };
    this.#refuseTaken(claim, ssrc);
    this.#sources.add(claim);
    const drop = (): void => void this.#sources.delete(claim);
    return {
      local: this.#local,
      expect: (wanted, policy) => {
        this.#refuseTaken(claim, wanted);
        claim.ssrc = wanted;
        claim.adopts = policy === 'adopt';
      },
      stop: drop,
      close: async () => drop(),
    };
  }

  #refuseTaken(claim: SourceClaim, ssrc: number): void {
    for (const other of this.#sources) if (other !== claim && other.ssrc === ssrc) throw ssrcTaken(ssrc);
  }

  addSink(remote: Endpoint, handlers: ListenHandlers): LegListener {
    const claim: SinkClaim = { remote, handlers };
    this.#sinks.add(claim);
    const drop = (): void => void this.#sinks.delete(claim);
    return { local: this.#local, stop: drop, close: async () => drop() };
  }

  #onConnection(socket: Socket): void {
    const address = normalizeIp(socket.remoteAddress ?? '') ?? '';
    socket.on('error', () => undefined);
    const sources = this.#sourcesOf(address);
    const mayView = this.#sinksOf(address).length > 0;
    if (sources.length > 0 && this.#undecided.size < MAX_UNDECIDED) this.#awaitFirstPacket(socket, address, mayView);
    else if (mayView) this.#giveToSink(socket, address);
    else this.#refuse(socket, address, 'wrong-source');
  }

  #sourcesOf(address: string): SourceClaim[] {
    return [...this.#sources].filter(claim => claim.handlers.mayConnect(address));
  }

  #sinksOf(address: string): SinkClaim[] {
    return [...this.#sinks].filter(claim => claim.handlers.mayConnect(address));
  }

  #awaitFirstPacket(socket: Socket, address: string, mayView: boolean): void {
    this.#undecided.add(socket);
    const seen: Buffer[] = [];
    const deframer = new Deframer();
    const settle = (): void => {
      limit[Symbol.dispose]();
      this.#undecided.delete(socket);
      socket.off('data', onData).off('close', settle);
    };
    const onData = (chunk: Buffer): void => {
      seen.push(chunk);
      deframer.feed(Uint8Array.from(chunk));
      const step = deframer.next();
      if (step === 'more') return;
      settle();
      socket.pause();
      socket.unshift(Buffer.concat(seen));
      this.#giveToSource(socket, address, step === 'frame' && deframer.length >= RTP_HEADER_BYTES ? readUint32(deframer.memory, deframer.offset + 8) : undefined);
    };
    const limit = this.#clock.schedule(addMs(this.#clock.now(), mayView ? VIEWER_IS_QUIET_MS : FIRST_PACKET_MS), () => {
      settle();
      socket.pause();
      if (seen.length === 0 && mayView) this.#giveToSink(socket, address);
      else this.#refuse(socket, address, 'no-packet');
    });
    socket.on('data', onData).once('close', settle).resume();
  }

  #giveToSource(socket: Socket, address: string, ssrc: number | undefined): void {
    const sources = this.#sourcesOf(address);
    const adopting = sources.filter(claim => claim.adopts);
    const owner = sources.find(claim => claim.ssrc === ssrc) ?? (adopting.length === 1 ? adopting[0] : undefined);
    if (owner === undefined) this.#refuse(socket, address, 'wrong-ssrc');
    else owner.handlers.onConnection(socket);
  }

  #giveToSink(socket: Socket, address: string): void {
    const sinks = this.#sinksOf(address);
    const owner = sinks.find(claim => claim.remote.port === socket.remotePort) ?? (sinks.length === 1 ? sinks[0] : undefined);
    if (owner === undefined) this.#refuse(socket, address, sinks.length === 0 ? 'wrong-source' : 'ambiguous');
    else owner.handlers.onConnection(socket);
  }

  #refuse(socket: Socket, address: string, reason: string): void {
    this.#strays.note(null, this.#local.port, address, socket.remotePort ?? 0, reason);
    socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#undecided) socket.destroy();
    await closeServer(this.#server);
  }
}
