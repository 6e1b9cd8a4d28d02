/**
 * Access tokens that are out, by their hash: short-lived, in memory only, so that a restart ends them and a clock that is set changes
 * nothing. One token:
 *
 *     (new) --issue--> VALID --its time is over, its owner is revoked, or it is the oldest of too many--> (gone)
 */
import { Deadlines } from '../deadlines.ts';
import { type Ms, addMs } from '../units.ts';

export const MAX_TOKENS = 10_000;
/** Of one user: the oldest goes. */
export const MAX_TOKENS_PER_USER = 50;

interface Entry<Owner> {
  readonly user: string;
  readonly owner: Owner;
  readonly until: Ms;
}

export class TokenBook<Owner> {
  readonly #byHash = new Map<string, Entry<Owner>>();
  readonly #deadlines = new Deadlines<string>();

  get size(): number {
    return this.#byHash.size;
  }

  issue(hash: string, user: string, owner: Owner, lifeMs: number, now: Ms): void {
    this.#expire(now);
    const own = [...this.#byHash].filter(([, entry]) => entry.user === user).map(([key]) => key);
    for (const key of own.slice(0, Math.max(0, own.length + 1 - MAX_TOKENS_PER_USER))) this.#drop(key);
    if (this.#byHash.size >= MAX_TOKENS) this.#drop(this.#byHash.keys().next().value!);
    const until = addMs(now, lifeMs);
    this.#byHash.set(hash, { user, owner, until });
    this.#deadlines.set(hash, until);
  }

  /** Whose it is, and until when; undefined: nobody's. */
  find(hash: string, now: Ms): { readonly owner: Owner; readonly until: Ms } | undefined {
    const entry = this.#byHash.get(hash);
    return entry === undefined || now >= entry.until ? undefined : entry;
  }

  revoke(hash: string): void {
    this.#drop(hash);
  }

  revokeUser(user: string): void {
    for (const [hash, entry] of this.#byHash) if (entry.user === user) this.#drop(hash);
  }

  #expire(now: Ms): void {
    for (let hash = this.#deadlines.takeDue(now); hash !== undefined; hash = this.#deadlines.takeDue(now)) this.#byHash.delete(hash);
  }

  #drop(hash: string): void {
    this.#byHash.delete(hash);
    this.#deadlines.delete(hash);
  }
}
