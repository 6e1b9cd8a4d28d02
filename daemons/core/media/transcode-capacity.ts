/**
 * Whether one more transcoder fits: by what jobs of its kind were seen to cost, before that by a careful guess. Costs are cores for each
 * megapixel a second (in and out together), so that a job of another size tells about this one.
 */
import type { TranscodePlan } from './transcode-plan.ts';

type Load = Pick<TranscodePlan, 'kind' | 'megapixelsPerS'>;

/** H.264 in and out on a slow core takes some 0.012, H.265 out twice that. */
const GUESSED_CORES_PER_MEGAPIXEL = 0.015;
/** Sound alone. */
const SOUND_CORES = 0.02;
/** Each measurement moves what is known by this share; a higher one at once. */
const SETTLE = 0.2;
/** Of a job with less to do nothing is learnt. */
const LEAST_MEGAPIXELS = 0.1;

export class TranscodeCapacity {
  readonly #perMegapixel = new Map<string, number>();
  readonly #jobs = new Map<string, { readonly load: Load; measured: number | undefined }>();
  /** Cores that all jobs together may take. */
  cores: number;
  maxJobs: number;

  constructor(limits: { readonly cores: number; readonly maxJobs: number }) {
    this.cores = limits.cores;
    this.maxJobs = limits.maxJobs;
  }

  get jobs(): number {
    return this.#jobs.size;
  }

  /** Cores that the running jobs take: as measured, else as expected. */
  get used(): number {
    return [...this.#jobs.values()].reduce((sum, { load, measured }) => sum + (measured ?? this.expected(load)), 0);
  }

  expected({ kind, megapixelsPerS }: Load): number {
    if (megapixelsPerS === 0) return SOUND_CORES;
    return (this.#perMegapixel.get(kind) ?? GUESSED_CORES_PER_MEGAPIXEL) * megapixelsPerS;
  }

  /** A sentence when nothing more fits, whatever it is. */
  refuses(): string | null {
    if (this.#jobs.size >= this.maxJobs) return `${this.maxJobs} transcoders run already`;
    return this.#jobs.size > 0 && this.used >= this.cores ? `all ${round(this.cores)} cores of transcoding are taken` : null;
  }

  /** A sentence why not; null: it is in. */
  enter(jobId: string, load: Load): string | null {
    this.leave(jobId);
    const full = this.refuses();
    if (full !== null) return full;
    const wanted = this.expected(load);
    // The first one always may: what is too much for the machine shows, instead of never working.
    if (this.#jobs.size > 0 && this.used + wanted > this.cores) return `it would take ${round(wanted)} cores, and ${round(Math.max(0, this.cores - this.used))} of ${round(this.cores)} are left`;
    this.#jobs.set(jobId, { load, measured: undefined });
    return null;
  }

  leave(jobId: string): void {
    this.#jobs.delete(jobId);
  }

  /** Cores that the job took lately, and megapixels a second (in and out) that it did for them. */
  measured(jobId: string, cores: number, megapixelsPerS: number): void {
    const job = this.#jobs.get(jobId);
    if (job === undefined || megapixelsPerS < LEAST_MEGAPIXELS) return;
    job.measured = cores;
    const seen = cores / megapixelsPerS;
    const known = this.#perMegapixel.get(job.load.kind) ?? 0;
    this.#perMegapixel.set(job.load.kind, seen > known ? seen : known + (seen - known) * SETTLE);
  }
}

const round = (value: number): number => Math.round(value * 100) / 100;
