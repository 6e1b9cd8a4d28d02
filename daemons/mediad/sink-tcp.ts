/**
 * Sink leg over TCP. We connect (`tcp-active`) or listen (`tcp-passive`):
 *
 *   active:  idle ──startSink──► dialling ──up──► sending ──peer gone, stalled──► closed
 *                                   └── no answer in time ──► closed
 *   passive: listening ──allowed address──► held ──startSink──► sending ──► closed
 *               └── startSink, then nobody in connectTimeoutMs ──► closed
 *
 * Packets are gathered in a block and written once a turn of the event loop.
 */
import type { Socket } from 'node:net';
import type { Endpoint } from '#contracts/mediad.ts';
import { normalizeIp } from '#core/ip.ts';
import { RTP_HEADER_BYTES, writeRtpHeader } from '#core/rtp/packet.ts';
import { SinkNumbering } from '#core/rtp/sequence.ts';
import { FRAME_LENGTH_BYTES, MAX_FRAME_BYTES, writeFrameLength } from '#core/rtp/tcp-framing.ts';
import { ViewerQueue } from '#core/rtp/viewer-queue.ts';
import { type Ms, addMs } from '#core/units.ts';
import type { Flushable } from './flusher.ts';
import type { SinkClosedWhy, SinkLeg, SinkLegOptions } from './leg.ts';
import type { MediaBatch } from './media-batch.ts';
import type { DialPort, LegListener } from './media-ports.ts';
import { closeNow, closeSoon } from './tcp-close.ts';
import { Dial } from './tcp-dial.ts';

const PREFIX_BYTES = FRAME_LENGTH_BYTES + RTP_HEADER_BYTES;
/** Memory that packets are gathered in; used once from front to back, then left to those who still read it. */
const BLOCK_BYTES = 128 * 1024;

abstract class TcpSink implements SinkLeg, Flushable {
  protected readonly options: SinkLegOptions;
  protected started = false;
  protected ended = false;
  protected socket: Socket | undefined;
  readonly #numbering: SinkNumbering;
  readonly #queue: ViewerQueue;
  /** Of the picture that its first packet decided on. */
  #timestamp = NaN;
  #admitted = true;
  #block: Buffer = Buffer.alloc(0);
  #written = 0;
  #filled = 0;
  #queuedBytes = 0;
  payloadType: number;
  remote: Endpoint | null = null;

  constructor(options: SinkLegOptions) {
    this.options = options;
    this.payloadType = options.payloadType;
    this.#numbering = new SinkNumbering(options.firstSequence ?? options.plane.random.int(0x8000));
    this.#queue = new ViewerQueue(options.whole);
  }

  abstract readonly local: Endpoint;
  protected abstract stopConnecting(): void;
  protected abstract releasePort(): Promise<void>;

  get nextSequence(): number | undefined {
    return this.#numbering.next;
  }

  start(): void {
    this.started = true;
    if (this.socket !== undefined) this.options.onReady();
  }

  protected attach(socket: Socket): void {
    this.socket = socket;
    this.remote = { address: normalizeIp(socket.remoteAddress ?? '') ?? '', port: socket.remotePort ?? 0 };
    // Viewers may send RTCP; nothing of it is needed (fault 62).
    socket.on('data', () => this.options.counters.drop('unexpected'));
    socket.resume();
    socket.on('error', () => undefined);
    socket.on('close', () => this.end('peer-closed'));
    if (this.started) this.options.onReady();
  }

