/**
 * Where an alarm goes: the journal, listeners over RPC, collectors of syslog, and over sipd the platforms above that want to hear of
 * it. What sipd has not taken stays marked in the book and goes when it answers again.
 */
import type { AlarmRow, HealthdEvent } from '#contracts/healthd.ts';
import type { RaiseAlarmParams } from '#contracts/sipd.ts';
import type { SyslogConfig } from '#core/config/health-schema.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { faultNotice, isToldUpward } from '#core/health/fault-notice.ts';
import { wallMs } from '#core/units.ts';
import { formatSyslog } from '#core/health/syslog.ts';
import type { Clock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import type { Log } from '#kit/log.ts';
import type { AlarmBook } from './alarm-book.ts';
import { openSyslog, type Syslog } from './syslog.ts';

const RANK = { info: 0, warning: 1, critical: 2 } as const;

export interface AlarmPostOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly alarms: AlarmBook;
  readonly config: () => GatewayConfig;
  readonly notify: (event: HealthdEvent) => void;
}

export class AlarmPost implements AsyncDisposable {
  readonly #options: AlarmPostOptions;
  #collectors: readonly { readonly config: SyslogConfig; readonly syslog: Syslog }[] = [];
  #closing = new Closer();
  #telling = false;
  #counts = { raised: 0, cleared: 0, told: 0 };

  constructor(options: AlarmPostOptions) {
    this.#options = options;
    this.#open(options.config());
  }

  take(type: HealthdEvent['type'], alarm: AlarmRow): void {
    const { log, notify, config } = this.#options;
    const cleared = type === 'alarm-cleared';
    const { alarmId, rule, subject, severity, says, value } = alarm;
    this.#counts[cleared ? 'cleared' : 'raised'] += 1;
    log[cleared || severity === 'info' ? 'info' : severity === 'warning' ? 'warn' : 'error']({ alarmId, rule, subject, severity, says, value }, `alarm.${cleared ? 'cleared' : 'raised'}`);
    notify({ type, alarm });
    const at = wallMs((cleared ? alarm.clearedAtWallMs : null) ?? this.#options.clock.wall());
    const message = formatSyslog({ alarmId, rule, subject, severity, says, cleared, at }, config().node.name);
    for (const { config: of, syslog } of this.#collectors) if (RANK[severity] >= RANK[of.least]) syslog.send(message);
  }

  /** What has not been told yet, in order, as far as `tell` takes it. */
  async tellUpstreams(tell: (params: RaiseAlarmParams) => Promise<boolean>): Promise<void> {
    const { alarms, config, clock } = this.#options;
    if (this.#telling || !config().upstreams.some(({ view }) => view.healthAlarms)) return;
    this.#telling = true;
    try {
      for (const alarm of alarms.untold.filter(({ rule }) => isToldUpward(rule))) {
        const { alarmId, severity, clearedAtWallMs } = alarm;
        const cleared = clearedAtWallMs !== null;
        // Its begin tells it from an alarm of the same number in a book that was begun anew.
        const key = `${alarmId} ${alarm.raisedAtWallMs} ${cleared ? 'cleared' : severity}`;
        if (!(await tell({ key, atWallMs: clearedAtWallMs ?? (clock.wall() < alarm.raisedAtWallMs ? clock.wall() : alarm.raisedAtWallMs), ...faultNotice({ ...alarm, cleared }) }))) return;
        alarms.told(alarm);
        this.#counts.told += 1;
      }
    } finally {
      this.#telling = false;
    }
  }

  configure(next: GatewayConfig): void {
    if (JSON.stringify(next.health.syslog) === JSON.stringify(this.#collectors.map(({ config }) => config))) return;
    void this.#closing[Symbol.asyncDispose]();
    this.#open(next);
  }

  get counters(): Record<string, number> {
    const sum = (key: 'sent' | 'dropped'): number => this.#collectors.reduce((all, { syslog }) => all + syslog[key], 0);
    return { 'alarms.raised': this.#counts.raised, 'alarms.cleared': this.#counts.cleared, 'alarms.told-upward': this.#counts.told, 'syslog.sent': sum('sent'), 'syslog.dropped': sum('dropped') };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closing[Symbol.asyncDispose]();
  }

  #open({ health }: GatewayConfig): void {
    const { clock, log } = this.#options;
    const closing = (this.#closing = new Closer());
    this.#collectors = health.syslog.map(config => ({ config, syslog: closing.use(openSyslog(config, { clock, log })) }));
  }
}
