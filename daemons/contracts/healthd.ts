/** What healthd offers over its RPC socket: the state of the node and of everything on it, its history, and its alarms. Times are wall milliseconds. */
import type { Author } from './configd.ts';
import type { ReloadAnswer, ReloadParams } from './reload.ts';

export type Severity = 'info' | 'warning' | 'critical';

/** One measured value. Names and units follow Prometheus: `viewlink_disk_used_ratio`, `_bytes`, `_seconds`, `_total`. */
export interface Sample {
  readonly metric: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricInfo {
  readonly metric: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
}

/** One thing that is watched, in a sentence. */
export interface HealthCheck {
  /** `disk:/var`, `nic:eth0`, `daemon:sipd`, `clock`, `upstream:city` ... */
  readonly subject: string;
  readonly state: 'good' | 'degraded' | 'broken' | 'unknown' | 'absent';
  readonly says: string;
}

export interface AlarmRow {
  readonly alarmId: number;
  /** `disk.full`, `nic.down`, `daemon.restarts` ... */
  readonly rule: string;
  readonly subject: string;
  readonly severity: Severity;
  readonly says: string;
  readonly value: number | null;
  readonly raisedAtWallMs: number;
  readonly clearedAtWallMs: number | null;
  readonly acknowledged: { readonly user: string; readonly atWallMs: number } | null;
}

export interface HealthReport {
  readonly node: string;
  readonly atWallMs: number;
  readonly state: 'good' | 'degraded' | 'broken';
  readonly checks: readonly HealthCheck[];
}

export interface HistorySeries {
  readonly labels: Readonly<Record<string, string>>;
  /** Oldest first; `max` and `min` over the step. */
  readonly points: readonly { readonly atWallMs: number; readonly mean: number; readonly min: number; readonly max: number }[];
}

export interface HealthdRequests {
  report(params: Record<string, never>): HealthReport;
  /** Everything measured last. */
  samples(params: Record<string, never>): { readonly infos: readonly MetricInfo[]; readonly samples: readonly Sample[] };
  /** From the finest roll-up that reaches back so far: 1 s, 1 min, 15 min. Labels that are given must match. */
  history(params: { readonly metric: string; readonly labels: Readonly<Record<string, string>>; readonly fromWallMs: number; readonly toWallMs: number; readonly maxPoints: number }): { readonly stepMs: number; readonly series: readonly HistorySeries[] };
  alarms(params: { readonly activeOnly: boolean; readonly limit: number }): readonly AlarmRow[];
  /** PEER_UNKNOWN: no such alarm. */
  acknowledge(params: { readonly alarmId: number; readonly author: Author }): null;
  counters(params: Record<string, never>): Readonly<Record<string, number>>;
  reload(params: ReloadParams): ReloadAnswer;
}

/** Sent to every connected client as the notification `event`. Raised again: the same alarm became worse. */
export type HealthdEvent = { readonly type: 'alarm-raised' | 'alarm-cleared'; readonly alarm: AlarmRow };
