/**
 * History on disk. A minute comes, and in one transaction its seconds are written, its mean, least and most go into the hour, and
 * the quarter that it belongs to is made anew from the hour: whatever was lost by a crash is at most the minute that ran. A disk
 * that fails costs minutes, never the process; the file is bounded, and what is oldest goes first.
 */
import { join } from 'node:path';
import type { HistorySeries } from '#contracts/healthd.ts';
import { Horizon } from '#core/health/history/horizon.ts';
import type { FullMinute, MinuteSeries } from '#core/health/history/minute.ts';
import { type Chunk, type Point, type Step, STEPS, decodeChunk, emptyChunk, encodeChunk, merge, pointsOf, setPoint, stepFor, stride, thin } from '#core/health/history/points.ts';
import type { Labels } from '#core/health/model.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { HISTORY_MIGRATIONS } from '#kit/migrations/history.ts';
import { isStorageTrouble, openSqliteFile, sqliteCode, type SqliteDatabase, type SqliteStatement } from '#kit/sqlite-file.ts';

const FILE_NAME = 'history.sqlite3';
const HORIZON_KEY = 'horizonMs';
/** Of one answer. */
const MAX_SERIES = 256;
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
  readonly #statements: Readonly<Record<'get' | 'put' | 'find' | 'add' | 'named', SqliteStatement>>;
  #maxBytes: number;
  #failing: string | null = null;
  #lostMinutes = 0;
  #prunedAtS = 0;

  /** `directory` is made when missing; `:memory:` keeps nothing. */
  constructor(directory: string, { clock, log, maxBytes }: { readonly clock: Clock; readonly log: Log; readonly maxBytes: number }) {
    const file = openSqliteFile(directory === ':memory:' ? directory : join(directory, FILE_NAME), clock, log, HISTORY_MIGRATIONS);
    this.#database = file.database;
    this.#durable = file.durable;
    this.#clock = clock;
    this.#log = log;
    this.#maxBytes = maxBytes;
    this.limitBytes(maxBytes);
    const saved = this.#database.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(HORIZON_KEY);
    this.#horizon = new Horizon(typeof saved === 'string' && Number.isFinite(Number(saved)) ? Number(saved) : null, clock.now(), clock.wall());
    this.#statements = {
      get: this.#database.prepare('SELECT points FROM chunks WHERE step = ? AND startS = ? AND series = ?').pluck(),
      put: this.#database.prepare('INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)'),
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
    try {
      this.#database.transaction(() => {
        for (const series of minute.series) this.#writeSeries(series, minute.startS);
      })();
      if (this.#failing !== null) this.#log.warn({ lostMinutes: this.#lostMinutes }, 'history.recovered');
      this.#failing = null;
      this.#prune(minute.startS);
    } catch (error) {
      if (!isStorageTrouble(error)) throw error;
      this.#ids.clear();
      this.#lostMinutes += 1;
      if (this.#failing === null) this.#log.error({ code: sqliteCode(error), why: (error as Error).message }, 'history.failing');
      this.#failing = sqliteCode(error);
      if (this.#failing === 'SQLITE_FULL') this.#makeRoom();
    }
  }

  /** Points of the finest step that reaches back so far; `running` is the minute that is not written yet. */
  query({ metric, labels, fromWallMs, toWallMs, maxPoints }: HistoryQuery, running: FullMinute | null): { stepMs: number; series: HistorySeries[] } {
    const [fromS, toS] = [Math.floor(fromWallMs / 1000), Math.ceil(toWallMs / 1000)];
    const step = stepFor(fromS, Math.floor(this.#clock.wall() / 1000));
    const groupS = step.stepS * stride(fromS, toS, step, maxPoints);
    const fits = (of: Labels): boolean => Object.entries(labels).every(([name, value]) => of[name] === value);
    const found = new Map<string, { labels: Labels; points: Point[] }>();
    for (const { id, labels: text } of this.#statements.named.all(metric) as { id: number; labels: string }[]) {
      const of = JSON.parse(text) as Labels;
      if (fits(of) && found.size < MAX_SERIES) found.set(text, { labels: of, points: this.#read(id, step, fromS, toS) });
    }
    for (const series of running?.series ?? []) if (fits(series.labels)) addRunning(found, series, running!.startS, step);
    const series = [...found.values()].map(({ labels: of, points }) => ({ labels: of, points: thin(points.filter(({ atS }) => atS >= fromS && atS < toS), groupS).map(({ atS, ...rest }) => ({ atWallMs: atS * 1000, ...rest })) }));
    return { stepMs: groupS * 1000, series: series.filter(({ points }) => points.length > 0) };
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

  #read(id: number, step: Step, fromS: number, toS: number): Point[] {
    const points: Point[] = [];
    for (let startS = floorTo(fromS, step.chunkS); startS < toS; startS += step.chunkS) {
      const bytes = this.#statements.get.get(step.stepS, startS, id);
      if (bytes instanceof Uint8Array) points.push(...pointsOf(decodeChunk(bytes, step), startS, step));
    }
    return points;
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
function addRunning(found: Map<string, { labels: Labels; points: Point[] }>, { labels, values }: MinuteSeries, startS: number, step: Step): void {
  const fine = pointsOf(values, startS, STEPS[0]);
  const merged = merge(fine);
  if (merged === undefined) return;
  const text = JSON.stringify(labels);
  let entry = found.get(text);
  if (entry === undefined) found.set(text, (entry = { labels, points: [] }));
  const points = step.stepS === 1 ? fine : [{ atS: startS, ...merged }];
  // A clock that was set back gives a minute that is on the disk too: what is newer stands.
  const kept = entry.points.filter(({ atS }) => !points.some(point => point.atS === atS));
  entry.points = [...kept, ...points];
}
