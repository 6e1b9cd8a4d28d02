/** The bad networks of the table, and the four ways to live with them. */
import { CLEAR, type ImpairmentRules } from '../../impairment/rules.ts';

export interface Row {
  readonly name: string;
  readonly rules: ImpairmentRules;
  /** Nothing is lost on such a network, so nothing may be lost to the viewer. */
  readonly losesNothing: boolean;
}

const REORDER = { reorderPercent: 10, reorderDepth: 20 };
const row = (name: string, rules: Partial<ImpairmentRules>, seed: number): Row => ({ name, rules: { ...CLEAR, ...rules, seed }, losesNothing: (rules.lossPercent ?? 0) === 0 });

export const ROWS: readonly Row[] = [
  row('0 %', {}, 11),
  row('0.1 %', { lossPercent: 0.1 }, 12),
  row('1 %', { lossPercent: 1 }, 13),
  row('5 %', { lossPercent: 5 }, 14),
  row('10 %', { lossPercent: 10 }, 15),
  row('20 %', { lossPercent: 20 }, 16),
  row('1 % in bursts of 5', { lossPercent: 1, burst: 5 }, 17),
  row('jitter 200 ms', { jitterMs: 200 }, 18),
  row('jitter 200 ms, shuffled', { jitterMs: 200, jitterReorders: true }, 19),
  row('reordered 20 deep', REORDER, 20),
];

export type Mode = 'as-received' | 'freeze' | 'default' | 'gateways';

export const MODES: Readonly<Record<Mode, { readonly title: string; readonly says: string }>> = {
  'as-received': { title: 'passed on as received', says: 'upstreams[].pictures as-received; camera without key frames on request' },
  'freeze': { title: 'frozen, not repaired', says: 'upstreams[].pictures whole; camera without key frames on request' },
  'default': { title: 'as the gateway comes', says: 'default configuration; camera that answers IFameCmd' },
  'gateways': { title: 'gateway to gateway', says: 'the network lies between two gateways with NACK, 40 ms round trip, losses both ways; wait of at most 300 ms, from 10 % on 400 ms' },
};

export const HALF_ROUND_TRIP_MS = 20;
export const WAIT_MS = { short: 300, long: 400 } as const;
/** The long wait is for the rows from here on, by name. */
const LONG_WAIT: ReadonlySet<string> = new Set(['10 %', '20 %']);
export const waitOf = ({ name }: Row): keyof typeof WAIT_MS => (LONG_WAIT.has(name) ? 'long' : 'short');
