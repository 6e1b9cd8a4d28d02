/**
 * HLS of one channel, for all who ask for it. Nobody stays connected, so that somebody watches is known by the asking:
 *
 *   opening ──channel is open──► running ──nobody asked for IDLE_MS──► closed
 *                                   └──source ends──► ended: the list says so ──ENDED_MS──► closed
 */
import { HlsSegmenter } from '#core/hls/segmenter.ts';
import type { OutletPath } from '#core/outlets/outlet-path.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { OutletDoor, OutletLease, OutletViewer } from './outlet-door.ts';
import type { UnitSeat, UnitSink } from './unit-stream.ts';

const IDLE_MS = 30_000;
/** A player asks every segment's time, and stops when the list says so; who asks later wants the channel opened anew. */
const ENDED_MS = 5000;
/** A player begins three segments behind the end (RFC 8216 6.3.3); Chromium gives up a list that is shorter. */
const WANTED_SEGMENTS = 3;
/** So long for those, where pictures come in long groups; then a shorter list is better than none. */
const WANTED_MS = 10_000;
/** For the first: two groups of pictures of a slow camera. */
const FIRST_SEGMENT_MS = 20_000;

class HlsChannel implements UnitSink, Disposable {
  readonly #clock: Clock;
  readonly #segmenter: HlsSegmenter;
  readonly #idle: Alarm;
  readonly #onClosed: () => void;
  #lease: OutletLease | undefined;
  #seat: UnitSeat | undefined;
  #closed = false;
  #ended = false;
  readonly #waiting = new Set<() => void>();
  readonly opened: Promise<void>;
  sentBytes = 0;

  constructor(clock: Clock, keepG711: boolean, open: (channel: HlsChannel) => Promise<OutletLease>, onClosed: () => void) {
    this.#clock = clock;
    this.#segmenter = new HlsSegmenter({ keepG711 });
    this.#idle = new Alarm(clock, () => this[Symbol.dispose]());
    this.#onClosed = onClosed;
    this.opened = open(this).then(
      lease => this.#start(lease),
      (error: unknown) => {
        this[Symbol.dispose]();
        throw error;
      },
    );
  }

  /** Somebody watches. */
  asked(): void {
    if (!this.#closed && !this.#ended) this.#idle.arm(addMs(this.#clock.now(), IDLE_MS));
  }

  /** A list with at least one segment. MEDIA_SILENT when none comes. */
  async playlist(query: string): Promise<string> {
    await this.opened;
    if (this.#segmenter.count < WANTED_SEGMENTS) await this.#wait(WANTED_SEGMENTS, WANTED_MS);
    if (this.#segmenter.count === 0) await this.#wait(1, FIRST_SEGMENT_MS - WANTED_MS);
    if (this.#segmenter.count === 0) throw new GatewayError('MEDIA_SILENT', { waitedMs: FIRST_SEGMENT_MS });
    return this.#segmenter.playlist(query);
  }

  file(kind: 'init' | 'segment', number: number): readonly Uint8Array[] | undefined {
    const init = kind === 'init' ? this.#segmenter.init(number) : undefined;
    const parts = kind === 'init' ? (init === undefined ? undefined : [init]) : this.#segmenter.segment(number)?.parts;
    this.sentBytes += parts?.reduce((sum, part) => sum + part.length, 0) ?? 0;
    return parts;
  }

  onTracks(tracks: MediaTracks): void {
    this.#segmenter.tracks(tracks);
  }

  onUnit(unit: MediaUnit): void {
    const before = this.#segmenter.count;
    this.#segmenter.unit(unit);
    if (this.#segmenter.count !== before) this.#wake();
  }

  onEnd(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#segmenter.end();
    this.#leave();
    this.#wake();
    if (!this.#closed) this.#idle.arm(addMs(this.#clock.now(), ENDED_MS));
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#idle[Symbol.dispose]();
    this.#leave();
    this.#wake();
    this.#onClosed();
  }

  #start(lease: OutletLease): void {
    if (this.#closed) return lease[Symbol.dispose]();
    this.#lease = lease;
    lease.onEnd = () => this.onEnd();
    const seat = lease.stream.join(this);
    if (this.#ended) seat[Symbol.dispose]();
    else this.#seat = seat;
  }

  /** Until there are so many segments, no more can come, or the time is over. */
  async #wait(segments: number, limitMs: number): Promise<void> {
    let over = false;
    using _limit = this.#clock.schedule(addMs(this.#clock.now(), limitMs), () => {
      over = true;
      this.#wake();
    });
    while (!over && this.#seat !== undefined && this.#segmenter.count < segments) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      await promise;
      this.#waiting.delete(resolve);
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
  }

  #leave(): void {
    this.#seat?.[Symbol.dispose]();
    this.#seat = undefined;
    this.#lease?.[Symbol.dispose]();
    this.#lease = undefined;
  }
}

/** All HLS channels of this instance. */
export class HlsChannels implements Disposable {
  readonly #door: OutletDoor;
  readonly #clock: Clock;
  readonly #channels = new Map<string, HlsChannel>();

  constructor(door: OutletDoor, clock: Clock) {
    this.#door = door;
    this.#clock = clock;
  }

  get size(): number {
    return this.#channels.size;
  }

  /** For a playlist: opens the channel where it is not; it is counted as who asked `first`. `keepG711`: see core/mp4/init. */
  open(path: OutletPath, keepG711: boolean, first: Pick<OutletViewer, 'remote' | 'user'>): HlsChannel {
    const key = keyOf(path, keepG711);
    let channel = this.#channels.get(key);
    if (channel === undefined) {
      const open = (opening: HlsChannel): Promise<OutletLease> =>
        this.#door.open(path, { protocol: 'hls', ...first, report: () => ({ sentBytes: opening.sentBytes, droppedUnits: 0 }) });
      channel = new HlsChannel(this.#clock, keepG711, open, () => this.#channels.delete(key));
      this.#channels.set(key, channel);
    }
    channel.asked();
    return channel;
  }

  /** For a file that a playlist named: the channel runs, or the file is gone. */
  find(path: OutletPath, keepG711: boolean): HlsChannel | undefined {
    const channel = this.#channels.get(keyOf(path, keepG711));
    channel?.asked();
    return channel;
  }

  [Symbol.dispose](): void {
    for (const channel of [...this.#channels.values()]) channel[Symbol.dispose]();
  }
}

const keyOf = ({ channel, streamNumber, rendition }: OutletPath, keepG711: boolean): string => `${channel}/${streamNumber}/${rendition ?? ''}/${keepG711}`;
