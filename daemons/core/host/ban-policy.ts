/**
 * Who is shut out for a while, and why. One row an address (of IPv6: a site):
 *
 *   unknown --evidence--> watched --points reach the limit--> banned --time, or somebody--> watched, with its past
 *                           ^  |                                ^ |
 *                           |  '-- points outside the window    | '-- more evidence changes nothing: it is not heard
 *                           '----- go; nothing left: forgotten  '---- each time twice as long
 *
 * Memory is bounded: the oldest watched row goes first, and of the banned the one that ends first. Whether an address may be banned
 * at all is asked when it would be, and of what nobody has proven (an unanswered datagram has any sender) the owner asks with care.
 */
import type { BanRules } from '../config/host-schema.ts';
import type { Ms } from '../units.ts';
import { siteOf } from './site.ts';

const MAX_WATCHED = 4096;
const MAX_BANNED = 4096;
const MAX_LINE = 160;
/** Points are kept up to so many times the limit. */
export const MAX_PATIENCE = 5;
/** Whether one may be banned is looked up in long lists: after a no it is not asked again at once. */
const ASK_AGAIN_MS = 10_000;
/** A row with a past is kept so long after its ban, so that the next one is longer. */
const MEMORY_MS = 86_400_000;

export const OFFENCE_POINTS = { scanner: 5, password: 2, flood: 1, malformed: 1, stranger: 1 } as const;
export type Offence = keyof typeof OFFENCE_POINTS;

export interface Evidence {
  readonly address: string;
  readonly offence: Offence;
  /** It answers where it says it is: over TCP, or to our nonce. A datagram alone says nothing. */
  readonly proven: boolean;
  /** First line of what it sent; asked for only when it is kept. */
  readonly line: () => string;
}

export interface Ban {
  readonly site: string;
  readonly reason: Offence;
  /** Pieces of evidence so far. */
  readonly count: number;
  /** How often it has been banned. */
  readonly times: number;
  readonly firstMs: Ms;
  readonly lastMs: Ms;
  readonly first: string;
  readonly last: string;
  readonly untilMs: Ms;
}

interface Watched {
  readonly points: { readonly atMs: Ms; readonly points: number }[];
  sum: number;
  count: number;
  times: number;
  firstMs: Ms;
  lastMs: Ms;
  first: string;
  last: string;
  askAtMs: number;
}

export interface BanPolicyOptions {
  rules(): BanRules;
  /** Registered devices, platforms, management: never. `proven`: as in the evidence; `patience`: how many times over the limit is reached. */
  mayBan(site: string, proven: boolean, patience: number): boolean;
}

export class BanPolicy {
  readonly #options: BanPolicyOptions;
  /** Oldest evidence first. */
  readonly #watched = new Map<string, Watched>();
  readonly #banned = new Map<string, Ban>();

  constructor(options: BanPolicyOptions) {
    this.#options = options;
  }

  get watched(): number {
    return this.#watched.size;
  }

  /** By end, soonest first. */
  get bans(): readonly Ban[] {
    return [...this.#banned.values()].sort((a, b) => a.untilMs - b.untilMs);
  }

  /** When the next one ends; undefined while nobody is banned. */
  get deadline(): Ms | undefined {
    return this.bans[0]?.untilMs;
  }

  /** Asked for every datagram: costs nothing while nobody is banned. */
  isBanned(address: string, now: Ms): boolean {
    if (this.#banned.size === 0) return false;
    const ban = this.#banned.get(address.includes(':') ? (siteOf(address) ?? '') : address);
    return ban !== undefined && ban.untilMs > now;
  }

  /** The ban that this evidence brings about; undefined while it does not. */
  note({ address, offence, proven, line }: Evidence, now: Ms): Ban | undefined {
    const rules = this.#options.rules();
    const site = siteOf(address);
    if (!rules.enabled || site === undefined || this.#banned.has(site)) return undefined;
    const watched = this.#watch(site, now, line);
    watched.points.push({ atMs: now, points: OFFENCE_POINTS[offence] });
    watched.sum += OFFENCE_POINTS[offence];
    this.#forgetPoints(watched, now - rules.windowS * 1000, MAX_PATIENCE * rules.points);
    if (watched.sum < rules.points || now < watched.askAtMs) return undefined;
    watched.askAtMs = now + ASK_AGAIN_MS;
    if (!this.#options.mayBan(site, proven, watched.sum / rules.points)) return undefined;
    return this.#ban(site, offence, watched, rules, now);
  }

  /** Bans whose time is over. */
  expire(now: Ms): readonly Ban[] {
    const over = this.bans.filter(({ untilMs }) => untilMs <= now);
    for (const ban of over) this.#release(ban);
    return over;
  }

  /** Lets one in again, and what it did is forgotten. False: it was not shut out. */
  pardon(address: string): boolean {
    const site = siteOf(address) ?? address;
    this.#watched.delete(site);
    return this.#banned.delete(site);
  }

  /** Those who may no longer be banned: the configuration changed, or they registered. */
  review(): readonly Ban[] {
    const freed = this.#options.rules().enabled ? this.bans.filter(({ site }) => !this.#options.mayBan(site, true, MAX_PATIENCE)) : this.bans;
    for (const { site } of freed) this.pardon(site);
    return freed;
  }

  /** Bans of before a restart. */
  restore(bans: readonly Ban[]): void {
    for (const ban of bans.slice(0, MAX_BANNED)) if (this.#options.mayBan(ban.site, true, MAX_PATIENCE)) this.#banned.set(ban.site, ban);
  }

  #watch(site: string, now: Ms, line: () => string): Watched {
    const text = line().slice(0, MAX_LINE);
    const known = this.#watched.get(site);
    this.#watched.delete(site);
    const remembered = known !== undefined && now - known.lastMs <= MEMORY_MS ? known : undefined;
    const watched = remembered ?? { points: [], sum: 0, count: 0, times: 0, firstMs: now, lastMs: now, first: text, last: text, askAtMs: 0 };
    watched.count++;
    watched.lastMs = now;
    watched.last = text;
    this.#watched.set(site, watched);
    for (const oldest of this.#watched.keys()) {
      if (this.#watched.size <= MAX_WATCHED) break;
      this.#watched.delete(oldest);
    }
    return watched;
  }

  /** A row keeps no more points than it needs to reach the limit. */
  #forgetPoints(watched: Watched, sinceMs: number, limit: number): void {
    while (watched.points.length > 0 && (watched.points[0]!.atMs < sinceMs || watched.points.length > limit)) watched.sum -= watched.points.shift()!.points;
  }

  #ban(site: string, reason: Offence, watched: Watched, { banS, maxBanS }: BanRules, now: Ms): Ban {
    const { times, count, firstMs, lastMs, first, last } = watched;
    const lengthMs = Math.min(maxBanS, banS * 2 ** Math.min(times, 20)) * 1000;
    const ban: Ban = { site, reason, count, times: times + 1, firstMs, lastMs, first, last, untilMs: (now + lengthMs) as Ms };
    this.#watched.delete(site);
    if (this.#banned.size >= MAX_BANNED) this.#release(this.bans[0]!);
    this.#banned.set(site, ban);
    return ban;
  }

  #release({ site, times, count, firstMs, first, last, untilMs }: Ban): void {
    this.#banned.delete(site);
    this.#watched.set(site, { points: [], sum: 0, count, times, firstMs, lastMs: untilMs, first, last, askAtMs: 0 });
  }
}
