/**
 * When an observation becomes an alarm, and when that ends. One automaton for each rule and subject:
 *
 *             passes a limit              held for holdS: raise
 *   QUIET ----------------------> RISING ----------------------> RAISED <----------------+
 *     ^  ^                          |                            | passes the higher     | not better
 *     |  +--------------------------+                            | limit for holdS:      | any more
 *     |        does not pass it                                  | raise again, worse    |
 *     |                                                          v                       |
 *     +-------- better for clearS: clear ----------------- FALLING <-- better -- RAISED -+
 *
 * An alarm that came three times in half an hour flaps: from then on it must be better for much longer. A value that cannot be
 * measured decides nothing. What a look of its group does not tell of any more is good from then on, where the look lists all that
 * is wrong under the rule (a device that is back); else nothing is known of it: no alarm comes of it, and one that stands is over
 * after a quarter of an hour (a drive that was taken out). A group that cannot be asked changes nothing.
 */
import type { Ms } from '../units.ts';
import type { Measured, Observation, Severity } from './model.ts';
import type { RuleDefaults } from './rule-table.ts';

export type Thresholds = Pick<RuleDefaults, 'direction' | 'warning' | 'critical' | 'clearBy' | 'holdS' | 'clearS'>;

const FORGOTTEN_MS = 900_000;
const FLAP_WINDOW_MS = 1_800_000;
const FLAP_RAISES = 3;
const FLAP_CLEAR_MS = 900_000;
/** Subjects beyond this are not watched: a bound for what peers can make us keep. */
const MAX_SUBJECTS = 10_000;

export interface RuleState {
  readonly rule: string;
  readonly subject: string;
  readonly severity: Severity;
}

export type RuleOutput =
  /** The same again with a higher severity: it became worse. */
  | { readonly type: 'raise'; readonly rule: string; readonly subject: string; readonly severity: Severity; readonly value: number | null; readonly says: string }
  | { readonly type: 'clear'; readonly rule: string; readonly subject: string; readonly why: 'better' | 'gone' | 'off' };

interface Watched {
  readonly rule: string;
  readonly subject: string;
  raised: Severity | null;
  /** RISING or FALLING, and since when. */
  heading: { readonly to: 'worse' | 'better'; readonly since: Ms } | null;
  seenAt: Ms;
  /** Null: nothing is known of it. */
  last: Observation | 'good' | null;
  /** Whose looks tell of it; null: not seen since a restart. */
  group: string | null;
  /** The look that told of it last. */
  look: number;
  readonly raises: Ms[];
}

const RANK: Readonly<Record<Severity, number>> = { info: 0, warning: 1, critical: 2 };

/** What a value means by itself; null: nothing is wrong, or nothing can be said. */
export function levelOf({ direction, warning, critical }: Thresholds, value: number | null, margin = 0): Severity | null {
  if (value === null) return null;
  const passes = (limit: number | null): boolean => limit !== null && (direction === 'above' ? value >= limit - margin : value <= limit + margin);
  return passes(critical) ? 'critical' : passes(warning) ? 'warning' : null;
}

export class RuleBook {
  readonly #watched = new Map<string, Watched>();
  #looks = 0;
  /** Undefined: the rule is off for this subject. */
  readonly #thresholds: (rule: string, subject: string) => Thresholds | undefined;

  constructor(thresholds: (rule: string, subject: string) => Thresholds | undefined) {
    this.#thresholds = thresholds;
  }

  /** Alarms that were raised before a restart: they stand until they are seen to be better. */
  restore(raised: readonly RuleState[], now: Ms): void {
    for (const { rule, subject, severity } of raised) this.#watch(rule, subject, now).raised = severity;
  }

