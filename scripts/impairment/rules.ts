/** What a network does to datagrams that go one way, and how that is written on a command line. */
import { type Result, fail, ok } from '#core/result.ts';

export interface ImpairmentRules {
  /** Mean share of lost datagrams. */
  readonly lossPercent: number;
  /** Mean length of a run of losses (Gilbert); 1: independent of each other. */
  readonly burst: number;
  readonly delayMs: number;
  /** Added to the delay, uniform between 0 and this. */
  readonly jitterMs: number;
  /** Whether jitter lets datagrams pass each other. */
  readonly jitterReorders: boolean;
  /** Datagrams held back until up to `reorderDepth` later ones have passed. */
  readonly reorderPercent: number;
  readonly reorderDepth: number;
  /** And no longer than this. */
  readonly reorderHoldMs: number;
  readonly duplicatePercent: number;
  /** One bit is wrong. */
  readonly corruptPercent: number;
  /** The same seed and the same datagrams give the same losses. */
  readonly seed: number;
}

export const CLEAR: ImpairmentRules = { lossPercent: 0, burst: 1, delayMs: 0, jitterMs: 0, jitterReorders: false, reorderPercent: 0, reorderDepth: 0, reorderHoldMs: 200, duplicatePercent: 0, corruptPercent: 0, seed: 1 };

const REORDER_PERCENT = 10;

interface Key {
  readonly most: number;
  rules(value: number): Partial<ImpairmentRules>;
}

const KEYS: Readonly<Record<string, Key>> = {
  'loss': { most: 100, rules: lossPercent => ({ lossPercent }) },
  'burst': { most: 1000, rules: burst => ({ burst }) },
  'delay': { most: 10_000, rules: delayMs => ({ delayMs }) },
  'jitter': { most: 10_000, rules: jitterMs => ({ jitterMs }) },
  'shuffle': { most: 10_000, rules: jitterMs => ({ jitterMs, jitterReorders: true }) },
  'reorder': { most: 1000, rules: reorderDepth => ({ reorderDepth, reorderPercent: REORDER_PERCENT }) },
  'hold': { most: 10_000, rules: reorderHoldMs => ({ reorderHoldMs }) },
  'duplicate': { most: 100, rules: duplicatePercent => ({ duplicatePercent }) },
  'corrupt': { most: 100, rules: corruptPercent => ({ corruptPercent }) },
  'seed': { most: 2 ** 32 - 1, rules: seed => ({ seed }) },
};

export const IMPAIRMENT_HELP = 'loss=%, burst=mean length, delay=ms, jitter=ms (in order), shuffle=ms (jitter out of order), reorder=depth, hold=ms (at most), duplicate=%, corrupt=%, seed=n';

/** `loss=5,burst=5,delay=20,seed=7`. */
export function parseImpairment(text: string): Result<ImpairmentRules> {
  let rules = CLEAR;
  for (const [index, part] of text.split(',').entries()) {
    const [name = '', value = ''] = part.split('=');
    const key = Object.hasOwn(KEYS, name) ? KEYS[name] : undefined;
    if (key === undefined) return fail(index, `no such impairment: ${name}`);
    if (!/^\d{1,10}(\.\d{1,6})?$/.test(value) || Number(value) > key.most) return fail(index, `${name} is 0 to ${key.most}`);
    rules = { ...rules, ...key.rules(Number(value)) };
  }
  return ok(rules);
}
