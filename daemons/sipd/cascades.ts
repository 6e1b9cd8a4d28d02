/**
 * Bridges for outlets of another mediad instance than the one where the source runs: one more bridge there, fed by a sink of the source's
 * bridge over loopback, or between the media addresses of two nodes. Outlets do not see the difference.
 *
 *   opening ──both ends stand──► open ──last holder left, source ended, an end lost──► closed
 */
import type { MediadEvent } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { MediaPool } from './media-pool.ts';

const PS_PAYLOAD_TYPE = 96;
/** The source has a watch of its own; this one only notices that loopback died. */
const SILENCE_MS = 3_600_000;
const CONNECT_MS = 5000;

export interface CascadesDeps {
  readonly media: MediaPool;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

export interface Origin {
  readonly bridgeId: string;
  readonly instance: string;
}

interface Cascade {
  readonly key: string;
  readonly origin: Origin;
  readonly instance: string;
  readonly bridgeId: string;
  readonly sinkId: string;
  readonly opened: Promise<void>;
  readonly holders: Set<() => void>;
}

export class Cascades {
  readonly #deps: CascadesDeps;
  readonly #byKey = new Map<string, Cascade>();

  constructor(deps: CascadesDeps) {
    this.#deps = deps;
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** The origin's media in `instance`. `onEnd` runs when it ends before it is disposed. */
  async join(origin: Origin, instance: string, onEnd: () => void): Promise<{ readonly bridgeId: string } & Disposable> {
    const cascade = this.#byKey.get(`${origin.bridgeId}>${instance}`) ?? this.#open(origin, instance);
    cascade.holders.add(onEnd);
    const leave = (): void => {
      if (cascade.holders.delete(onEnd) && cascade.holders.size === 0) this.#close(cascade, 'nobody watches');
    };
    try {
      await cascade.opened;
      return { bridgeId: cascade.bridgeId, [Symbol.dispose]: leave };
    } catch (error) {
      leave();
      throw error;
    }
  }

  onMediaEvent(event: MediadEvent): void {
    if (event.type !== 'source-closed' && event.type !== 'source-silent' && event.type !== 'sink-closed') return;
    for (const cascade of [...this.#byKey.values()]) {
      const isEnd = event.type === 'sink-closed' ? event.sinkId === cascade.sinkId : event.bridgeId === cascade.bridgeId;
      if (isEnd) this.#close(cascade, event.type);
    }
  }

  onMediaLost(bridgeIds: readonly string[]): void {
    const lost = new Set(bridgeIds);
    for (const cascade of [...this.#byKey.values()]) if (lost.has(cascade.bridgeId) || lost.has(cascade.origin.bridgeId)) this.#close(cascade, 'its media process ended');
  }

  #open(origin: Origin, instance: string): Cascade {
    const { random, log } = this.#deps;
    const bridgeId = `c${random.hex(8)}`;
    const sinkId = `k${random.hex(8)}`;
    const cascade: Cascade = { key: `${origin.bridgeId}>${instance}`, origin, instance, bridgeId, sinkId, opened: this.#connect(origin, instance, bridgeId, sinkId), holders: new Set() };
    this.#byKey.set(cascade.key, cascade);
    cascade.opened.catch((error: unknown) => {
      if (!(error instanceof GatewayError)) throw error;
      this.#close(cascade, error.message);
    });
    log.info({ bridgeId, from: origin.instance, to: instance, origin: origin.bridgeId }, 'cascade.opening');
    return cascade;
  }

  async #connect(origin: Origin, instance: string, bridgeId: string, sinkId: string): Promise<void> {
    const { media, random } = this.#deps;
    const ssrc = random.int(2 ** 32);
    const [from, to] = media.nodes.between(origin.instance, instance);
    const peer = { allowed: [from, to], latch: 'strict' } as const;
    const label = `of ${origin.bridgeId} in mediad@${origin.instance}`;
    const { local: source } = await media.openBridge(instance, { bridgeId, legId: bridgeId, transport: 'udp', localAddress: to, ssrc, peer, silenceMs: SILENCE_MS, label }, { elsewhere: false });
    const { local: sink } = await media.call(origin.instance, 'openSink', { bridgeId: origin.bridgeId, sinkId, transport: 'udp', localAddress: from, remote: source, ssrc, payloadType: PS_PAYLOAD_TYPE, peer, connectTimeoutMs: CONNECT_MS, label: `to mediad@${instance}` });
    await media.call(instance, 'connectSource', { bridgeId, remote: sink, ssrc, ssrcPolicy: 'exact', payloadType: PS_PAYLOAD_TYPE });
    await media.call(origin.instance, 'startSink', { bridgeId: origin.bridgeId, sinkId });
  }

  #close(cascade: Cascade, why: string): void {
    if (this.#byKey.get(cascade.key) !== cascade) return;
    this.#byKey.delete(cascade.key);
    const { media, log } = this.#deps;
    log.info({ bridgeId: cascade.bridgeId, why }, 'cascade.closed');
    const { origin, sinkId, instance, bridgeId } = cascade;
    const close = async (): Promise<void> => {
      await cascade.opened.catch(() => undefined);
      await Promise.allSettled([media.closeSink(origin.instance, origin.bridgeId, sinkId), media.closeBridge(instance, bridgeId)]);
    };
    void close();
    const holders = [...cascade.holders];
    cascade.holders.clear();
    for (const onEnd of holders) onEnd();
  }
}
