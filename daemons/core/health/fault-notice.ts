/** An alarm of ours as the platforms above hear of it: a device fault (AlarmMethod 6, gb28181.md 3.8). */
import type { Severity } from './model.ts';

const PRIORITY: Readonly<Record<Severity, number>> = { critical: 1, warning: 2, info: 4 };
/** It is over: nothing that anybody must act on. */
const CLEARED_PRIORITY = 4;
const DISK_RULES = /^(disk|raid|smart|ssd)\./;

/** Faults of the machine and of the gateway as a whole. What names other platforms, devices or channels stays here: this platform may not see them. */
const OF_THE_MACHINE = /^(cpu|memory|io|disk|raid|smart|ssd|nic|bond|udp|softnet|temperature|fan|power|clock|files|daemon|store)(\.|$)|^media\.(ports|refuses|strained)$/;
export const isToldUpward = (rule: string): boolean => OF_THE_MACHINE.test(rule);

export interface FaultNotice {
  readonly priority: number;
  /** 1: disk, 2: fan; null: another. */
  readonly faultType: 1 | 2 | null;
  readonly description: string;
}

export function faultNotice({ rule, subject, severity, says, cleared }: { readonly rule: string; readonly subject: string; readonly severity: Severity; readonly says: string; readonly cleared: boolean }): FaultNotice {
  const faultType = DISK_RULES.test(rule) ? 1 : rule === 'fan.stopped' ? 2 : null;
  return { priority: cleared ? CLEARED_PRIORITY : PRIORITY[severity], faultType, description: cleared ? `${subject} cleared: ${says}` : `${subject}: ${says}` };
}
