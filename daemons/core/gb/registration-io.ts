/** What goes into and comes out of our registration at a platform above us. */
import type { Ms } from '../units.ts';

export interface RegistrationOptions {
  readonly expiresS: number;
  /** First wait after a failure. */
  readonly retryS: number;
  readonly keepaliveS: number;
  readonly keepaliveMisses: number;
  /** 302 is followed (2022). */
  readonly followsRedirect: boolean;
  /** In [0, 1): spreads the waits of several gateways. */
  readonly dice: () => number;
}

/** What another process needs to go on with a registration. Undefined times: it was not registered. */
export interface RegistrationMemory {
  readonly cseq: number;
  readonly sn: number;
  readonly asksS: number;
  readonly target: RedirectTarget | undefined;
  readonly expiresAt: Ms | undefined;
  readonly refreshAt: Ms | undefined;
}

export interface RedirectTarget {
  readonly address: string;
  readonly port: number;
}

/** `nonce` is what the automaton looks at; the rest of a challenge is the digest client's. */
export interface Challenge {
  readonly nonce: string;
  readonly stale: boolean;
}

export type RegistrationInput<C extends Challenge> =
  | { readonly type: 'enable' }
  | { readonly type: 'disable' }
  /** Final answer to the `send-register` with this attempt number. */
  | {
      readonly type: 'register-answer';
      readonly attempt: number;
      readonly status: number;
      readonly reason?: string;
      /** 401: undefined when it is not from the realm that may have our credentials. */
      readonly challenge?: C | undefined;
      /** 200: Contact's expires for us, else the Expires header. */
      readonly expiresS?: number | undefined;
      /** 423. */
      readonly minExpiresS?: number | undefined;
      /** 302. */
      readonly redirect?: RedirectTarget | undefined;
      /** 5xx. */
      readonly retryAfterS?: number | undefined;
    }
  | { readonly type: 'register-failed'; readonly attempt: number; readonly why: string }
  /** Undefined status: no answer. */
  | { readonly type: 'keepalive-answer'; readonly sn: number; readonly status: number | undefined }
  | { readonly type: 'flow-lost' }
  | { readonly type: 'tick' };

export type RegistrationState = 'disabled' | 'registering' | 'online' | 'waiting';

export type RegistrationOutput<C extends Challenge> =
  /** Same Call-ID and From tag for the life of the process, `cseq` as given; `target` undefined: the configured address. */
  | { readonly type: 'send-register'; readonly attempt: number; readonly cseq: number; readonly expiresS: number; readonly challenge: C | undefined; readonly target: RedirectTarget | undefined }
  | { readonly type: 'send-keepalive'; readonly sn: number; readonly target: RedirectTarget | undefined }
  | { readonly type: 'state'; readonly state: RegistrationState; readonly reason: string | null };

export interface RegistrationView {
  readonly state: RegistrationState;
  /** Last failure in words; null while all is well. */
  readonly reason: string | null;
  readonly retryAt: Ms | undefined;
  readonly expiresAt: Ms | undefined;
  /** Last keepalive that was answered 200. */
  readonly keepaliveAt: Ms | undefined;
  readonly target: RedirectTarget | undefined;
}
