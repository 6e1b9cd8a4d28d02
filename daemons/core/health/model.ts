/** What is measured and what is made of it: samples for monitoring systems, observations for rules, checks for people. */
export type Severity = 'info' | 'warning' | 'critical';
export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly metric: string;
  readonly labels: Labels;
  readonly value: number;
}

/** What a rule looks at. */
export interface Observation {
  /** Of rule-table.ts. */
  readonly rule: string;
  /** `disk:/var`, `nic:eth0`. */
  readonly subject: string;
  /** In the unit of the rule; null: it could not be measured. */
  readonly value: number | null;
  readonly says: string;
}

/** What belongs together and was read together. */
export interface Measured {
  readonly samples: readonly Sample[];
  readonly observations: readonly Observation[];
  /** Rules of which everything that is wrong was listed: what is not told of is good. Of other rules silence says nothing. */
  readonly complete?: readonly string[];
}

const MAX_SAYS = 256;

/** Collects what one reading gives. */
export class Gathering implements Measured {
  readonly samples: Sample[] = [];
  readonly observations: Observation[] = [];
  readonly complete: string[] = [];

  /** Null and what is not finite is left out. */
  sample(metric: string, labels: Labels, value: number | null | undefined): void {
    if (value !== null && value !== undefined && Number.isFinite(value)) this.samples.push({ metric, labels, value });
  }

  observe(rule: string, subject: string, value: number | null, says: string): void {
    this.observations.push({ rule, subject, value: value === null || Number.isFinite(value) ? value : null, says: says.slice(0, MAX_SAYS) });
  }

  add({ samples, observations, complete = [] }: Measured): void {
    this.samples.push(...samples);
    this.observations.push(...observations);
    this.complete.push(...complete);
  }
}

/** Of a total that was read twice; null when it began anew or the time does not go on. */
export function rateOf(before: number | undefined, after: number, elapsedS: number): number | null {
  return before === undefined || after < before || elapsedS <= 0 ? null : (after - before) / elapsedS;
}

export const percentOf = (part: number, whole: number): number => (whole <= 0 ? 0 : (100 * part) / whole);
/** One decimal, none for whole numbers. */
export const shown = (value: number): string => String(Math.round(value * 10) / 10);
