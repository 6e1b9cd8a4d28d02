/** Checks for people: what the observations of one subject mean together, worst first. */
import { levelOf, type Thresholds } from './rules.ts';
import type { Observation } from './model.ts';

export type CheckState = 'good' | 'degraded' | 'broken' | 'unknown' | 'absent';

export interface Check {
  readonly subject: string;
  readonly state: CheckState;
  readonly says: string;
}

const ORDER: readonly CheckState[] = ['broken', 'degraded', 'unknown', 'good', 'absent'];
const MAX_SAYS = 512;

/** One line a subject: of the worst observations what they say, else of the first. */
export function checksOf(observations: readonly Observation[], thresholds: (rule: string, subject: string) => Thresholds | undefined): Check[] {
  const subjects = new Map<string, { state: CheckState; says: string[] }>();
  for (const observation of observations) {
    const state = stateOf(observation, thresholds(observation.rule, observation.subject));
    const check = subjects.get(observation.subject);
    if (check === undefined || ORDER.indexOf(state) < ORDER.indexOf(check.state)) subjects.set(observation.subject, { state, says: [observation.says] });
    else if (state === check.state && !check.says.includes(observation.says)) check.says.push(observation.says);
  }
  return [...subjects].map(([subject, { state, says }]) => ({ subject, state, says: says.filter(text => text !== '').join('; ').slice(0, MAX_SAYS) })).sort(worstFirst);
}

export function worstFirst(a: Check, b: Check): number {
  return ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || (a.subject < b.subject ? -1 : a.subject > b.subject ? 1 : 0);
}

/** Of the whole: what is unknown or absent does not make it worse. */
export function overall(checks: readonly Check[]): 'good' | 'degraded' | 'broken' {
  if (checks.some(({ state }) => state === 'broken')) return 'broken';
  return checks.some(({ state }) => state === 'degraded') ? 'degraded' : 'good';
}

function stateOf({ value }: Observation, thresholds: Thresholds | undefined): CheckState {
  if (value === null) return 'unknown';
  if (thresholds === undefined) return 'good';
  const level = levelOf(thresholds, value);
  return level === 'critical' ? 'broken' : level === null ? 'good' : 'degraded';
}
