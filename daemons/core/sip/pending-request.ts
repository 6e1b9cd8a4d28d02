import type { Ms } from '../units.ts';
import type { Flow } from './flow.ts';
import type { SipResponse } from './message.ts';
import type { ClientUser } from './transactions.ts';

/** How a client transaction ended. */
export type Outcome =
  | { readonly type: 'response'; readonly response: SipResponse; readonly flow: Flow }
  | { readonly type: 'timeout' }
  | { readonly type: 'transport-error'; readonly why: string };

export interface OutcomeOutput {
  readonly type: 'outcome';
  readonly pending: PendingRequest;
  readonly outcome: Outcome;
}

/** One request on its way to its final answer. It settles once; `onSettled` runs before its owner hears of it. */
export class PendingRequest implements ClientUser {
  #settled = false;
  readonly #out: (output: OutcomeOutput) => void;
  readonly #onSettled: ((outcome: Outcome, now: Ms) => void) | undefined;

  constructor(out: (output: OutcomeOutput) => void, onSettled?: (outcome: Outcome, now: Ms) => void) {
    this.#out = out;
    this.#onSettled = onSettled;
  }

  onResponse(response: SipResponse, flow: Flow, now: Ms): void {
    if (response.status >= 200) this.settle({ type: 'response', response, flow }, now);
  }

  onFailed(cause: 'timeout' | 'transport-error', why: string, now: Ms): void {
    this.settle(cause === 'timeout' ? { type: 'timeout' } : { type: 'transport-error', why }, now);
  }

  settle(outcome: Outcome, now: Ms): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#onSettled?.(outcome, now);
    this.#out({ type: 'outcome', pending: this, outcome });
  }
}
