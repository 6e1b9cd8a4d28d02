/** What the daily inspection looks at, asked of the daemons; what does not answer is said, and the rest goes on. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import type { ConfigdStatus, RevisionRow } from '#contracts/configd.ts';
import type { AlarmRow, HealthReport, HistorySeries, Sample } from '#contracts/healthd.ts';
import type { SipdSummary } from '#contracts/sipd.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import type { Context } from '../command.ts';

export const DAY_MS = 86_400_000;
const MAX_ALARMS = 1000;
const MAX_REVISIONS = 10;
const POINTS = 48;
/** Figures of the day, in this order. */
export const DAY_METRICS = [
  'viewlink_cpu_busy_ratio', 'viewlink_memory_available_bytes', 'viewlink_sources', 'viewlink_sessions', 'viewlink_media_receive_bits_per_second', 'viewlink_media_transmit_bits_per_second',
  'viewlink_media_loss_ratio', 'viewlink_nic_receive_bytes_total', 'viewlink_nic_transmit_bytes_total', 'viewlink_disk_used_ratio', 'viewlink_temperature_celsius', 'viewlink_daemon_resident_bytes', 'viewlink_daemon_loop_delay_p99_seconds',
] as const;

export interface DaySeries extends HistorySeries {
  readonly metric: string;
}

export interface InspectionFacts {
  readonly atWallMs: number;
  readonly versions: Readonly<Record<string, string>>;
  /** Null: that daemon did not answer. */
  readonly report: HealthReport | null;
  readonly samples: readonly Sample[];
  /** Of the last day, newest first, and those that stand. */
  readonly alarms: readonly AlarmRow[];
  readonly day: readonly DaySeries[];
  readonly service: SipdSummary | null;
  readonly configuration: { readonly status: ConfigdStatus; readonly revisions: readonly RevisionRow[] } | null;
  readonly silent: readonly string[];
}

export async function inspectionFacts(context: Context, version: string): Promise<InspectionFacts> {
  const atWallMs = systemClock.wall();
  const silent: string[] = [];
  const asked = async <T>(daemon: string, ask: () => Promise<T>): Promise<T | null> => {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      silent.push(`${daemon}: ${error.message}`);
      return null;
    }
  };
  context.progress('healthd');
  const health = await asked('healthd', () => healthFacts(context, atWallMs));
  context.progress('sipd');
  const service = await asked('sipd', () => context.sipd(client => client.call('summary', {})));
  context.progress('configd');
  const configuration = await asked('configd', () => context.configd(async client => ({ status: await client.call('status', {}), revisions: await client.call('history', { limit: MAX_REVISIONS }) })));
  const versions = { gateway: version, node: process.version, kernel: release(), system: systemName() };
  return { atWallMs, versions, report: health?.report ?? null, samples: health?.samples ?? [], alarms: health?.alarms ?? [], day: health?.day ?? [], service, configuration, silent };
}

type HealthFacts = Pick<InspectionFacts, 'samples' | 'alarms' | 'day'> & { readonly report: HealthReport };

function healthFacts(context: Context, atWallMs: number): Promise<HealthFacts> {
  return context.healthd(async client => {
    const [report, { samples }, alarms] = await Promise.all([client.call('report', {}), client.call('samples', {}), client.call('alarms', { activeOnly: false, limit: MAX_ALARMS })]);
    const day: DaySeries[] = [];
    for (const metric of DAY_METRICS) {
      const { series } = await client.call('history', { metric, labels: {}, fromWallMs: atWallMs - DAY_MS, toWallMs: atWallMs, maxPoints: POINTS });
      day.push(...series.map(each => ({ metric, ...each })));
    }
    return { report, samples, alarms: alarms.filter(({ clearedAtWallMs }) => clearedAtWallMs === null || clearedAtWallMs >= atWallMs - DAY_MS), day };
  });
}

function systemName(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]*)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}
