/**
 * Source leg over TCP. We listen (`tcp-passive`) or connect (`tcp-active`):
 *
 *   passive: listening ──allowed address connects──► candidate ──right packet──► live ──end, desync──► closed
 *               ▲   └──── another address: closed, counted      │
 *               └──── wrong SSRC, desync, gone ─────────────────┘
 *   active:  idle ──connectSource──► dialling ──up──► candidate ──right packet──► live ──► closed
 *                                       └── no answer in four tries ──► closed
 *
 * The first packet decides which connection is the leg's; the others are closed then, and nobody may connect any more.
 */
import type { Socket } from 'node:net';
import type { Endpoint } from '#contracts/mediad.ts';
import { normalizeIp } from '#core/ip.ts';
import { MAX_PIECE_BYTES } from '#core/rtp/reslice.ts';
import { Deframer } from '#core/rtp/tcp-framing.ts';
import type { SourceClosedWhy, SourceLeg, SourceLegOptions, SourceTarget } from './leg.ts';
import type { DialPort, SourceListener } from './media-ports.ts';
import { closeNow } from './tcp-close.ts';
import { Dial } from './tcp-dial.ts';

/** Connections of one leg that have not shown a packet yet; the oldest goes when one more comes. */
const MAX_CANDIDATES = 4;

interface Connection {
  readonly socket: Socket;
  readonly deframer: Deframer;
  readonly address: string;
  readonly port: number;
  /** Something came over it. */
  begun: boolean;
}

abstract class TcpSource implements SourceLeg {
  protected readonly options: SourceLegOptions;
  protected target: SourceTarget | undefined;
  readonly #candidates = new Set<Connection>();
  #live: Connection | undefined;
  #ended = false;

  constructor(options: SourceLegOptions) {
    this.options = options;
  }

  abstract readonly local: Endpoint;
  readonly overflows = 0;
  /** A connection with another SSRC is not the camera's. When there can be no other connection, its packets are dropped and the silence is told. */
  protected abstract readonly othersMayCome: boolean;
  /** Nobody else may connect: the leg has its connection, or is over. */
  protected abstract stopConnecting(): void;
  /** A candidate is gone without a packet. */
  protected abstract candidateLost(why: SourceClosedWhy): void;
  protected abstract releasePort(): Promise<void>;

