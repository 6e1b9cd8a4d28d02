/** Schema of telemetry: history, limits of the rules, where alarms go. */
import { z } from 'zod';
import { isIp } from '../ip.ts';
import { RULES, RULE_NAMES, type RuleName } from '../health/rule-table.ts';
import type { Thresholds } from '../health/rules.ts';

const MAX_VALUE = 1e12;
const value = z.number().min(0).max(MAX_VALUE);
const line = (max: number): z.ZodString => z.string().max(max).regex(/^[^\0-\x1f\x7f]*$/, 'expected one line of text');
const path = z.string().max(255).regex(/^(\/[^\0\r\n]*)?$/, 'expected an absolute path');

const limits = z.strictObject({
  rule: z.enum(RULE_NAMES as [RuleName, ...RuleName[]]).describe('which rule'),
  subject: line(128).default('').describe('only for this, such as disk:/var or nic:eth1; empty: for all without an entry of their own'),
  enabled: z.boolean().default(true).describe('false: it raises nothing'),
  warning: value.nullable().optional().describe('limit of a warning, in the unit of the rule; null: none; missing: as built in, here and below'),
  critical: value.nullable().optional().describe('limit of a critical alarm'),
  clearBy: value.optional().describe('so far back from the limit is better'),
  holdS: z.number().min(0).max(86_400).optional().describe('it must last so long before it is raised'),
  clearS: z.number().min(0).max(86_400).optional().describe('and be better so long before it is cleared'),
});

const syslog = z.strictObject({
  address: z.string().max(255).refine(isIp, 'expected an IPv4 or IPv6 address').describe('collector'),
  port: z.int().min(1).max(65_535).default(514).describe('514 is usual for UDP and TCP, 6514 for TLS'),
  transport: z.enum(['udp', 'tcp', 'tls']).default('udp').describe('RFC 5426, RFC 6587 with octet counting, RFC 5425'),
  ca: path.default('').describe('tls: PEM file of who signed the certificate of the collector; empty: those of the system'),
  name: line(255).default('').describe('tls: name in its certificate; empty: its address'),
  least: z.enum(['info', 'warning', 'critical']).default('warning').describe('least severity that is sent'),
});

export const healthSchema = z.strictObject({
  enabled: z.boolean().default(true).describe('false: healthd answers what it is asked and measures nothing'),
  directory: path.default('').describe('databases of healthd; empty: health in state.directory'),
  historyMiB: z.int().min(16).max(65_536).default(512).describe('history: 1 s for an hour, 1 min for a week, 15 min for a year; beyond this size the oldest goes earlier'),
  channelSeries: z.int().min(0).max(10_000).default(2000).describe('series of single channels that are kept at once; the busiest channels go first'),
  inventoryS: z.int().min(60).max(86_400).default(300).describe('how often drives, controllers, certificates and the like are looked at'),
  certificates: z.array(path.min(1)).max(64).default(['/etc/viewlink']).describe('PEM files, or directories of them, whose expiry is watched'),
  limits: z.array(limits).max(1000).default([]).describe('other limits than those built in (vlink show rules)'),
  syslog: z.array(syslog).max(4).default([]).describe('collectors that alarms are sent to'),
});

export type HealthConfig = z.infer<typeof healthSchema>;
export type SyslogConfig = HealthConfig['syslog'][number];

export const healthDirectory = ({ health, state }: { readonly health: HealthConfig; readonly state: { readonly directory: string } }): string => health.directory || `${state.directory}/health`;

/** Undefined: the rule raises nothing there. */
export type ThresholdsOf = (rule: string, subject: string) => Thresholds | undefined;

/** Limits in force, by rule and subject. An entry for the subject goes before one for all; the first of each counts. */
export function thresholdsOf({ limits: entries }: Pick<HealthConfig, 'limits'>): ThresholdsOf {
  const inForce = new Map<string, Thresholds | undefined>(Object.entries(RULES));
  for (const entry of entries.toReversed()) inForce.set(entry.subject === '' ? entry.rule : `${entry.rule}\n${entry.subject}`, entry.enabled ? merged(entry) : undefined);
  return (rule, subject) => {
    const own = `${rule}\n${subject}`;
    return inForce.has(own) ? inForce.get(own) : inForce.get(rule);
  };
}

function merged({ rule, warning, critical, clearBy, holdS, clearS }: HealthConfig['limits'][number]): Thresholds {
  const built: Thresholds = RULES[rule];
  return { direction: built.direction, warning: warning === undefined ? built.warning : warning, critical: critical === undefined ? built.critical : critical, clearBy: clearBy ?? built.clearBy, holdS: holdS ?? built.holdS, clearS: clearS ?? built.clearS };
}
