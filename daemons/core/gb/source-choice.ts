/**
 * Which way to a camera is tried next.
 *
 *   start, failed   the first of the resource's sources that is there and was not tried since the last one flowed
 *   lossy           the same camera over TCP: it connects to us, else we to it; nothing when that was tried
 *   cut             the same once more, as it was
 *   busy            the same once more, now that the running leg makes room; should it fail, the camera over UDP as before
 */
import type { MediaTransport } from '../sdp/negotiate.ts';
import type { Ms } from '../units.ts';
import type { ChannelKey } from './id-mapping.ts';
import type { NextLegReason } from './source-session.ts';

/** A source that failed is left alone so long: two that die at once are not tried in turn for ever. */
const REST_MS = 10_000;
const OVER_TCP: readonly MediaTransport[] = ['tcp-passive', 'tcp-active'];

export interface SourceCandidate extends ChannelKey {
  /** Its device is online. */
  readonly isReachable: boolean;
  /** How it is asked: configured, remembered, or the default. */
  readonly transport: MediaTransport;
  /** Whether loss may move it to TCP: nobody fixed its transport, and TCP did not fail of late. */
  readonly mayMoveToTcp: boolean;
}

export interface LegChoice extends ChannelKey {
  readonly transport: MediaTransport;
}

const keyOf = ({ deviceId, channelId }: ChannelKey): string => `${deviceId}\n${channelId}`;

export class SourceChoice {
  /** Flows now, or did last. */
  #running: LegChoice | undefined;
  #latest: LegChoice | undefined;
  /** Back to what ran before, when making room was in vain. */
  #fallback: LegChoice | undefined;
  #madeRoom = false;
  readonly #tried = new Set<string>();
  readonly #triedTransports = new Set<MediaTransport>();
  readonly #failedAt = new Map<string, Ms>();

  /** `candidates`: all sources of the resource, best first. */
  next(because: NextLegReason, candidates: readonly SourceCandidate[], now: Ms): LegChoice | null {
    const again = because === 'cut' ? this.#sameAgain(candidates) : null;
    const choice = again ?? (because === 'lossy' || because === 'busy' ? this.#overTcp(because, candidates) : this.#another(candidates, now));
    if (choice !== null) this.#latest = choice;
    return choice;
  }

  /** This one feeds the viewers now. */
  flows(choice: LegChoice): void {
    this.#running = this.#latest = choice;
    this.#fallback = undefined;
    this.#madeRoom = false;
    this.#tried.clear();
    this.#triedTransports.clear();
  }

  #sameAgain(candidates: readonly SourceCandidate[]): LegChoice | null {
    const running = this.#running;
    return running !== undefined && candidates.some(each => keyOf(each) === keyOf(running) && each.isReachable) ? running : null;
  }

  #another(candidates: readonly SourceCandidate[], now: Ms): LegChoice | null {
    const fallback = this.#fallback;
    this.#fallback = undefined;
    if (fallback !== undefined) return fallback;
    if (this.#latest !== undefined) {
      this.#tried.add(keyOf(this.#latest));
      this.#failedAt.set(keyOf(this.#latest), now);
    }
    const rested = (candidate: SourceCandidate): boolean => now - (this.#failedAt.get(keyOf(candidate)) ?? -Infinity) >= REST_MS;
    const found = candidates.find(candidate => candidate.isReachable && !this.#tried.has(keyOf(candidate)) && rested(candidate));
    return found === undefined ? null : legOf(found, found.transport);
  }

  #overTcp(because: 'lossy' | 'busy', candidates: readonly SourceCandidate[]): LegChoice | null {
    const running = this.#running;
    const candidate = running && candidates.find(each => keyOf(each) === keyOf(running));
    if (running?.transport !== 'udp' || candidate === undefined || !candidate.isReachable || !candidate.mayMoveToTcp || this.#madeRoom) return null;
    if (because === 'busy' && this.#latest !== undefined) {
      this.#madeRoom = true;
      this.#fallback = running;
      return this.#latest;
    }
    const transport = OVER_TCP.find(each => !this.#triedTransports.has(each));
    if (transport === undefined) return null;
    this.#triedTransports.add(transport);
    return legOf(candidate, transport);
  }
}

const legOf = ({ deviceId, channelId }: ChannelKey, transport: MediaTransport): LegChoice => ({ deviceId, channelId, transport });