  deliver(batch: MediaBatch, now: Ms): boolean {
    const { counters } = this.options;
    const waiting = this.socket!.writableLength;
    let packets = 0;
    let bytes = 0;
    for (let i = 0; i < batch.count; i++) {
      const length = batch.payloadLength[i]!;
      if (length + RTP_HEADER_BYTES > MAX_FRAME_BYTES) counters.drop('too-large');
      else if (!this.#admits(batch, i, length, waiting, now)) this.#dropOne(batch.index[i]!);
      else {
        this.#append(batch, i, length);
        packets++;
        bytes += length + RTP_HEADER_BYTES;
      }
    }
    counters.sent(packets, bytes, now);
    if (this.#queue.state === 'stalled') this.end('unreachable');
    return true;
  }

  #admits(batch: MediaBatch, i: number, length: number, waiting: number, now: Ms): boolean {
    const timestamp = batch.timestamp[i]!;
    if (this.options.whole && timestamp === this.#timestamp) return this.#admitted;
    this.#timestamp = timestamp;
    return (this.#admitted = this.#queue.admit(batch.kind, batch.memory[i]!, batch.payloadOffset[i]!, length, this.#queuedBytes, waiting, now));
  }

  #dropOne(index: number): void {
    this.options.counters.drop('queue-full');
    if (!this.options.whole) return;
    this.#numbering.sequenceOf(index);
    this.#numbering.insert(-1);
  }

  #append(batch: MediaBatch, i: number, length: number): void {
    const { ssrc, plane } = this.options;
    const size = PREFIX_BYTES + length;
    if (this.#filled + size > this.#block.length) this.#newBlock();
    if (this.#filled === this.#written) plane.flusher.add(this);
    const block = this.#block;
    const at = this.#filled;
    writeFrameLength(block, at, length + RTP_HEADER_BYTES);
    writeRtpHeader(block, at + FRAME_LENGTH_BYTES, batch.marker[i]!, this.payloadType, this.#numbering.sequenceOf(batch.index[i]!), batch.timestamp[i]!, ssrc);
    Buffer.prototype.copy.call(batch.memory[i]!, block, at + PREFIX_BYTES, batch.payloadOffset[i]!, batch.payloadOffset[i]! + length);
    if (plane.captures.on) this.#capture(at + FRAME_LENGTH_BYTES, length + RTP_HEADER_BYTES);
    this.#filled += size;
    this.#queuedBytes += size;
  }

  #capture(at: number, length: number): void {
    const { bridgeId, plane } = this.options;
    const { address, port } = this.remote!;
    plane.captures.packet({ bridgeId, role: 'sink', transport: 'tcp', framing: 'packets', fromStart: false, local: this.local }, this.#block, at, length, address, port);
  }

  #newBlock(): void {
    this.flush();
    this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#written = this.#filled = 0;
  }

  flush(): void {
    if (this.#filled === this.#written || this.ended) return;
    this.socket!.write(this.#block.subarray(this.#written, this.#filled));
    this.#written = this.#filled;
  }

  protected end(why: SinkClosedWhy): void {
    if (this.ended) return;
    this.ended = true;
    this.stopConnecting();
    this.socket?.destroy();
    this.options.onClosed(why);
  }

  async close(): Promise<void> {
    this.flush();
    const broken = this.ended;
    this.ended = true;
    this.stopConnecting();
    if (this.socket !== undefined) await (broken ? closeNow(this.socket) : closeSoon(this.socket, this.options.plane.clock));
    await this.releasePort();
  }
}

class ActiveTcpSink extends TcpSink {
  #port!: DialPort;
  #dial: Dial | undefined;

  async open(): Promise<void> {
    this.#port = await this.options.plane.ports.dialFrom(this.options.localAddress, this.options.formerPort);
  }

  get local(): Endpoint {
    return this.#port.local;
  }

  override start(): void {
    super.start();
    const { plane, remote, localAddress, connectTimeoutMs } = this.options;
    this.#dial = new Dial({
      clock: plane.clock,
      remote,
      localAddress,
      localPort: this.#port.localPort,
      withinMs: connectTimeoutMs,
      onConnected: socket => this.attach(socket),
      onFailed: () => this.end('connect-failed'),
    });
  }

  protected stopConnecting(): void {
    this.#dial?.[Symbol.dispose]();
  }

  protected releasePort(): Promise<void> {
    return this.#port.close();
  }
}

class PassiveTcpSink extends TcpSink {
  #listener!: LegListener;
  #limit: Disposable | undefined;

  async open(): Promise<void> {
    const { plane, localAddress, localPort, remote, peer, bridgeId, counters } = this.options;
    this.#listener = await plane.ports.listenSink(localAddress, remote, {
      mayConnect: address => (peer.latch === 'nat' ? peer.isAllowed(address) : address === remote.address),
      onConnection: socket => this.#accept(socket),
      onRefused: (address, port) => {
        counters.drop('wrong-source');
        plane.strays.note(bridgeId, this.local.port, address, port, 'wrong-source');
      },
    }, localPort);
  }

  get local(): Endpoint {
    return this.#listener.local;
  }

  override start(): void {
    super.start();
    if (this.socket !== undefined) return;
    const { clock } = this.options.plane;
    this.#limit = clock.schedule(addMs(clock.now(), this.options.connectTimeoutMs), () => this.end('never-connected'));
  }

  #accept(socket: Socket): void {
    if (this.ended || this.socket !== undefined) return void socket.destroy();
    this.stopConnecting();
    this.attach(socket);
  }

  protected stopConnecting(): void {
    this.#limit?.[Symbol.dispose]();
    this.#listener.stop();
  }

  protected releasePort(): Promise<void> {
    return this.#listener.close();
  }
}

export async function openTcpActiveSink(options: SinkLegOptions): Promise<SinkLeg> {
  const leg = new ActiveTcpSink(options);
  await leg.open();
  return leg;
}

export async function openTcpPassiveSink(options: SinkLegOptions): Promise<SinkLeg> {
  const leg = new PassiveTcpSink(options);
  await leg.open();
  return leg;
}
