/**
 * All transcoding of one mediad instance: a job for each stream and rendition, shared by all who want the same, gone a moment after the
 * last of them.
 */
import { availableParallelism } from 'node:os';
import type { TranscoderRow } from '#contracts/mediad.ts';
import { type TranscodeConfig, renditionOf } from '#core/config/transcode-schema.ts';
import { type Rendition, renditionKey } from '#core/media/rendition.ts';
import { TranscodeCapacity } from '#core/media/transcode-capacity.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import { type FfmpegFacts, probeFfmpeg } from '#kit/ffmpeg.ts';
import type { Log } from '#kit/log.ts';
import type { Renderer, RenderedStream } from '../leg.ts';
import type { StrainWatch } from '../strain-watch.ts';
import type { UnitStream } from '../unit-stream.ts';
import { TranscodeJob } from './job.ts';

/** From the request to the first picture of the rendition: a process starts in 0.1 s on an idle machine. */
const FIRST_PICTURE_MS = 20_000;
const MEASURE_MS = 2000;
/** A program that was not there is looked for again after this. */
const PROBE_AGAIN_MS = 30_000;
const SHARE_OF_MACHINE = 0.75;

export interface TranscodersOptions {
  readonly clock: Clock;
  readonly log: Log;
  config(): TranscodeConfig;
  /** Default: never. */
  readonly strain?: Pick<StrainWatch, 'admit' | 'refusal'> | undefined;
  /** For tests. */
  readonly probe?: (configured: string) => Promise<FfmpegFacts | { readonly why: string }>;
}

interface Shared {
  readonly job: TranscodeJob;
  users: number;
  linger: Disposable | undefined;
  failed: GatewayError | undefined;
}

export class Transcoders implements Renderer, Disposable {
  readonly #options: TranscodersOptions;
  readonly #capacity = new TranscodeCapacity({ cores: 0, maxJobs: 0 });
  readonly #jobs = new Map<UnitStream, Map<string, Shared>>();
  readonly #counters = new Map<string, number>();
  #facts: { readonly path: string; readonly until: number; readonly found: Promise<FfmpegFacts | { readonly why: string }> } | undefined;
  #measuring: Disposable | undefined;
  #serial = 0;
  #closed = false;

  constructor(options: TranscodersOptions) {
    this.#options = options;
  }

  /** By its name in the configuration; CHANNEL_UNKNOWN when there is none of that name. */
  rendition(name: string): Rendition {
    const found = this.#options.config().renditions.find(rendition => rendition.name === name);
    if (found === undefined) throw new GatewayError('CHANNEL_UNKNOWN', { rendition: name });
    return renditionOf(found);
  }

  /**
   * Settles when pictures of the rendition may be joined. Rejects with a GatewayError: CAPACITY_EXHAUSTED, MEDIA_UNAVAILABLE (no ffmpeg,
   * nothing that can be decoded), MEDIA_SILENT. `label`: for reports.
   */
  async render(source: UnitStream, rendition: Rendition, label: string): Promise<RenderedStream> {
    const shared = this.#jobs.get(source)?.get(renditionKey(rendition)) ?? (await this.#open(source, rendition, label));
    shared.users += 1;
    shared.linger?.[Symbol.dispose]();
    shared.linger = undefined;
    let gone = false;
    const leave = (): void => {
      if (gone) return;
      gone = true;
      this.#leave(source, shared);
    };
    try {
      await this.#firstPicture(shared);
      return { stream: shared.job.hub, [Symbol.dispose]: leave };
    } catch (error) {
      leave();
      throw error;
    }
  }

  passes(source: UnitStream, rendition: Rendition): boolean {
    return this.#jobs.get(source)?.get(renditionKey(rendition))?.job.passes === true;
  }