  connect(target: SourceTarget): void {
    const { plane, intake, peer } = this.options;
    this.target = target;
    const { remote, ssrc, ssrcPolicy, payloadType } = target;
    intake.connect({ latch: peer.latch, address: remote.address, port: remote.port, isAllowed: peer.isAllowed, ssrc, ssrcPolicy, payloadType }, plane.clock.now());
    for (const connection of [...this.#candidates]) {
      if (this.mayConnect(connection.address)) this.#listenTo(connection);
      else this.#refuse(connection, 'wrong-source');
    }
    if (this.#live !== undefined) intake.gate.lockTo(this.#live.address, this.#live.port);
  }

  protected mayConnect(address: string): boolean {
    const { peer } = this.options;
    if (this.target === undefined || peer.latch === 'nat') return peer.isAllowed(address);
    return address === this.target.remote.address;
  }

  /** A connection from an address that may be the peer's. Until connectSource nothing is read from it. */
  protected offer(socket: Socket): void {
    const address = normalizeIp(socket.remoteAddress ?? '');
    socket.on('error', () => undefined);
    if (this.#ended || this.#live !== undefined || address === undefined) return void socket.destroy();
    if (this.#candidates.size >= MAX_CANDIDATES) this.#drop(this.#candidates.values().next().value!);
    const connection: Connection = { socket, deframer: new Deframer(), address, port: socket.remotePort ?? 0, begun: false };
    this.#candidates.add(connection);
    socket.on('close', () => this.#onClose(connection));
    if (this.target !== undefined) this.#listenTo(connection);
  }

  #listenTo(connection: Connection): void {
    const { deframer, socket } = connection;
    const { ssrc, ssrcPolicy, payloadType } = this.target!;
    deframer.expect(ssrcPolicy === 'exact' ? ssrc : undefined, payloadType);
    if (socket.listenerCount('data') > 0) return;
    socket.on('data', chunk => this.#read(connection, chunk));
    socket.resume();
  }

  #read(connection: Connection, chunk: Uint8Array): void {
    const { plane, intake, relay } = this.options;
    const { deframer, address, port } = connection;
    if (this.#ended || (this.#live !== undefined && this.#live !== connection)) return;
    const now = plane.clock.now();
    const batch = plane.batch;
    batch.begin();
    if (this.#live === undefined) intake.gate.lockTo(address, port);
    if (plane.captures.on) plane.captures.packet({ bridgeId: intake.bridgeId, role: 'source', transport: 'tcp', framing: 'stream', fromStart: !connection.begun, local: this.local }, chunk, 0, chunk.length, address, port);
    connection.begun = true;
    deframer.feed(chunk);
    const resyncs = deframer.resyncs;
    let step = deframer.next();
    for (; step === 'frame'; step = deframer.next()) {
      const taken = intake.take(deframer.memory, deframer.offset, deframer.length, address, port, now, batch);
      if (this.#live === connection) continue;
      if (taken === 'wrong-ssrc' && this.othersMayCome) return this.#refuse(connection, 'wrong-ssrc');
      if (taken === 'taken') this.#settle(connection);
    }
    if (deframer.resyncs !== resyncs) intake.counters.drop('desync', deframer.resyncs - resyncs);
    batch.kind = intake.probe.kind;
    batch.datagramPayloadBytes = intake.probe.isElementary ? Infinity : MAX_PIECE_BYTES;
    if (batch.count > 0) relay(batch, now);
    if (step === 'lost') this.#onDesync(connection);
  }

  /** Here is the right packet: the leg is this connection from now on. */
  #settle(connection: Connection): void {
    this.#live = connection;
    this.#candidates.delete(connection);
    connection.deframer.expect(this.options.intake.gate.ssrc, this.target!.payloadType);
    for (const other of this.#candidates) this.#drop(other);
    this.stopConnecting();
  }

  #onDesync(connection: Connection): void {
    if (connection === this.#live) this.end('desync');
    else this.#refuse(connection, 'desync');
  }

  #refuse(connection: Connection, reason: 'wrong-source' | 'wrong-ssrc' | 'desync'): void {
    const { plane, intake } = this.options;
    if (reason === 'wrong-source') {
      intake.counters.drop(reason);
      plane.strays.note(intake.bridgeId, this.local.port, connection.address, connection.port, reason);
    }
    this.#drop(connection);
    this.candidateLost(reason === 'desync' ? 'desync' : 'peer-closed');
  }

  #drop(connection: Connection): void {
    this.#candidates.delete(connection);
    connection.socket.destroy();
  }

  #onClose(connection: Connection): void {
    if (connection === this.#live) this.end('peer-closed');
    else if (this.#candidates.delete(connection)) this.candidateLost('peer-closed');
  }

  protected end(why: SourceClosedWhy): void {
    if (this.#ended) return;
    this.#ended = true;
    this.stopConnecting();
    for (const connection of this.#connections()) connection.socket.destroy();
    this.options.onClosed(why);
  }

  #connections(): Connection[] {
    return this.#live === undefined ? [...this.#candidates] : [...this.#candidates, this.#live];
  }

  async close(): Promise<void> {
    this.#ended = true;
    this.stopConnecting();
    await Promise.all(this.#connections().map(connection => closeNow(connection.socket)));
    await this.releasePort();
  }
}

class PassiveTcpSource extends TcpSource {
  protected readonly othersMayCome = true;
  #listener!: SourceListener;

  async open(): Promise<void> {
    const { plane, localAddress, localPort, ssrc, intake } = this.options;
    this.#listener = await plane.ports.listenSource(localAddress, ssrc, {
      mayConnect: address => this.mayConnect(address),
      onConnection: socket => this.offer(socket),
      onRefused: (address, port) => {
        intake.counters.drop('wrong-source');
        plane.strays.note(intake.bridgeId, this.local.port, address, port, 'wrong-source');
      },
    }, localPort);
    intake.localPort = this.local.port;
  }

  get local(): Endpoint {
    return this.#listener.local;
  }

  override connect(target: SourceTarget): void {
    this.#listener.expect(target.ssrc, target.ssrcPolicy);
    super.connect(target);
  }

  protected stopConnecting(): void {
    this.#listener.stop();
  }

  protected candidateLost(): void {}

  protected releasePort(): Promise<void> {
    return this.#listener.close();
  }
}

class ActiveTcpSource extends TcpSource {
  protected readonly othersMayCome = false;
  #port!: DialPort;
  #dial: Dial | undefined;

  async open(): Promise<void> {
    this.#port = await this.options.plane.ports.dialFrom(this.options.localAddress);
    this.options.intake.localPort = this.local.port;
  }

  get local(): Endpoint {
    return this.#port.local;
  }

  override connect(target: SourceTarget): void {
    super.connect(target);
    this.#dial ??= new Dial({
      clock: this.options.plane.clock,
      remote: target.remote,
      localAddress: this.options.localAddress,
      localPort: this.#port.localPort,
      withinMs: Infinity,
      onConnected: socket => this.offer(socket),
      onFailed: () => this.end('connect-failed'),
    });
  }

  protected stopConnecting(): void {
    this.#dial?.[Symbol.dispose]();
  }

  /** We connect once: what was there is not the camera, or it hung up. */
  protected candidateLost(why: SourceClosedWhy): void {
    this.end(why);
  }

  protected releasePort(): Promise<void> {
    return this.#port.close();
  }
}

export async function openTcpPassiveSource(options: SourceLegOptions): Promise<SourceLeg> {
  const leg = new PassiveTcpSource(options);
  await leg.open();
  return leg;
}

export async function openTcpActiveSource(options: SourceLegOptions): Promise<SourceLeg> {
  const leg = new ActiveTcpSource(options);
  await leg.open();
  return leg;
}
