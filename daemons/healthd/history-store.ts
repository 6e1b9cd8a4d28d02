/**
 * History on disk. A minute comes, and in one transaction its seconds are written, its mean, least and most go into the hour, and
 * the quarter that it belongs to is made anew from the hour: whatever was lost by a crash is at most the minute that ran. A disk
 * that fails costs minutes, never the process; the file is bounded, and what is oldest goes first.
 */
import { join } from 'node:path';
import type { HistorySeries } from '#contracts/healthd.ts';
import { Horizon } from '#core/health/history/horizon.ts';
import type { FullMinute, MinuteSeries } from '#core/health/history/minute.ts';
import { type Chunk, type Point, type Step, STEPS, Thinner, decodeChunk, emptyChunk, encodeChunk, merge, pointsOf, setPoint, stepFor, stride } from '#core/health/history/points.ts';
import type { Labels } from '#core/health/model.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { HISTORY_MIGRATIONS } from '#kit/migrations/history.ts';
import { isStorageTrouble, openSqliteFile, sqliteCode, type SqliteDatabase, type SqliteStatement } from '#kit/sqlite-file.ts';

const FILE_NAME = 'history.sqlite3';
const HORIZON_KEY = 'horizonMs';
/** Of one answer. */
const MAX_SERIES = 256;
const MAX_CHUNKS = 20_000;
/** Pages of the file in our memory: a minute touches each once. */
const CACHE_KIB = 1024;
/** Series whose number is remembered. */
const MAX_IDS = 20_000;
/** Beyond this share of what it may be the oldest is dropped, down to the other. */
const FULL_SHARE = 0.95;
const FREED_SHARE = 0.85;
/** Chunks in the future are not dropped before they are so far ahead. */
const AHEAD_S = 86_400;

export interface HistoryQuery {
  readonly metric: string;
  readonly labels: Labels;
  readonly fromWallMs: number;
  readonly toWallMs: number;
  readonly maxPoints: number;
}

/** Unix seconds. */
interface Span {
  readonly fromS: number;
  readonly toS: number;
}

export interface HistoryFigures {
  readonly bytes: number;
  /** What the disk said last; null: it takes everything. */
  readonly failing: string | null;
  readonly durable: boolean;
  readonly lostMinutes: number;
}

export class HistoryStore implements Disposable {
  readonly #database: SqliteDatabase;
  readonly #durable: boolean;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #horizon: Horizon;
  readonly #ids = new Map<string, number>();
  readonly #statements: Readonly<Record<'get' | 'put' | 'next' | 'find' | 'add' | 'named', SqliteStatement>>;
  #maxBytes: number;
  #failing: string | null = null;
  #lostMinutes = 0;
  #prunedAtS = 0;