  async admit(source: UnitStream, rendition: Rendition): Promise<void> {
    await this.facts();
    if (this.#jobs.get(source)?.has(renditionKey(rendition)) === true) return;
    this.#options.strain?.admit('transcode');
    this.#applyLimits();
    const refused = this.#capacity.refuses();
    if (refused !== null) throw new GatewayError('CAPACITY_EXHAUSTED', { why: refused });
  }

  rows(): readonly TranscoderRow[] {
    return [...this.#jobs.values()].flatMap(jobs => [...jobs.values()].map(({ job }) => job.stats()));
  }

  counters(): Readonly<Record<string, number>> {
    return { ...Object.fromEntries(this.#counters), 'transcode.jobs': this.#capacity.jobs, 'transcode.millicores': Math.round(this.#capacity.used * 1000) };
  }

  /** What ffmpeg there is, looked for once; MEDIA_UNAVAILABLE when there is none. */
  async facts(): Promise<FfmpegFacts> {
    const { clock, log, config, probe = probeFfmpeg } = this.#options;
    const path = config().ffmpeg;
    if (this.#facts === undefined || this.#facts.path !== path || clock.now() >= this.#facts.until) {
      const fresh = { path, until: Infinity, found: probe(path) };
      this.#facts = fresh;
      const found = await fresh.found;
      if ('why' in found) {
        if (this.#facts === fresh) this.#facts = { ...fresh, until: clock.now() + PROBE_AGAIN_MS };
        log.warn({ why: found.why }, 'transcode.no-ffmpeg');
      } else log.info({ path: found.path, version: found.version, cage: found.caged }, 'transcode.ffmpeg');
    }
    const found = await this.#facts.found;
    if ('why' in found) throw new GatewayError('MEDIA_UNAVAILABLE', { why: found.why });
    return found;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#measuring?.[Symbol.dispose]();
    for (const jobs of [...this.#jobs.values()]) for (const shared of [...jobs.values()]) this.#close(shared, 'the gateway stops');
    this.#jobs.clear();
  }

  async #open(source: UnitStream, rendition: Rendition, label: string): Promise<Shared> {
    const facts = await this.facts();
    const key = renditionKey(rendition);
    const known = this.#jobs.get(source)?.get(key);
    if (known !== undefined) return known;
    this.#options.strain?.admit('transcode');
    if (this.#closed) throw new GatewayError('MEDIA_UNAVAILABLE', { why: 'the gateway stops' });
    const { clock, log, config } = this.#options;
    const { hardware, threads } = config();
    this.#applyLimits();
    const job = new TranscodeJob(`t${++this.#serial}`, label, source, rendition, { facts, capacity: this.#capacity, hardware, threads, clock, log, count: (name, by = 1) => this.#count(name, by) }, () => undefined);
    const shared: Shared = { job, users: 0, linger: undefined, failed: undefined };
    const jobs = this.#jobs.get(source) ?? new Map<string, Shared>();
    this.#jobs.set(source, jobs);
    jobs.set(key, shared);
    job.onEnd = error => {
      shared.failed = error;
      this.#forget(source, shared);
    };
    job.start();
    this.#measureSoon();
    return shared;
  }

  #applyLimits(): void {
    const { cores, maxJobs } = this.#options.config();
    this.#capacity.maxJobs = maxJobs;
    this.#capacity.cores = cores === 0 ? availableParallelism() * SHARE_OF_MACHINE : cores;
  }

  async #firstPicture(shared: Shared): Promise<void> {
    const { hub } = shared.job;
    const seen = Promise.withResolvers<void>();
    const failure = (): GatewayError => shared.failed ?? new GatewayError('MEDIA_UNAVAILABLE', { why: 'the rendition ended' });
    if (shared.failed !== undefined) throw failure();
    const { clock } = this.#options;
    using _limit = clock.schedule(addMs(clock.now(), FIRST_PICTURE_MS), () => seen.reject(new GatewayError('MEDIA_SILENT', { why: 'the transcoder gave no picture', waitedMs: FIRST_PICTURE_MS })));
    using _seat = hub.join({ onTracks: () => seen.resolve(), onUnit: () => undefined, onEnd: () => queueMicrotask(() => seen.reject(failure())) });
    await seen.promise;
  }

  #leave(source: UnitStream, shared: Shared): void {
    shared.users -= 1;
    if (shared.users > 0 || shared.failed !== undefined) return;
    const { clock, config, strain } = this.#options;
    // What was given up frees its memory and processor now.
    const lingerMs = (strain?.refusal('transcode') ?? null) === null ? config().lingerS * 1000 : 0;
    shared.linger = clock.schedule(addMs(clock.now(), lingerMs), () => {
      this.#forget(source, shared);
      this.#close(shared, 'nobody watches');
    });
  }

  #close(shared: Shared, why: string): void {
    shared.linger?.[Symbol.dispose]();
    shared.failed ??= new GatewayError('MEDIA_UNAVAILABLE', { why });
    shared.job.close(why);
  }

  #forget(source: UnitStream, shared: Shared): void {
    const jobs = this.#jobs.get(source);
    const key = renditionKey(shared.job.rendition);
    if (jobs?.get(key) === shared) jobs.delete(key);
    if (jobs?.size === 0) this.#jobs.delete(source);
  }

  #measureSoon(): void {
    if (this.#measuring !== undefined) return;
    const { clock } = this.#options;
    this.#measuring = clock.schedule(addMs(clock.now(), MEASURE_MS), () => {
      this.#measuring = undefined;
      const jobs = [...this.#jobs.values()].flatMap(each => [...each.values()]);
      for (const { job } of jobs) job.measure();
      if (jobs.length > 0) this.#measureSoon();
    });
  }

  #count(name: string, by: number): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + by);
  }
}
