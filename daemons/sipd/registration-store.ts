/**
 * In a pair: our registrations at the platforms above, so that the other node goes on with them (faults.md 1): the same Call-ID, the
 * next CSeq, the nonce that was given to us, keepalives with the next SN. Rows of kind `registration`, written with each request.
 */
import type { UpstreamConfig } from '#core/config/schema.ts';
import type { RegistrationMemory } from '#core/gb/registration-io.ts';
import type { HeldChallenge } from '#core/sip/digest-client.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { StateStore } from '#kit/state-store.ts';

const KIND = 'registration';
/** Requests that left and were not written here any more. */
const CSEQ_STEP = 8;
// Times are kept to the second: a row is written when something happened, and not because clocks are read twice.

/** What makes it another registration. */
const BINDING = ['id', 'localId', 'localAddress', 'address', 'port', 'transport'] as const satisfies readonly (keyof UpstreamConfig)[];

export interface KeptLink {
  readonly callId: string;
  readonly fromTag: string;
  readonly registration: RegistrationMemory;
  readonly held: HeldChallenge | undefined;
}

interface Row extends Omit<KeptLink, 'registration'> {
  readonly binding: readonly unknown[];
  readonly registration: Omit<RegistrationMemory, 'expiresAt' | 'refreshAt'>;
  readonly expiresAtWallMs: number | null;
  readonly refreshAtWallMs: number | null;
}

export class RegistrationStore {
  readonly #store: StateStore;
  readonly #clock: Clock;
  /** As written. */
  readonly #written = new Map<string, string>();

  constructor(store: StateStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Undefined: it was never registered, or as somebody else. */
  of(config: UpstreamConfig): KeptLink | undefined {
    const row = this.#store.loadSessions().find(({ sessionId, kind }) => kind === KIND && sessionId === idOf(config.name));
    if (row === undefined) return undefined;
    const { binding, registration, expiresAtWallMs, refreshAtWallMs, ...link } = JSON.parse(row.json) as Row;
    if (JSON.stringify(binding) !== JSON.stringify(bindingOf(config))) return undefined;
    const here = (wallMs: number | null): RegistrationMemory['expiresAt'] => (wallMs === null ? undefined : addMs(this.#clock.now(), wallMs - this.#clock.wall()));
    return { ...link, registration: { ...registration, cseq: registration.cseq + CSEQ_STEP, expiresAt: here(expiresAtWallMs), refreshAt: here(refreshAtWallMs) } };
  }

  put(config: UpstreamConfig, { registration: { expiresAt, refreshAt, ...registration }, ...link }: KeptLink): void {
    const wall = (at: RegistrationMemory['expiresAt']): number | null => (at === undefined ? null : Math.round((this.#clock.wall() + (at - this.#clock.now())) / 1000) * 1000);
    const json = JSON.stringify({ ...link, binding: bindingOf(config), registration, expiresAtWallMs: wall(expiresAt), refreshAtWallMs: wall(refreshAt) } satisfies Row);
    if (this.#written.get(config.name) === json) return;
    this.#written.set(config.name, json);
    this.#store.putSession({ sessionId: idOf(config.name), kind: KIND, json });
  }

  delete(name: string): void {
    this.#written.delete(name);
    this.#store.deleteSession(idOf(name));
  }
}

const idOf = (name: string): string => `${KIND}/${name}`;
const bindingOf = (config: UpstreamConfig): readonly unknown[] => BINDING.map(key => config[key]);
