/** The inspection as tables, whatever prints them: what is wrong first, then what is good, then how the day went. */
import type { AlarmRow, HealthReport } from '#contracts/healthd.ts';
import { duration } from '../render.ts';
import { short, sparkline } from '../spark.ts';
import { DAY_MS, type DaySeries, type InspectionFacts } from './facts.ts';

const MAX_CHANNELS = 20;
const COLUMNS_OF_LINE = 24;

export type Mark = 'good' | 'degraded' | 'broken' | 'none';

export interface ReportTable {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly { readonly cells: readonly string[]; readonly mark: Mark }[];
  /** In place of an empty table. */
  readonly nothing: string;
}

export interface Inspection {
  readonly title: string;
  readonly subtitle: string;
  readonly mark: Mark;
  readonly tables: readonly ReportTable[];
}

export const timeText = (atWallMs: number): string => `${new Date(atWallMs).toISOString().slice(0, 19).replace('T', ' ')} UTC`;

export function inspectionOf(facts: InspectionFacts): Inspection {
  const { report, atWallMs, versions, silent } = facts;
  const state = report?.state ?? 'broken';
  const tables = [
    silentTable(silent),
    alarmTable('Alarms that stand', facts.alarms.filter(({ clearedAtWallMs }) => clearedAtWallMs === null), atWallMs, 'none'),
    ...(report === null ? [] : checkTables(report)),
    goneTable(facts),
    upstreamTable(facts),
    lossTable(facts),
    alarmTable('Alarms of the last day that are over', facts.alarms.filter(({ clearedAtWallMs }) => clearedAtWallMs !== null), atWallMs, 'none'),
    dayTable(facts.day, atWallMs),
    configurationTable(facts),
    { title: 'Versions', columns: ['What', 'Version'], rows: Object.entries(versions).map(([what, version]) => ({ cells: [what, version], mark: 'none' as const })), nothing: '' },
  ];
  return { title: `Inspection of ${report?.node ?? 'the gateway'}: ${report === null ? 'healthd does not answer' : state}`, subtitle: timeText(atWallMs), mark: state, tables: tables.filter(table => table !== null) };
}

function silentTable(silent: readonly string[]): ReportTable | null {
  if (silent.length === 0) return null;
  return { title: 'Could not be asked', columns: ['Daemon'], rows: silent.map(text => ({ cells: [text], mark: 'broken' })), nothing: '' };
}

function alarmTable(title: string, alarms: readonly AlarmRow[], atWallMs: number, nothing: string): ReportTable {
  const rows = alarms.map(({ alarmId, severity, subject, says, raisedAtWallMs, clearedAtWallMs, acknowledged }) => {
    const lasted = duration(Math.max(0, (clearedAtWallMs ?? atWallMs) - raisedAtWallMs)) ?? '';
    return { cells: [String(alarmId), severity, subject, says, timeText(raisedAtWallMs), lasted, acknowledged?.user ?? ''], mark: clearedAtWallMs !== null ? 'none' : severity === 'critical' ? 'broken' : 'degraded' } as const;
  });
  return { title, columns: ['No.', 'Severity', 'Subject', 'What', 'Since', 'Lasted', 'Seen by'], rows, nothing };
}

/** By what stands before the colon of a subject. */
const GROUPS: readonly (readonly [string, RegExp])[] = [
  ['Not good', /(?!)/],
  ['Daemons and databases', /^(daemon|store|configuration)\b/],
  ['Platforms above, media and devices', /^(upstream|media|transcode|channel|devices?)\b/],
  ['Disks and arrays', /^(disk|disks|raid|drive)\b/],
  ['Network', /^(nic|bond|network)\b/],
  ['Processor, memory, clock and hardware', /./],
];

function checkTables({ checks }: HealthReport): ReportTable[] {
  const bad = checks.filter(({ state }) => state === 'broken' || state === 'degraded');
  const rest = checks.filter(check => !bad.includes(check));
  const groups = Map.groupBy(rest, ({ subject }) => GROUPS.findIndex(([, pattern]) => pattern.test(subject)));
  return GROUPS.map(([title], i) => {
    const rows = (i === 0 ? bad : (groups.get(i) ?? [])).map(({ subject, state, says }) => ({ cells: [subject, state, says], mark: state === 'broken' || state === 'degraded' || state === 'good' ? state : 'none' }) as const);
    return { title, columns: ['Subject', 'State', 'What'], rows, nothing: i === 0 ? 'everything that is measured is good' : 'nothing is measured' };
  });
}

