/**
 * What was measured last, by group, and what follows from it: history, rules, alarms. Collectors hand in what they read; nothing
 * here waits for anything.
 *
 *   collectors -> take(group) -> samples, history
 *                             -> rules -> alarm book -> `onAlarm`: log, listeners, collectors of syslog, platforms above
 */
import type { AlarmRow, HealthReport, MetricInfo, Sample } from '#contracts/healthd.ts';
import type { ThresholdsOf } from '#core/config/health-schema.ts';
import { checksOf, overall, worstFirst, type Check } from '#core/health/checks.ts';
import { MinuteBuffer } from '#core/health/history/minute.ts';
import { METRICS } from '#core/health/metrics.ts';
import { Gathering, type Measured } from '#core/health/model.ts';
import { RuleBook, type RuleOutput } from '#core/health/rules.ts';
import type { Clock } from '#kit/clock.ts';
import type { AlarmBook } from './alarm-book.ts';
import type { HistoryStore, HistoryQuery } from './history-store.ts';

export interface WatchOptions {
  readonly clock: Clock;
  readonly history: HistoryStore;
  readonly alarms: AlarmBook;
  readonly node: () => string;
  readonly thresholds: ThresholdsOf;
  readonly onAlarm: (type: 'alarm-raised' | 'alarm-cleared', alarm: AlarmRow) => void;
}

export class Watch implements Disposable {
  readonly #options: WatchOptions;
  readonly #groups = new Map<string, Measured>();
  readonly #minute = new MinuteBuffer();
  readonly #rules: RuleBook;
  #thresholds: ThresholdsOf;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#thresholds = options.thresholds;
    this.#rules = new RuleBook((rule, subject) => this.#thresholds(rule, subject));
    this.#rules.restore(options.alarms.raised, options.clock.now());
  }

  /** In place of what this group said before. `recorded: false`: it is told, but no history of it is kept. */
  take(group: string, measured: Measured, { recorded = true }: { readonly recorded?: boolean } = {}): void {
    const { clock, history } = this.#options;
    this.#groups.set(group, measured);
    if (recorded && measured.samples.length > 0) {
      const full = this.#minute.record(measured.samples, clock.now(), clock.wall());
      if (full !== null) history.write(full);
    }
    this.#apply(this.#rules.observe(measured, clock.now(), group));
  }

  /** It cannot be asked: alarms of it stand as they are, and none is raised. */
  drop(group: string): void {
    this.#groups.delete(group);
    this.#rules.unasked(group, this.#options.clock.now());
  }

  /** Once a second. */
  tick(): void {
    this.#apply(this.#rules.tick(this.#options.clock.now()));
  }

  set thresholds(thresholds: ThresholdsOf) {
    this.#thresholds = thresholds;
    this.tick();
  }

  get checks(): readonly Check[] {
    return checksOf([...this.#groups.values()].flatMap(({ observations }) => observations), this.#thresholds).sort(worstFirst);
  }

  report(): HealthReport {
    const { clock, node } = this.#options;
    const { checks } = this;
    return { node: node(), atWallMs: clock.wall(), state: overall(checks), checks };
  }

  samples(): { readonly infos: readonly MetricInfo[]; readonly samples: readonly Sample[] } {
    const samples = [...this.#groups.values(), this.#alarmFigures()].flatMap(({ samples: of }) => of);
    const names = new Set(samples.map(({ metric }) => metric));
    const infos = [...names].sort().map(metric => ({ metric, help: METRICS[metric]?.help ?? '', type: METRICS[metric]?.type ?? 'gauge' }) as const);
    return { infos, samples };
  }

  history(query: HistoryQuery): ReturnType<HistoryStore['query']> {
    return this.#options.history.query(query, this.#minute.running(query.metric));
  }

  get seriesNow(): number {
    return this.#minute.size;
  }

  /** The minute that runs goes to the disk. */
  [Symbol.dispose](): void {
    const full = this.#minute.take();
    if (full !== null) this.#options.history.write(full);
  }

  #alarmFigures(): Measured {
    const found = new Gathering();
    const { active } = this.#options.alarms;
    for (const severity of ['info', 'warning', 'critical'] as const) found.sample('viewlink_alarms_active', { severity }, active.filter(alarm => alarm.severity === severity).length);
    return found;
  }

  #apply(outputs: readonly RuleOutput[]): void {
    for (const output of outputs) {
      const row = this.#options.alarms.apply(output);
      if (row !== null) this.#options.onAlarm(output.type === 'raise' ? 'alarm-raised' : 'alarm-cleared', row);
    }
  }
}
