/**
 * Source leg over UDP: datagrams in, accepted packets to the bridge.
 *
 *   early ──connect: what was held goes through the gate──► connected
 *
 * Datagrams are put in order (core/rtp/jitter-buffer): the alarm runs only while one is missing. A peer that resends is asked for it.
 *
 * Some cameras send from their 200 on, before anybody can tell us where from. Their first packets are the key picture, so a
 * little of what comes from an allowed address is held until the answer is known (gb28181.md 9.2).
 */
import type { Endpoint } from '#contracts/mediad.ts';
import { JitterBuffer } from '#core/rtp/jitter-buffer.ts';
import { MAX_DATAGRAM_PAYLOAD_BYTES } from '#core/rtp/reslice.ts';
import { NackAsker } from '#core/rtp/nack.ts';
import { MAX_NACK_BYTES, writeNack } from '#core/rtp/rtcp.ts';
import { earliest, type Ms, NEVER } from '#core/units.ts';
import { Alarm } from '#kit/clock.ts';
import { DatagramBatch } from '#kit/udp-batch.ts';
import type { MediaBatch } from './media-batch.ts';
import type { Plane, SourceLeg, SourceLegOptions, SourceTarget } from './leg.ts';
import type { UdpSourcePort } from './media-ports.ts';
import type { Peer } from './peer-rule.ts';
import type { SourceIntake } from './source-intake.ts';

const MAX_EARLY_DATAGRAMS = 256;
const MAX_EARLY_BYTES = 384 * 1024;

export async function openUdpSource(options: SourceLegOptions): Promise<SourceLeg> {
  const leg = new UdpSource(options);
  await leg.open(options);
  return leg;
}

class UdpSource implements SourceLeg {
  // Fields, not an options object: the fewer places a packet touches, the more of them stay in the cache.
  readonly #plane: Plane;
  readonly #intake: SourceIntake;
  readonly #relay: SourceLegOptions['relay'];
  readonly #peer: Peer;
  readonly #buffer: JitterBuffer;
  readonly #alarm: Alarm;
  #port!: UdpSourcePort;
  /** Held until `connect`; undefined from then on. */
  #early: DatagramBatch | undefined = new DatagramBatch();
  #earlyBytes = 0;
  readonly #missing: number[] = [];
  readonly #requests = new DatagramBatch();
  /** Our own, as a receiver (RFC 3550 8). */
  readonly #ssrc: number;

  constructor({ plane, intake, relay, peer }: SourceLegOptions) {
    this.#plane = plane;
    this.#intake = intake;
    this.#relay = relay;
    this.#peer = peer;
    this.#ssrc = plane.random.int(0x7fff_ffff);
    this.#buffer = intake.buffer = new JitterBuffer(plane.store, plane.loss);
    this.#alarm = new Alarm(plane.clock, () => this.#onOverdue());
  }

