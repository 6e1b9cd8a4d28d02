/**
 * Packets of chosen bridges as they passed, for an engineer to look at: copies in bounded memory, taken away page by page. While nobody
 * captures, the path of the packets asks one flag a batch.
 *
 *   running ── its time is over, its bridge is gone, or `stop` ──► over ── read to its end, or nobody reads for ABANDONED_MS ──► forgotten
 */
import type { CaptureLeg, CapturePage, Endpoint, StartCaptureParams } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import { type Ms, addMs } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';

/** Of one capture, and not yet read. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
/** Besides its octets a packet costs about this. */
const PACKET_COST_BYTES = 128;
const MAX_CAPTURES = 4;
const PAGE_PACKETS = 2000;
const PAGE_BYTES = 512 * 1024;
const MAX_LEGS = 64;
const ABANDONED_MS = 15_000;

export interface TappedLeg {
  readonly bridgeId: string;
  readonly role: CaptureLeg['role'];
  readonly transport: CaptureLeg['transport'];
  readonly framing: CaptureLeg['framing'];
  readonly fromStart: boolean;
  readonly local: Endpoint;
}

interface Waiting {
  readonly leg: number;
  readonly atWallMs: number;
  readonly bytes: Uint8Array;
  readonly length: number;
}

interface Capture {
  readonly id: string;
  readonly bridgeId: string;
  readonly packetBytes: number;
  readonly endsAt: Ms;
  readonly legs: CaptureLeg[];
  /** Place in `legs` by local and remote place. */
  readonly legIndex: Map<string, number>;
  readAt: Ms;
  waiting: Waiting[];
  waitingBytes: number;
  dropped: number;
  isOver: boolean;
  /** Its bridge was there. */
  begun: boolean;
}

export class Captures implements Disposable {
  /** Somebody captures. */
  on = false;
  readonly #clock: Clock;
  readonly #hasBridge: (bridgeId: string) => boolean;
  readonly #captures = new Map<string, Capture>();
  readonly #alarm: Alarm;

  constructor(clock: Clock, hasBridge: (bridgeId: string) => boolean) {
    this.#clock = clock;
    this.#hasBridge = hasBridge;
    this.#alarm = new Alarm(clock, () => this.#onDue());
  }

  get size(): number {
    return this.#captures.size;
  }

  start({ captureId, bridgeId, seconds, packetBytes }: StartCaptureParams): null {
    if (this.#captures.has(captureId)) throw new GatewayError('BAD_REQUEST', { captureId, why: 'capture exists' });
    if (this.#captures.size >= MAX_CAPTURES) throw new GatewayError('CAPACITY_EXHAUSTED', { why: `${MAX_CAPTURES} captures run already` });
    const now = this.#clock.now();
    this.#captures.set(captureId, { id: captureId, bridgeId, packetBytes, endsAt: addMs(now, seconds * 1000), legs: [], legIndex: new Map(), readAt: now, waiting: [], waitingBytes: 0, dropped: 0, isOver: false, begun: this.#hasBridge(bridgeId) });
    this.#update();
    return null;
  }

  /** What came since the last page. The last page forgets the capture. */
  read(captureId: string): CapturePage {
    const capture = this.#captures.get(captureId);
    if (capture === undefined) throw new GatewayError('BAD_REQUEST', { captureId, why: 'no such capture' });
    capture.readAt = this.#clock.now();
    const isThere = this.#hasBridge(capture.bridgeId);
    if (capture.begun && !isThere) capture.isOver = true;
    capture.begun ||= isThere;
    let taken = 0;
    for (let bytes = 0; taken < capture.waiting.length && taken < PAGE_PACKETS && bytes < PAGE_BYTES; taken++) bytes += capture.waiting[taken]!.bytes.length;
    const packets = capture.waiting.slice(0, taken).map(({ leg, atWallMs, bytes, length }) => ({ leg, atWallMs, length, base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64') }));
    capture.waiting = capture.waiting.slice(taken);
    capture.waitingBytes = capture.waiting.reduce((sum, { bytes }) => sum + bytes.length + PACKET_COST_BYTES, 0);
    const isEnd = capture.isOver && capture.waiting.length === 0;
    if (isEnd) this.#captures.delete(captureId);
    this.#update();
    return { legs: capture.legs, packets, dropped: capture.dropped, isEnd };
  }

  /** Takes no more; what waits can still be read. Twice is once. */
  stop(captureId: string): null {
    const capture = this.#captures.get(captureId);
    if (capture !== undefined) capture.isOver = true;
    this.#update();
    return null;
  }

  /** One packet of a leg, or some octets of its stream, from or to `address` and `port`. */
  packet(leg: TappedLeg, memory: Uint8Array, offset: number, length: number, address: string, port: number): void {
    for (const capture of this.#captures.values()) if (capture.bridgeId === leg.bridgeId && !capture.isOver) this.#keep(capture, leg, memory, offset, length, address, port);
  }

  #keep(capture: Capture, leg: TappedLeg, memory: Uint8Array, offset: number, length: number, address: string, port: number): void {
    const key = `${leg.role} ${leg.local.port} ${address}:${port}`;
    let index = capture.legIndex.get(key);
    const kept = leg.framing === 'stream' ? length : Math.min(length, capture.packetBytes);
    if ((index === undefined && capture.legs.length >= MAX_LEGS) || capture.waitingBytes + kept > MAX_WAITING_BYTES) {
      capture.dropped += 1;
      return;
    }
    if (index === undefined) {
      index = capture.legs.push({ role: leg.role, transport: leg.transport, framing: leg.framing, fromStart: leg.fromStart, local: leg.local, remote: { address, port } }) - 1;
      capture.legIndex.set(key, index);
    }
    capture.waiting.push({ leg: index, atWallMs: this.#clock.wall(), bytes: new Uint8Array(memory.subarray(offset, offset + kept)), length });
    capture.waitingBytes += kept + PACKET_COST_BYTES;
  }

  #onDue(): void {
    const now = this.#clock.now();
    for (const [id, capture] of this.#captures) {
      if (now >= capture.endsAt) capture.isOver = true;
      if (now >= addMs(capture.readAt, ABANDONED_MS)) this.#captures.delete(id);
    }
    this.#update();
  }

  #update(): void {
    const all = [...this.#captures.values()];
    this.on = all.some(({ isOver }) => !isOver);
    const deadlines = all.flatMap(({ isOver, endsAt, readAt }) => [...(isOver ? [] : [endsAt]), addMs(readAt, ABANDONED_MS)]);
    this.#alarm.arm(Math.min(...deadlines, Infinity) as Ms);
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
    this.#captures.clear();
    this.on = false;
  }
}
