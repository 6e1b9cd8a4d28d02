/** Where whoever sits here stands: the name of the node, and a commit that returns by itself when nobody confirms it. Looked at before every prompt. */
import type { ConfigdStatus } from '#contracts/configd.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import type { Context } from '../command.ts';
import { authorOf } from '../identity.ts';
import { Interrupted } from '../interrupted.ts';
import { say } from '../language.ts';
import { inert } from '../render.ts';

/** A prompt does not wait for a daemon that hangs. */
const PATIENCE = { timeoutMs: 500 };
const MINUTE_MS = 60_000;

type Pending = NonNullable<ConfigdStatus['pending']>;

export class Standing {
  readonly #context: () => Context;
  #node: string;
  #asked = false;
  #pending: Pending | null = null;

  /** `machine`: what it is called until configd has said its name. */
  constructor(context: () => Context, machine: string) {
    this.#context = context;
    this.#node = machine;
  }

  get node(): string {
    return inert(this.#node);
  }

  /** What cannot be asked is left as it was. */
  async look(): Promise<void> {
    try {
      await this.#context().configd(async client => {
        this.#pending = (await client.call('status', {}, PATIENCE)).pending;
        if (this.#asked) return;
        const { value } = await client.call('show', { path: 'node.name', of: 'current', author: authorOf(this.#context().identity) }, PATIENCE);
        if (typeof value === 'string') this.#node = value;
        this.#asked = true;
      });
    } catch (error) {
      if (!(error instanceof GatewayError || error instanceof Interrupted)) throw error;
    }
  }

  /** Before the prompt; empty: nothing waits. */
  get mark(): string {
    return this.#pending === null ? '' : `[!confirm ${this.#minutesLeft(this.#pending)} min] `;
  }

  /** Null: nothing waits. */
  get sentence(): string | null {
    if (this.#pending === null) return null;
    const { revision, returnsTo } = this.#pending;
    return say('revision {0} waits: unless you give config confirm, revision {1} comes back in {2} min').replace('{0}', String(revision)).replace('{1}', String(returnsTo)).replace('{2}', String(this.#minutesLeft(this.#pending)));
  }

  #minutesLeft({ deadlineWallMs }: Pending): number {
    return Math.max(0, Math.ceil((deadlineWallMs - systemClock.wall()) / MINUTE_MS));
  }
}