  /** `directory` is made when missing; `:memory:` keeps nothing. */
  constructor(directory: string, { clock, log, maxBytes }: { readonly clock: Clock; readonly log: Log; readonly maxBytes: number }) {
    const file = openSqliteFile(directory === ':memory:' ? directory : join(directory, FILE_NAME), clock, log, { steps: HISTORY_MIGRATIONS });
    this.#database = file.database;
    this.#durable = file.durable;
    this.#clock = clock;
    this.#log = log;
    this.#maxBytes = maxBytes;
    this.#database.pragma(`cache_size = -${CACHE_KIB}`);
    this.limitBytes(maxBytes);
    const saved = this.#database.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(HORIZON_KEY);
    this.#horizon = new Horizon(typeof saved === 'string' && Number.isFinite(Number(saved)) ? Number(saved) : null, clock.now(), clock.wall());
    this.#statements = {
      get: this.#database.prepare('SELECT points FROM chunks WHERE step = ? AND startS = ? AND series = ?').pluck(),
      put: this.#database.prepare('INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)'),
      next: this.#database.prepare('SELECT startS FROM chunks WHERE step = ? AND startS >= ? ORDER BY startS LIMIT 1').pluck(),
      find: this.#database.prepare('SELECT id FROM series WHERE metric = ? AND labels = ?').pluck(),
      add: this.#database.prepare('INSERT INTO series (metric, labels) VALUES (?, ?) RETURNING id').pluck(),
      named: this.#database.prepare('SELECT id, labels FROM series WHERE metric = ? ORDER BY id'),
    };
  }

  /** Takes effect at once; what is beyond goes with the next minute. */
  limitBytes(maxBytes: number): void {
    this.#maxBytes = maxBytes;
    this.#database.pragma(`max_page_count = ${Math.max(64, Math.floor(maxBytes / this.#pragma('page_size')))}`);
  }

  get figures(): HistoryFigures {
    return { bytes: this.#usedBytes(), failing: this.#failing, durable: this.#durable, lostMinutes: this.#lostMinutes };
  }

  /** The clock was set by so many ms since the last call; 0: it was not. */
  followClock(): number {
    return this.#horizon.follow(this.#clock.now(), this.#clock.wall());
  }

  write(minute: FullMinute): void {
    const failed = this.#attempt(() => {
      this.#database.transaction(() => {
        for (const series of minute.series) this.#writeSeries(series, minute.startS);
      })();
      this.#prune(minute.startS);
    });
    if (failed === null) {
      if (this.#failing !== null) this.#log.warn({ lostMinutes: this.#lostMinutes }, 'history.recovered');
      this.#failing = null;
      return;
    }
    this.#ids.clear();
    this.#lostMinutes += 1;
    if (this.#failing === null) this.#log.error({ code: failed }, 'history.failing');
    this.#failing = failed;
    // Its own bound, or that of the disk: where there is no room, dropping may fail too.
    if (failed === 'SQLITE_FULL') this.#attempt(() => this.#makeRoom());
  }

  /** What the disk had against it; null: nothing. */
  #attempt(run: () => void): string | null {
    try {
      run();
      return null;
    } catch (error) {
      if (!isStorageTrouble(error)) throw error;
      return sqliteCode(error);
    }
  }

  /** Points of the finest step that reaches back so far; `running` is the minute that is not written yet. */
  query({ metric, labels, fromWallMs, toWallMs, maxPoints }: HistoryQuery, running: FullMinute | null): { stepMs: number; series: HistorySeries[] } {
    const span = { fromS: Math.floor(fromWallMs / 1000), toS: Math.ceil(toWallMs / 1000) };
    const step = stepFor(span.fromS, Math.floor(this.#clock.wall() / 1000));
    const groupS = step.stepS * stride(span.fromS, span.toS, step, maxPoints);
    const starts = this.#starts(step, span);
    const fits = (of: Labels): boolean => Object.entries(labels).every(([name, value]) => of[name] === value);
    const runs = new Map(running?.series.filter(series => fits(series.labels)).map(series => [JSON.stringify(series.labels), series]));
    const stored = new Map((this.#statements.named.all(metric) as { id: number; labels: string }[]).map(({ id, labels: text }) => [text, id]));
    const series: HistorySeries[] = [];
    // Whoever asks for a year of everything gets a part of it: the others wait for us meanwhile.
    const most = Math.min(MAX_SERIES, Math.max(1, Math.floor(MAX_CHUNKS / Math.max(1, starts.length))));
    for (const text of new Set([...stored.keys(), ...runs.keys()])) {
      const of = JSON.parse(text) as Labels;
      if (!fits(of) || series.length >= most) continue;
      const points = this.#points(stored.get(text), runs.get(text), running?.startS ?? 0, step, starts, span, groupS);
      if (points.length > 0) series.push({ labels: of, points: points.map(({ atS, ...rest }) => ({ atWallMs: atS * 1000, ...rest })) });
    }
    return { stepMs: groupS * 1000, series };
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #writeSeries({ metric, labels, values }: MinuteSeries, minuteS: number): void {
    const [seconds, minutes, quarters] = STEPS;
    const id = this.#idOf(metric, labels);
    const fine = this.#chunk(seconds, minuteS, id);
    values.forEach((value, slot) => {
      if (Number.isFinite(value)) fine[slot] = value;
    });
    this.#put(seconds, minuteS, id, fine);
    const hourS = floorTo(minuteS, minutes.chunkS);
    const hour = this.#chunk(minutes, hourS, id);
    const point = merge(pointsOf(fine, minuteS, seconds));
    if (point === undefined) return;
    setPoint(hour, (minuteS - hourS) / minutes.stepS, point);
    this.#put(minutes, hourS, id, hour);
    const quarterS = floorTo(minuteS, quarters.stepS);
    const quarter = merge(pointsOf(hour, hourS, minutes).filter(({ atS }) => atS >= quarterS && atS < quarterS + quarters.stepS))!;
    const halfDayS = floorTo(minuteS, quarters.chunkS);
    const halfDay = this.#chunk(quarters, halfDayS, id);
    setPoint(halfDay, (quarterS - halfDayS) / quarters.stepS, quarter);
    this.#put(quarters, halfDayS, id, halfDay);
  }

  #chunk(step: Step, startS: number, id: number): Chunk {
    const bytes = this.#statements.get.get(step.stepS, startS, id);
    return bytes instanceof Uint8Array ? decodeChunk(bytes, step) : emptyChunk(step);
  }

  #put(step: Step, startS: number, id: number, chunk: Chunk): void {
    this.#statements.put.run(step.stepS, startS, id, encodeChunk(chunk));
  }

  /** Begins of chunks that are there: a span of a thousand years has no more of them than a year. */
  #starts(step: Step, { fromS, toS }: Span): number[] {
    const starts: number[] = [];
    for (let startS = this.#statements.next.get(step.stepS, floorTo(fromS, step.chunkS)); typeof startS === 'number' && startS < toS && starts.length < MAX_CHUNKS; startS = this.#statements.next.get(step.stepS, startS + 1)) starts.push(startS);
    return starts;
  }

  #points(id: number | undefined, running: MinuteSeries | undefined, runningS: number, step: Step, starts: readonly number[], { fromS, toS }: Span, groupS: number): Point[] {
    const thinner = new Thinner(groupS);
    const add = (points: readonly Point[]): void => {
      for (const point of points) if (point.atS >= fromS && point.atS < toS) thinner.add(point);
    };
    const fresh = running === undefined ? [] : runningPoints(running, runningS, step);
    const isFresh = new Set(fresh.map(({ atS }) => atS));
    for (const startS of id === undefined ? [] : starts) {
      const bytes = this.#statements.get.get(step.stepS, startS, id);
      // A clock that was set back gives a minute that is on the disk too: what is newer stands.
      if (bytes instanceof Uint8Array) add(pointsOf(decodeChunk(bytes, step), startS, step).filter(({ atS }) => !isFresh.has(atS)));
    }
    add(fresh);
    return thinner.points;
  }

  #idOf(metric: string, labels: Labels): number {
    const text = JSON.stringify(labels);
    const key = `${metric} ${text}`;
    let id = this.#ids.get(key) ?? (this.#statements.find.get(metric, text) as number | undefined);
    id ??= this.#statements.add.get(metric, text) as number;
    if (this.#ids.size < MAX_IDS) this.#ids.set(key, id);
    return id;
  }

  /** Once in ten minutes what is older than it is kept, or was written under a clock that ran ahead; and whenever it is too large. */
  #prune(minuteS: number): void {
    if (this.#usedBytes() > this.#maxBytes * FULL_SHARE) this.#makeRoom();
    if (Math.abs(minuteS - this.#prunedAtS) < 600) return;
    this.#prunedAtS = minuteS;
    const horizonS = this.#horizon.atMs / 1000;
    this.#database.transaction(() => {
      for (const { stepS, chunkS, keepS } of STEPS) this.#database.prepare('DELETE FROM chunks WHERE step = ? AND startS < ?').run(stepS, Math.floor(horizonS - keepS - chunkS));
      if (this.#horizon.isSteady(this.#clock.now())) this.#database.prepare('DELETE FROM chunks WHERE startS > ?').run(Math.floor(this.#clock.wall() / 1000) + AHEAD_S);
      this.#database.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)').run(HORIZON_KEY, String(Math.round(this.#horizon.atMs)));
    })();
    this.#forgetSeries();
  }

  /** Series of which nothing is left. */
  #forgetSeries(): void {
    const { changes } = this.#database.prepare('DELETE FROM series WHERE id NOT IN (SELECT series FROM chunks WHERE step = ?)').run(STEPS[2].stepS);
    if (changes > 0) this.#ids.clear();
  }

  /** Of the step that takes most the oldest chunks, again and again. */
  #makeRoom(): void {
    for (let round = 0; round < 64 && this.#usedBytes() > this.#maxBytes * FREED_SHARE; round++) {
      const largest = this.#database.prepare('SELECT step, min(startS) AS oldest, max(startS) AS newest FROM chunks GROUP BY step ORDER BY sum(length(points)) DESC LIMIT 1').get() as { step: number; oldest: number; newest: number } | undefined;
      if (largest === undefined) return;
      const upTo = largest.oldest + Math.floor((largest.newest - largest.oldest) / 10);
      const { changes } = this.#database.prepare('DELETE FROM chunks WHERE step = ? AND startS <= ?').run(largest.step, upTo);
      this.#log.warn({ stepS: largest.step, chunks: changes }, 'history.shortened');
    }
    // Whatever was moved about meanwhile stands in the write-ahead log too.
    this.#database.pragma('wal_checkpoint(TRUNCATE)');
  }

  #usedBytes(): number {
    return (this.#pragma('page_count') - this.#pragma('freelist_count')) * this.#pragma('page_size');
  }

  #pragma(name: string): number {
    return Number(this.#database.pragma(name, { simple: true }));
  }
}

const floorTo = (value: number, unit: number): number => Math.floor(value / unit) * unit;

/** The running minute as points of the step that is asked for. */
function runningPoints({ values }: MinuteSeries, startS: number, step: Step): Point[] {
  const fine = pointsOf(values, startS, STEPS[0]);
  const merged = merge(fine);
  if (merged === undefined) return [];
  return step.stepS === 1 ? fine : [{ atS: startS, ...merged }];
}
