/** Alarms as RFC 5424 messages, and how TCP carries them (RFC 6587 3.4.1: octet counting). */
import { utf8Encode } from '../bytes.ts';
import { formatGbTime } from '../gb/gb-time.ts';
import type { WallMs } from '../units.ts';
import type { Severity } from './model.ts';

/** local0 (RFC 5424 6.2.1). */
const FACILITY = 16;
const LEVEL: Readonly<Record<Severity, number>> = { critical: 2, warning: 4, info: 6 };
/** A clear is a notice, however bad it was. */
const NOTICE = 5;
const MAX_SAYS = 1024;
/** Ours by the private range of RFC 5612. */
const ENTERPRISE = 32473;

export interface SyslogAlarm {
  readonly alarmId: number;
  readonly rule: string;
  readonly subject: string;
  readonly severity: Severity;
  readonly says: string;
  readonly cleared: boolean;
  readonly at: WallMs;
}

export function formatSyslog({ alarmId, rule, subject, severity, says, cleared, at }: SyslogAlarm, node: string): string {
  const priority = FACILITY * 8 + (cleared ? NOTICE : LEVEL[severity]);
  const data = Object.entries({ id: String(alarmId), rule, subject, severity, state: cleared ? 'cleared' : 'raised' }).map(([name, value]) => `${name}="${escaped(value)}"`).join(' ');
  const text = `${subject}: ${says}${cleared ? ' (cleared)' : ''}`.replace(/[\u0000-\u001f\u007f]/g, ' ').slice(0, MAX_SAYS);
  return `<${priority}>1 ${formatGbTime(at)}+08:00 ${header(node, 255)} viewlink-healthd - ${cleared ? 'CLEARED' : 'RAISED'} [alarm@${ENTERPRISE} ${data}] \ufeff${text}`;
}

/** For a stream: the length in octets, a blank, the message. */
export const framed = (message: string): string => `${utf8Encode(message).length} ${message}`;

/** RFC 5424 6.3.3: three characters are escaped; controls would break lines of simple collectors. */
const escaped = (value: string): string => value.replace(/[\u0000-\u001f\u007f]/g, ' ').replace(/["\\\]]/g, character => `\\${character}`);
const header = (value: string, length: number): string => value.replace(/[^\x21-\x7e]/g, '').slice(0, length) || '-';
