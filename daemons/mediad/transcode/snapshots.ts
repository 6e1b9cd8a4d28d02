/**
 * JPEGs of the last key frame of a stream. Who asks while a picture is being made gets the same one; who asks again before the next
 * key frame gets it without any work.
 */
import { concatBytes } from '#core/bytes.ts';
import type { VideoCodec } from '#core/media/h26x.ts';
import { isWholeJpeg, MAX_JPEG_BYTES, snapshotArgv } from '#core/media/snapshot-plan.ts';
import { MAX_SOURCE_PIXELS } from '#core/media/transcode-plan.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { type FfmpegFacts, FfmpegRun } from '#kit/ffmpeg.ts';
import type { Log } from '#kit/log.ts';
import type { OutletDoor, OutletLease } from '../outlet-door.ts';
import type { OutletPath } from '#core/outlets/outlet-path.ts';
import type { UnitStream } from '../unit-stream.ts';

/** A key frame comes with the first join at the latest after the longest group of pictures. */
const KEY_FRAME_MS = 15_000;
const DECODE_MS = 5000;
/** A channel is held so long after its last snapshot: who asks every few seconds waits for no key frame. */
const LINGER_MS = 10_000;
/** Processes at once. */
const MAX_AT_ONCE = 4;

export interface Snapshot {
  readonly jpeg: Uint8Array;
  readonly codec: VideoCodec;
  /** From the question to the picture. */
  readonly tookMs: number;
}

export interface SnapshotsOptions {
  readonly door: OutletDoor;
  readonly clock: Clock;
  readonly log: Log;
  facts(): Promise<FfmpegFacts>;
}

interface Held {
  readonly lease: OutletLease;
  timer: Disposable | undefined;
}

export class Snapshots implements Disposable {
  readonly #options: SnapshotsOptions;
  /** By key frame: gone with it. */
  readonly #made = new WeakMap<Uint8Array, Map<number | null, Promise<Uint8Array>>>();
  readonly #held = new Map<string, Held>();
  readonly #counters = new Map<string, number>();
  #running = 0;

  constructor(options: SnapshotsOptions) {
    this.#options = options;
  }

  counters(): Readonly<Record<string, number>> {
    return { ...Object.fromEntries(this.#counters), 'snapshot.running': this.#running };
  }

  /** Opens the channel, or takes it where it runs. Rejects with a GatewayError. `width`: pixels, null: as the picture. */
  async take(path: OutletPath, remote: string, width: number | null): Promise<Snapshot> {
    const { clock, log } = this.#options;
    const from = clock.now();
    try {
      const key = await this.#keyFrame(await this.#hold(path, remote));
      const jpeg = await this.#jpegOf(key, width);
      const tookMs = Math.round(clock.now() - from);
      this.#count('snapshot.taken');
      log.info({ channel: path.channel, remote, tookMs, bytes: jpeg.length }, 'snapshot.taken');
      return { jpeg, codec: key.codec as VideoCodec, tookMs };
    } catch (error) {
      if (error instanceof GatewayError) this.#count(`snapshot.failed.${error.code}`);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const key of [...this.#held.keys()]) this.#letGo(key);
  }

  /** The stream of the channel, held for a moment from now on. */
  async #hold(path: OutletPath, remote: string): Promise<UnitStream> {
    const { clock, door } = this.#options;
    const key = `${path.channel}/${path.streamNumber}/${path.rendition ?? ''}`;
    if (!this.#held.has(key)) {
      const lease = await door.open(path, { protocol: 'snapshot', remote });
      // Somebody else may have been faster.
      if (this.#held.has(key)) lease[Symbol.dispose]();
      else {
        this.#held.set(key, { lease, timer: undefined });
        lease.onEnd = () => this.#letGo(key);
      }
    }
    const held = this.#held.get(key);
    if (held === undefined) throw new GatewayError('MEDIA_UNAVAILABLE', { why: 'the stream ended' });
    held.timer?.[Symbol.dispose]();
    held.timer = clock.schedule(addMs(clock.now(), LINGER_MS), () => this.#letGo(key));
    return held.lease.stream;
  }

  #letGo(key: string): void {
    const held = this.#held.get(key);
    this.#held.delete(key);
    held?.timer?.[Symbol.dispose]();
    held?.lease[Symbol.dispose]();
  }

  /** The one that the stream has, else the next. */
  async #keyFrame(stream: UnitStream): Promise<MediaUnit> {
    const found = Promise.withResolvers<MediaUnit>();
    const refuse = (why: string): void => found.reject(new GatewayError('MEDIA_UNAVAILABLE', { why }));
    const { clock } = this.#options;
    using _limit = clock.schedule(addMs(clock.now(), KEY_FRAME_MS), () => found.reject(new GatewayError('MEDIA_SILENT', { why: 'no key frame came', waitedMs: KEY_FRAME_MS })));
    using _seat = stream.join({
      still: true,
      onTracks: ({ video }: MediaTracks) => {
        if (video === null || (video.codec !== 'h264' && video.codec !== 'h265')) refuse(`no pictures that can be decoded: ${video?.codec ?? 'only sound'}`);
        else if (video.width * video.height > MAX_SOURCE_PIXELS) refuse(`pictures of ${video.width}x${video.height} are not decoded`);
      },
      onUnit: unit => {
        if (unit.kind === 'video' && unit.keyFrame) found.resolve(unit);
      },
      onEnd: refuse,
    });
    return await found.promise;
  }

  #jpegOf(unit: MediaUnit, width: number | null): Promise<Uint8Array> {
    const sizes = this.#made.get(unit.bytes) ?? new Map<number | null, Promise<Uint8Array>>();
    this.#made.set(unit.bytes, sizes);
    const known = sizes.get(width);
    if (known !== undefined) return known;
    const jpeg = this.#decode(unit, width);
    sizes.set(width, jpeg);
    jpeg.catch(() => sizes.delete(width));
    return jpeg;
  }

  async #decode(unit: MediaUnit, width: number | null): Promise<Uint8Array> {
    const facts = await this.#options.facts();
    if (this.#running >= MAX_AT_ONCE) throw new GatewayError('CAPACITY_EXHAUSTED', { why: `${MAX_AT_ONCE} snapshots are being made` });
    this.#running += 1;
    const { clock } = this.#options;
    const done = Promise.withResolvers<Uint8Array>();
    const parts: Uint8Array[] = [];
    let bytes = 0;
    const run = new FfmpegRun(facts, {
      argv: snapshotArgv(unit.codec as VideoCodec, width),
      onOutput: (_fd, part) => {
        bytes += part.length;
        if (bytes > MAX_JPEG_BYTES) run.kill('writes too much');
        else parts.push(part);
      },
      onExit: ({ code, signal, why }) => {
        this.#running -= 1;
        const jpeg = concatBytes(...parts);
        if (code === 0 && isWholeJpeg(jpeg)) done.resolve(jpeg);
        else done.reject(new GatewayError('MEDIA_UNAVAILABLE', { why: why ?? 'the picture cannot be decoded', code: code ?? signal ?? '', said: run.lastWords.slice(-200) }));
      },
    });
    using _limit = clock.schedule(addMs(clock.now(), DECODE_MS), () => run.kill('hangs'));
    run.write(unit.bytes);
    run.endInput();
    return await done.promise;
  }

  #count(name: string): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + 1);
  }
}
