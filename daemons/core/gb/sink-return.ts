/**
 * A sink leg over TCP after a takeover: its connection died with the node that had it, while the dialog goes on. mediad has opened the
 * leg anew: it connects again, or listens at its old port. Platforms that do not see for themselves are asked by a re-INVITE with the
 * SDP that they know (RFC 4145 4, connection:new).
 *
 *              it stands: back
 *   finding ────────────────────► (over)
 *      │ opened anew
 *      ▼      closed; where we listen: patience over          answered
 *   waiting ────────────────────────────────────────► asking ──────────► again
 *      │ connected: back                  connected: back │               │ connected: back
 *      ▼                                  refused, silent ▼ closed, time is up ▼
 *   (over)                                            lost: the session ends
 */
import { assertNever } from '../result.ts';
import { TimerTable } from '../timers.ts';
import { type Ms, addMs } from '../units.ts';

/** Peers that notice connect at once; the others wait for our word. */
export const RETURN_PATIENCE_MS = 300;
/** Listeners that are still there answer at once. */
export const RETURN_DIAL_MS = 700;
/** From the answer to our re-INVITE to the connection. */
export const RETURN_CONNECT_MS = 8000;
/** Final answer to the re-INVITE. */
const ANSWER_MS = 6000;

export interface ReturnRemote {
  readonly address: string;
  readonly port: number;
}

export type SinkReturnPhase = 'finding' | 'waiting' | 'asking' | 'again' | 'back' | 'lost';

export type SinkReturnInput =
  /** mediad was looked at: the old connection stands, or the leg was opened anew. */
  | { readonly type: 'stands' }
  | { readonly type: 'opened-anew' }
  | { readonly type: 'connected' }
  /** The leg ended, for this reason. */
  | { readonly type: 'closed'; readonly why: string }
  /** Answer to our re-INVITE. */
  | { readonly type: 'answered'; readonly remote: ReturnRemote }
  | { readonly type: 'refused'; readonly why: string }
  | { readonly type: 'tick' };

export type SinkReturnOutput =
  | { readonly type: 'ask' }
  /** Closes what is left of the leg and opens it toward here. */
  | { readonly type: 'open'; readonly remote: ReturnRemote }
  | { readonly type: 'back' }
  | { readonly type: 'lost'; readonly why: string };

export class SinkReturn {
  readonly #timers = new TimerTable<'patience' | 'answer' | 'connect'>();
  /** We listen: after the answer there is nothing to open. */
  readonly #listens: boolean;
  #phase: SinkReturnPhase = 'finding';
  #early: Extract<SinkReturnInput, { readonly type: 'connected' | 'closed' }> | undefined;
  /** The leg is closed. */
  #closed = false;

  constructor({ listens }: { readonly listens: boolean }) {
    this.#listens = listens;
  }

  get phase(): SinkReturnPhase {
    return this.#phase;
  }

  get deadline(): Ms {
    return this.#timers.deadline;
  }

  handle(input: SinkReturnInput, now: Ms): SinkReturnOutput[] {
    if (this.#phase === 'back' || this.#phase === 'lost') return [];
    switch (input.type) {
      case 'stands':
        return this.#phase === 'finding' ? this.#back() : [];
      case 'opened-anew':
        return this.#openedAnew(now);
      case 'connected':
        return this.#connected(input);
      case 'closed':
        return this.#onClosed(input, now);
      case 'answered':
        return this.#answered(input.remote, now);
      case 'refused':
        return this.#lose(`the upstream does not take it up again: ${input.why}`);
      case 'tick':
        return this.#tick(now);
      default:
        return assertNever(input);
    }
  }

  #openedAnew(now: Ms): SinkReturnOutput[] {
    if (this.#phase !== 'finding') return [];
    this.#phase = 'waiting';
    if (this.#early?.type === 'connected') return this.#back();
    if (this.#early?.type === 'closed') return this.#onClosed(this.#early, now);
    if (this.#listens) this.#timers.set('patience', addMs(now, RETURN_PATIENCE_MS));
    return [];
  }

  #connected(input: SinkReturnInput & { type: 'connected' }): SinkReturnOutput[] {
    if (this.#phase !== 'finding') return this.#back();
    this.#early = input;
    return [];
  }

  #onClosed(input: SinkReturnInput & { type: 'closed' }, now: Ms): SinkReturnOutput[] {
    if (this.#phase === 'finding') {
      this.#early = input;
      return [];
    }
    // There was no connection yet that the peer could have closed: this is the leg that was closed before, told once more.
    if (this.#phase === 'again' && input.why === 'peer-closed') return [];
    if (this.#phase === 'again') return this.#lose(`the upstream took it up again, but there is no connection: ${input.why}`);
    this.#closed = true;
    return this.#phase === 'waiting' ? this.#ask(now) : [];
  }

  #ask(now: Ms): SinkReturnOutput[] {
    this.#phase = 'asking';
    this.#timers.stopAll();
    this.#timers.set('answer', addMs(now, ANSWER_MS));
    return [{ type: 'ask' }];
  }

  #answered(remote: ReturnRemote, now: Ms): SinkReturnOutput[] {
    if (this.#phase !== 'asking') return [];
    this.#phase = 'again';
    this.#timers.stopAll();
    this.#timers.set('connect', addMs(now, RETURN_CONNECT_MS));
    const reopens = this.#closed || !this.#listens;
    this.#closed = false;
    return reopens ? [{ type: 'open', remote }] : [];
  }

  #tick(now: Ms): SinkReturnOutput[] {
    const due = this.#timers.takeDue(now);
    if (due === undefined) return [];
    if (due === 'patience') return this.#ask(now);
    return this.#lose(due === 'answer' ? 'the upstream does not answer our re-INVITE' : 'nobody connected after our re-INVITE');
  }

  #back(): SinkReturnOutput[] {
    this.#phase = 'back';
    this.#timers.stopAll();
    return [{ type: 'back' }];
  }

  #lose(why: string): SinkReturnOutput[] {
    this.#phase = 'lost';
    this.#timers.stopAll();
    return [{ type: 'lost', why }];
  }
}
