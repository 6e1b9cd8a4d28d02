/** What a rule of the validator is, and how findings are gathered: one line a rule and peer, with how often and where first. */

/** `wrong`: the rule is broken and something may depend on it. `loose`: it works with most, and should not be so. */
export type Severity = 'wrong' | 'loose';

export interface RuleFacts {
  readonly id: string;
  readonly clause: string;
  readonly severity: Severity;
  /** What is wrong when it is broken, in a few words. */
  readonly says: string;
}

/** What a rule found: nothing, or in each string one breach in the words of this case. */
export type Breach = string | readonly string[] | undefined;

export interface Rule<Subject> extends RuleFacts {
  /** Undefined: it is kept, or does not apply. */
  broken(subject: Subject): Breach;
}

export interface Finding extends RuleFacts {
  /** Of the first time. */
  readonly detail: string;
  /** Who broke it: `192.0.2.7:5060`, or `us`. */
  readonly by: string;
  readonly count: number;
  /** Of the messages, the first few; empty where it is about media. */
  readonly sequences: readonly number[];
}

const MAX_SEQUENCES = 32;
const MAX_DETAIL = 200;
/** Different findings; a peer that invents new ones is not followed. */
const MAX_FINDINGS = 1000;

export class Findings {
  readonly #all = new Map<string, { facts: RuleFacts; by: string; detail: string; count: number; sequences: number[] }>();

  add({ id, clause, severity, says }: RuleFacts, by: string, breach: Breach, sequence?: number): void {
    const details = typeof breach === 'string' ? [breach] : (breach ?? []);
    for (const detail of details) {
      const key = `${by} ${id}`;
      let entry = this.#all.get(key);
      if (entry === undefined) {
        if (this.#all.size >= MAX_FINDINGS) return;
        this.#all.set(key, (entry = { facts: { id, clause, severity, says }, by, detail: detail.slice(0, MAX_DETAIL), count: 0, sequences: [] }));
      }
      entry.count += 1;
      if (sequence !== undefined && entry.sequences.length < MAX_SEQUENCES && entry.sequences.at(-1) !== sequence) entry.sequences.push(sequence);
    }
  }

  /** All rules of a table against one subject. */
  check<Subject>(rules: readonly Rule<Subject>[], subject: Subject, by: string, sequence?: number): void {
    for (const rule of rules) this.add(rule, by, rule.broken(subject), sequence);
  }

  /** What is wrong first. */
  list(): Finding[] {
    const findings = [...this.#all.values()].map(({ facts, ...rest }) => ({ ...facts, ...rest }));
    return findings.sort((a, b) => (a.severity === b.severity ? 0 : a.severity === 'wrong' ? -1 : 1));
  }
}
