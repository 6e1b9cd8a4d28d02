/**
 * The lite side of ICE (RFC 8445 2.5): answers checks, never sends any. The far end is where its checks come from.
 *
 *   waiting ──first good check──► checked ──check with USE-CANDIDATE──► nominated ◄──► (another path is nominated)
 *      │ none within `connectMs`     └── none for `consentMs` (RFC 7675) ──┴──► lost
 *      └──────────────────────────────────────────────────────────────────► lost
 */
import { type Result, fail, ok } from '../result.ts';
import { addMs, type Ms } from '../units.ts';
import { bindingSuccess, integrityFits, parseBindingRequest, type Sha1Mac } from './stun.ts';

export interface IceAddress {
  readonly address: string;
  readonly port: number;
}

export interface IceLimits {
  readonly connectMs: number;
  readonly consentMs: number;
}

export const ICE_LIMITS: IceLimits = { connectMs: 15_000, consentMs: 30_000 };
/** Paths that one client may check at a time. */
const MAX_PATHS = 16;

/** USERNAME of a check is `ours:theirs`: whose session it is. Undefined for what is no check. */
export function localFragmentOf(datagram: Uint8Array): string | undefined {
  const request = parseBindingRequest(datagram);
  return request.ok ? request.value.username.split(':', 1)[0] : undefined;
}

export class IceLite {
  readonly #localFragment: string;
  readonly #remoteFragment: string;
  readonly #mac: Sha1Mac;
  readonly #limits: IceLimits;
  /** Checked paths; the far end owns them. */
  readonly #paths = new Set<string>();
  #deadline: Ms;
  /** Where to send to. */
  selected: IceAddress | undefined;
  nominated = false;

  /** `mac`: under our password. */
  constructor(localFragment: string, remoteFragment: string, mac: Sha1Mac, now: Ms, limits: IceLimits = ICE_LIMITS) {
    this.#localFragment = localFragment;
    this.#remoteFragment = remoteFragment;
    this.#mac = mac;
    this.#limits = limits;
    this.#deadline = addMs(now, limits.connectMs);
  }

  /** The far end is lost when this passes. */
  get deadline(): Ms {
    return this.#deadline;
  }

  /** Other datagrams count only from where checks came. */
  owns(address: string, port: number): boolean {
    return this.#paths.has(`${address} ${port}`);
  }

  /** The answer to send back to where the check came from. */
  onCheck(datagram: Uint8Array, from: IceAddress, now: Ms): Result<Uint8Array> {
    const request = parseBindingRequest(datagram);
    if (!request.ok) return request;
    const { transactionId, username, integrityAt, useCandidate } = request.value;
    if (username !== `${this.#localFragment}:${this.#remoteFragment}`) return fail(0, 'USERNAME of another session');
    if (!integrityFits(datagram, integrityAt, this.#mac)) return fail(integrityAt, 'MESSAGE-INTEGRITY does not fit');
    const key = `${from.address} ${from.port}`;
    if (!this.#paths.has(key) && this.#paths.size >= MAX_PATHS) return fail(0, 'too many paths');
    const response = bindingSuccess(transactionId, from.address, from.port, this.#mac);
    if (response === undefined) return fail(0, 'no address');
    this.#paths.add(key);
    this.#deadline = addMs(now, this.#limits.consentMs);
    if (useCandidate || !this.nominated) this.selected = from;
    this.nominated ||= useCandidate;
    return ok(response);
  }
}