function goneTable({ service }: InspectionFacts): ReportTable | null {
  if (service === null) return null;
  const { devices, gone, channels } = service;
  const rows = gone.map(({ id, name, reason, lastSeenAgeMs }) => ({ cells: [id, name ?? '', reason, duration(lastSeenAgeMs) ?? ''], mark: 'degraded' }) as const);
  const more = devices.offline > gone.length ? `, the last ${gone.length} of them` : '';
  return { title: `Devices that are gone: ${devices.offline} of ${devices.online + devices.offline}${more}; ${channels.online} of ${channels.all} channels online`, columns: ['Device', 'Name', 'Why', 'Last heard ago'], rows, nothing: 'none' };
}

function upstreamTable({ service, samples }: InspectionFacts): ReportTable | null {
  if (service === null) return null;
  const bpsOf = (name: string): number => samples.find(({ metric, labels }) => metric === 'viewlink_upstream_bits_per_second' && labels['upstream'] === name)?.value ?? 0;
  const rows = service.upstreams.map(({ name, state, reason, sessions }) => ({ cells: [name, state, reason ?? '', String(sessions), `${short(bpsOf(name))}bit/s`], mark: state === 'online' ? 'good' : state === 'disabled' ? 'none' : 'broken' }) as const);
  return { title: 'Platforms above', columns: ['Upstream', 'State', 'Why', 'Sessions', 'Traffic'], rows, nothing: 'none are configured' };
}

function lossTable({ samples }: InspectionFacts): ReportTable {
  const lossy = samples.filter(({ metric, value }) => metric === 'viewlink_channel_loss_ratio' && value > 0).sort((a, b) => b.value - a.value).slice(0, MAX_CHANNELS);
  const rows = lossy.map(({ labels, value }) => ({ cells: [labels['channel'] ?? '', labels['device'] ?? '', `${(100 * value).toFixed(2)} %`], mark: value >= 0.05 ? 'degraded' : 'none' }) as const);
  return { title: 'Channels that lose packets now', columns: ['Channel', 'Device', 'Lost'], rows, nothing: 'none' };
}

function dayTable(day: readonly DaySeries[], atWallMs: number): ReportTable {
  const rows = day.filter(({ points }) => points.length > 0).map(({ metric, labels, points }) => {
    const of = Object.values(labels).join(' ');
    const mean = points.reduce((sum, point) => sum + point.mean, 0) / points.length;
    const most = points.reduce((highest, { max }) => Math.max(highest, max), -Infinity);
    const least = points.reduce((lowest, { min }) => Math.min(lowest, min), Infinity);
    return { cells: [metric.replace('viewlink_', ''), of, short(least), short(mean), short(most), sparkline(points, atWallMs - DAY_MS, atWallMs, COLUMNS_OF_LINE)], mark: 'none' } as const;
  });
  return { title: 'The last day', columns: ['Figure', 'Of', 'Least', 'Mean', 'Most', 'Line'], rows, nothing: 'no history yet' };
}

function configurationTable({ configuration }: InspectionFacts): ReportTable | null {
  if (configuration === null) return null;
  const { status, revisions } = configuration;
  const waits = status.pending === null ? '' : `, revision ${status.pending.revision} waits for its confirmation until ${timeText(status.pending.deadlineWallMs)}`;
  const rows = revisions.map(({ revision, atWallMs, author, reason, state, changes }) => ({ cells: [String(revision), timeText(atWallMs), author.user, reason, state, String(changes)], mark: state === 'pending' ? 'degraded' : 'none' }) as const);
  return { title: `Configuration: revision ${status.revision}${waits}${status.changedOutside ? ', written past configd' : ''}`, columns: ['Revision', 'When', 'Who', 'Why', 'State', 'Changes'], rows, nothing: 'no revisions' };
}