  /** One look of `group`: what it told of before and does not tell of now is good or unknown from now on. */
  observe({ observations, complete = [] }: Pick<Measured, 'observations' | 'complete'>, now: Ms, group = ''): RuleOutput[] {
    this.#looks += 1;
    const outputs = observations.flatMap(observation => {
      if (!this.#watched.has(keyOf(observation)) && this.#watched.size >= MAX_SUBJECTS) return [];
      const watched = this.#watch(observation.rule, observation.subject, now);
      Object.assign(watched, { seenAt: now, last: observation, group, look: this.#looks });
      return this.#judge(watched, now);
    });
    return [...outputs, ...this.#miss(group, complete, now)];
  }

  /** The group cannot be asked: until it tells again nothing comes of what it said, and what stands goes on standing. */
  unasked(group: string, now: Ms): void {
    for (const watched of this.#watched.values()) if (watched.group === group) Object.assign(watched, { last: null, seenAt: now });
  }

  /** What became due without a new observation; once a second is enough. Also after other thresholds came into force. */
  tick(now: Ms): RuleOutput[] {
    return [...this.#watched.values()].flatMap(watched => this.#judge(watched, now));
  }

  /** What this look was silent about. */
  #miss(group: string, complete: readonly string[], now: Ms): RuleOutput[] {
    return [...this.#watched.values()].flatMap(watched => {
      const listed = complete.includes(watched.rule);
      const ours = watched.group === group || (watched.group === null && listed);
      if (!ours || watched.look === this.#looks) return [];
      Object.assign(watched, { group, last: listed ? 'good' : null });
      return this.#judge(watched, now);
    });
  }

  #watch(rule: string, subject: string, now: Ms): Watched {
    const key = keyOf({ rule, subject });
    let watched = this.#watched.get(key);
    if (watched === undefined) this.#watched.set(key, (watched = { rule, subject, raised: null, heading: null, seenAt: now, last: null, group: null, look: 0, raises: [] }));
    return watched;
  }

  #judge(watched: Watched, now: Ms): RuleOutput[] {
    const thresholds = this.#thresholds(watched.rule, watched.subject);
    if (thresholds === undefined) return this.#forget(watched, 'off');
    if (now - watched.seenAt >= FORGOTTEN_MS) return this.#forget(watched, 'gone');
    if (watched.last === null) return [];
    const value = watched.last === 'good' ? 'good' : watched.last.value;
    if (value === null) return [];
    const level = value === 'good' ? null : levelOf(thresholds, value);
    if (isWorse(level, watched.raised)) return this.#held(watched, thresholds, 'worse', now) ? [raise(watched, level, now)] : [];
    // Better is only what stays clear of the limit by a margin.
    const better = watched.raised !== null && (value === 'good' || levelOf(thresholds, value, thresholds.clearBy) === null);
    if (better && this.#held(watched, thresholds, 'better', now)) return [clear(watched)];
    if (!better) watched.heading = null;
    return [];
  }

  #held(watched: Watched, thresholds: Thresholds, to: 'worse' | 'better', now: Ms): boolean {
    if (watched.heading?.to !== to) watched.heading = { to, since: now };
    return now - watched.heading.since >= waitMs(watched, thresholds, to);
  }

  #forget(watched: Watched, why: 'gone' | 'off'): RuleOutput[] {
    this.#watched.delete(keyOf(watched));
    return watched.raised === null ? [] : [{ type: 'clear', rule: watched.rule, subject: watched.subject, why }];
  }
}

function raise(watched: Watched, level: Severity, now: Ms): RuleOutput {
  if (watched.raised === null) watched.raises.push(now);
  while (watched.raises.length > FLAP_RAISES) watched.raises.shift();
  watched.raised = level;
  watched.heading = null;
  const { rule, subject, last } = watched;
  const { value, says } = last as Observation;
  return { type: 'raise', rule, subject, severity: level, value, says };
}

function clear(watched: Watched): RuleOutput {
  watched.raised = null;
  watched.heading = null;
  return { type: 'clear', rule: watched.rule, subject: watched.subject, why: 'better' };
}

function waitMs(watched: Watched, { holdS, clearS }: Thresholds, to: 'worse' | 'better'): number {
  if (to === 'worse') return holdS * 1000;
  return flaps(watched) ? Math.max(clearS * 1000, FLAP_CLEAR_MS) : clearS * 1000;
}

const keyOf = ({ rule, subject }: { readonly rule: string; readonly subject: string }): string => `${rule}\n${subject}`;
const flaps = ({ raises }: Watched): boolean => raises.length >= FLAP_RAISES && raises.at(-1)! - raises[0]! <= FLAP_WINDOW_MS;

function isWorse(level: Severity | null, raised: Severity | null): level is Severity {
  return level !== null && (raised === null || RANK[level] > RANK[raised]);
}
