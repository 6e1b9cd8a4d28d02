/** Who watches a source without a SIP dialog: outlets of mediad, snapshots, `vlink why --probe`; and nobody yet, after a restart. */
import type { SourceFailure } from '#core/gb/source-session.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { ChannelRef } from './catalogs.ts';
import type { Source } from './source.ts';

/** Holds a restored source until outlets had the time to claim it: twice the longest wait of an RPC link. */
const UNCLAIMED = 'unclaimed';
const CLAIM_MS = 4000;

export interface HoldOptions {
  /** Unique among viewers and holders. */
  readonly holderId: string;
  readonly instance?: string | undefined;
  /** This channel and no other way to its camera. */
  readonly alone?: boolean | undefined;
  /** The source ended before it was let go. */
  readonly onEnd?: ((failure: SourceFailure) => void) | undefined;
}

export interface HeldSource extends Disposable {
  readonly bridgeId: string;
  readonly instance: string;
  /** Settles at the first packet, or rejects with a GatewayError. */
  readonly flowing: Promise<void>;
}

export class RelayHolders implements Disposable {
  readonly #clock: Clock;
  readonly #holders = new Map<string, (failure: SourceFailure) => void>();
  readonly #claims: Disposable[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  hold(source: Source, channel: ChannelRef, { holderId, onEnd }: HoldOptions): HeldSource {
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    this.#holders.set(holderId, failure => {
      this.#holders.delete(holderId);
      failed.reject(new GatewayError(failure.code, { deviceId: channel.deviceId, channelId: channel.channelId, why: failure.why }));
      onEnd?.(failure);
    });
    source.feed({ type: 'viewer-joined', viewerId: holderId });
    const release = (): void => {
      this.#holders.delete(holderId);
      source.feed({ type: 'viewer-left', viewerId: holderId });
    };
    return {
      bridgeId: source.bridgeId,
      get instance() {
        return source.instance;
      },
      flowing: Promise.race([failed.promise, source.firstPacket]),
      [Symbol.dispose]: release,
    };
  }

  ended(ids: readonly string[], failure: SourceFailure): void {
    for (const id of ids) this.#holders.get(id)?.(failure);
  }

  /** Outlets of mediad may hold it without a SIP dialog: they say so as soon as mediad has found us again. */
  keepForClaims(source: Source): void {
    source.feed({ type: 'viewer-joined', viewerId: UNCLAIMED });
    this.#claims.push(this.#clock.schedule(addMs(this.#clock.now(), CLAIM_MS), () => source.feed({ type: 'viewer-left', viewerId: UNCLAIMED })));
  }

  [Symbol.dispose](): void {
    for (const timer of this.#claims) timer[Symbol.dispose]();
  }
}