  async open({ plane, localAddress, localPort, ssrc, intake }: SourceLegOptions): Promise<void> {
    this.#port = await plane.ports.udpSource(localAddress, ssrc, {
      onBatch: datagrams => this.#receive(datagrams),
      // Receiving never connects, so an error here is the socket's own; the silence that follows is reported.
      onError: error => plane.log.warn({ why: error.code, localPort: this.local.port }, 'source.socket-error'),
    }, localPort);
    intake.localPort = this.local.port;
  }

  get local(): Endpoint {
    return this.#port.local;
  }

  get overflows(): number {
    return this.#port.overflows;
  }

  connect({ remote, ssrc, ssrcPolicy, payloadType, nack }: SourceTarget): void {
    const peer = this.#peer;
    this.#port.expect(ssrc, remote, ssrcPolicy);
    this.#intake.connect({ latch: peer.latch, address: remote.address, port: remote.port, isAllowed: peer.isAllowed, ssrc, ssrcPolicy, payloadType }, this.#plane.clock.now());
    if (!nack) this.#buffer.floorMs = 0;
    this.#intake.nack = nack ? (this.#intake.nack ?? new NackAsker(this.#buffer)) : undefined;
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined && early.count > 0) this.#receive(early);
  }

  #hold(datagrams: DatagramBatch, early: DatagramBatch): void {
    const { batch, clock } = this.#plane;
    for (let i = 0; i < datagrams.count; i++) {
      const [memory, offset, length, address, port] = [datagrams.memory[i]!, datagrams.offset[i]!, datagrams.length[i]!, datagrams.address[i]!, datagrams.port[i]!];
      const fits = early.count < MAX_EARLY_DATAGRAMS && this.#earlyBytes + length <= MAX_EARLY_BYTES;
      if (!fits || !this.#peer.isAllowed(address)) {
        // Counted and reported: the gate is shut.
        this.#intake.take(memory, offset, length, address, port, clock.now(), batch);
        continue;
      }
      this.#earlyBytes += length;
      early.add(Uint8Array.from(memory.subarray(offset, offset + length)), 0, length, address, port);
    }
  }

  #receive(datagrams: DatagramBatch): void {
    if (this.#early !== undefined) return this.#hold(datagrams, this.#early);
    const plane = this.#plane;
    const intake = this.#intake;
    const batch = plane.batch;
    const now = plane.clock.now();
    if (plane.captures.on) this.#capture(datagrams);
    batch.begin();
    for (let i = 0; i < datagrams.count; i++) intake.take(datagrams.memory[i]!, datagrams.offset[i]!, datagrams.length[i]!, datagrams.address[i]!, datagrams.port[i]!, now, batch);
    if (batch.count > 0) this.#pass(batch, now);
    if (this.#buffer.held > 0) this.#wait(now);
  }

  #capture({ count, memory, offset, length, address, port }: DatagramBatch): void {
    const leg = { bridgeId: this.#intake.bridgeId, role: 'source', transport: 'udp', framing: 'packets', fromStart: false, local: this.local } as const;
    for (let i = 0; i < count; i++) this.#plane.captures.packet(leg, memory[i]!, offset[i]!, length[i]!, address[i]!, port[i]!);
  }

  /** Something is missing: for how long, and whether to ask for it. */
  #wait(now: Ms): void {
    const { nack } = this.#intake;
    if (nack !== undefined) this.#ask(nack, now);
    this.#alarm.arm(earliest(this.#buffer.deadline(now), nack?.deadline ?? NEVER));
  }

  #ask(nack: NackAsker, now: Ms): void {
    const missing = this.#missing;
    missing.length = 0;
    nack.ask(missing, now);
    if (missing.length === 0) return;
    this.#plane.counters.countEvent('nack.asked', missing.length);
    const { tracker, gate } = this.#intake;
    for (let i = 0; i < missing.length; i++) missing[i] = tracker.sequenceOf(missing[i]!);
    const requests = this.#requests;
    requests.count = 0;
    for (let at = 0; at < missing.length; ) {
      const memory = new Uint8Array(MAX_NACK_BYTES);
      const { length, taken } = writeNack(memory, this.#ssrc, gate.ssrc, missing, at);
      requests.add(memory, 0, length, gate.address, gate.port);
      at += taken;
    }
    this.#port.send(requests);
  }

  #pass(batch: MediaBatch, now: Ms): void {
    const { probe } = this.#intake;
    batch.kind = probe.kind;
    batch.datagramPayloadBytes = probe.isElementary ? Infinity : MAX_DATAGRAM_PAYLOAD_BYTES;
    this.#relay(batch, now);
  }

  /** What is missing was waited for long enough. */
  #onOverdue(): void {
    const { batch, clock } = this.#plane;
    const now = clock.now();
    batch.begin();
    this.#buffer.expire(now, batch);
    if (batch.count > 0) this.#pass(batch, now);
    if (this.#buffer.held > 0) this.#wait(now);
  }

  close(): Promise<void> {
    this.#alarm[Symbol.dispose]();
    this.#buffer.clear();
    return this.#port.close();
  }
}
