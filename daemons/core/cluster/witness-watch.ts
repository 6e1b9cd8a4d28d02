/**
 * How often the witness is asked, and what its answers mean. The active node asks it from the address of the pair too: what it answers
 * there goes to whoever took that address last on the service network. Where both nodes reach the witness and not each other, no
 * other judge is left than that (role.ts).
 *
 *            the peer is silent for 150 ms, or answers to the address of the pair stay away
 *   CALM --------------------------------------------------------------------------------> URGENT
 *     every 250 ms, an answer holds for 600 ms    <---- it speaks, or is gone for 2 s ----   at every step, 350 ms
 *
 * A node whose links are cut thus lets go before the other one has taken: that needs 300 ms of silence and two adverts.
 */
import { type Ms, NEVER } from '../units.ts';

const CALM = { everyMs: 250, validMs: 600 } as const;
const URGENT = { everyMs: 0, validMs: 350 } as const;
const SILENT_MS = 150;
const GONE_MS = 2000;
/** Longer, and the witness answers the address of the pair somewhere else; nothing but lost packets explains less. */
const ELSEWHERE_MS = 700;
/** So many answers to our own address came meanwhile. */
const ELSEWHERE_ANSWERS = 6;
/** So many already make it urgent. */
const DOUBT_ANSWERS = 2;

/** `node`: our own address on the service network; `pair`: the SIP address. */
export type AskedFrom = 'node' | 'pair';

export interface WitnessView {
  readonly reachable: boolean;
  /** It answers us, and the address of the pair no more, as it did before. */
  readonly elsewhere: boolean;
}

export class WitnessWatch {
  #nodeAt: Ms = -NEVER as Ms;
  /** Undefined: never while we have the address; who filters it says nothing about us. */
  #pairAt: Ms | undefined;
  /** To our own address, since the last one to that of the pair. */
  #answers = 0;
  #askedAt: Ms = -NEVER as Ms;
  #pace: { readonly everyMs: number; readonly validMs: number } = CALM;

  answered(from: AskedFrom, now: Ms): void {
    if (from === 'node') {
      this.#nodeAt = now;
      this.#answers += 1;
    } else {
      this.#pairAt = now;
      this.#answers = 0;
    }
  }

  /** Where from to ask now. `owns`: the address of the pair is here. */
  step(peerSilentMs: number, owns: boolean, now: Ms): readonly AskedFrom[] {
    if (!owns) this.#pairAt = undefined;
    const isSilent = peerSilentMs >= SILENT_MS && peerSilentMs < GONE_MS;
    this.#pace = isSilent || (this.#pairAt !== undefined && this.#answers > DOUBT_ANSWERS) ? URGENT : CALM;
    if (now - this.#askedAt < this.#pace.everyMs) return [];
    this.#askedAt = now;
    return owns ? ['node', 'pair'] : ['node'];
  }

  view(now: Ms): WitnessView {
    const reachable = now - this.#nodeAt < this.#pace.validMs;
    return { reachable, elsewhere: reachable && this.#pairAt !== undefined && this.#answers >= ELSEWHERE_ANSWERS && now - this.#pairAt >= ELSEWHERE_MS };
  }
}
