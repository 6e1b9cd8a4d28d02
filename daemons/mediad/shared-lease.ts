/**
 * One channel held open for all its viewers in this instance: one lease at sipd, one bridge.
 *
 *   opening ──sipd answered, first pictures known──► live ──last viewer left──► closed
 *      │ refused, no picture in time, bridge closed   │ bridge closed, claim refused: viewers are told
 *      └───────────────────────────────────────────► closed ◄┘
 */
import type { OpenOutletParams } from '#contracts/sipd.ts';
import type { MediaTracks } from '#core/media/unit.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { UnitSeat, UnitSink, UnitStream } from './unit-stream.ts';

/** From the first packet to the first key frame: two long GOPs. */
const FIRST_PICTURE_MS = 20_000;

export interface LeaseWorld {
  readonly clock: Clock;
  /** Asks sipd for the channel; the same lease again claims it. */
  open(params: OpenOutletParams): Promise<{ readonly bridgeId: string }>;
  /** Tells sipd that it is over; never fails. */
  close(leaseId: string): void;
  units(bridgeId: string): UnitStream | undefined;
  /** Once, whatever ended it; viewers were told before. */
  closed(lease: SharedLease, why: string): void;
}

export class SharedLease {
  readonly params: OpenOutletParams;
  /** Rejects with a GatewayError when it closes before it was live. */
  readonly opened: Promise<UnitStream>;
  readonly #world: LeaseWorld;
  readonly #viewers = new Set<(why: string) => void>();
  readonly #failed = Promise.withResolvers<never>();
  #bridgeId: string | null = null;
  #seat: UnitSeat | undefined;
  #closed = false;

  constructor(params: OpenOutletParams, world: LeaseWorld) {
    this.params = params;
    this.#world = world;
    this.#failed.promise.catch(() => undefined);
    this.opened = this.#open();
    this.opened.catch((error: unknown) => {
      if (!(error instanceof GatewayError)) throw error;
      this.#close(error.message);
    });
  }

  get bridgeId(): string | null {
    return this.#bridgeId;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** `onEnd` runs once if the lease ends first. Disposing leaves; the last one closes. */
  enter(onEnd: (why: string) => void): Disposable {
    this.#viewers.add(onEnd);
    return {
      [Symbol.dispose]: () => {
        if (this.#viewers.delete(onEnd) && this.#viewers.size === 0) this.#close('nobody watches');
      },
    };
  }

  /** After sipd came back: it must still mean the bridge that we have. */
  async claim(): Promise<void> {
    if (this.#bridgeId === null || this.#closed) return;
    try {
      const { bridgeId } = await this.#world.open(this.params);
      if (bridgeId !== this.#bridgeId) this.#close('the source was opened anew');
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      if (error.code !== 'DAEMON_UNREACHABLE') this.#close(error.message);
    }
  }

  async #open(): Promise<UnitStream> {
    const { bridgeId } = await Promise.race([this.#world.open(this.params), this.#failed.promise]);
    const stream = this.#world.units(bridgeId);
    if (stream === undefined) throw new GatewayError('BRIDGE_UNKNOWN', { bridgeId });
    this.#bridgeId = bridgeId;
    const seen = Promise.withResolvers<void>();
    // This seat stays while the lease does, so that the pictures since the last key frame are kept for who joins.
    const keeper: UnitSink = { onTracks: (_tracks: MediaTracks) => seen.resolve(), onUnit: () => undefined, onEnd: why => this.#close(why) };
    this.#seat = stream.join(keeper);
    if (stream.tracks !== null) return stream;
    const { clock } = this.#world;
    using _limit = clock.schedule(addMs(clock.now(), FIRST_PICTURE_MS), () => this.#failed.reject(new GatewayError('MEDIA_SILENT', { bridgeId, why: 'no key frame came', waitedMs: FIRST_PICTURE_MS })));
    await Promise.race([seen.promise, this.#failed.promise]);
    return stream;
  }

  #close(why: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#failed.reject(new GatewayError('MEDIA_UNAVAILABLE', { why }));
    this.#seat?.[Symbol.dispose]();
    this.#world.close(this.params.leaseId);
    const viewers = [...this.#viewers];
    this.#viewers.clear();
    for (const onEnd of viewers) onEnd(why);
    this.#world.closed(this, why);
  }
}
