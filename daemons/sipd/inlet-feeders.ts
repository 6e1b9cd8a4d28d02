/**
 * An inlet as one of several ways to a camera: it gets a bridge of its own, and that bridge sends its program stream to a leg of the
 * viewers' bridge over loopback, or between two nodes, as a camera would send it over the network. So it can take over from a camera, and a camera from it.
 */
import { PS_PAYLOAD } from '#core/sdp/negotiate.ts';
import { LOOPBACK } from './media-nodes.ts';
import type { MediaPool } from './media-pool.ts';
import type { LegPlan } from './leg-plan.ts';

const CONNECT_MS = 5000;

export class InletFeeders {
  readonly #media: MediaPool;
  /** Those that are being opened. */
  readonly #opening = new Map<string, Promise<unknown>>();

  constructor(media: MediaPool) {
    this.#media = media;
  }

  async open(plan: LegPlan, local: { readonly address: string; readonly port: number }): Promise<{ readonly address: string; readonly port: number }> {
    const { legId } = plan;
    const opening = this.#open(plan, local);
    this.#opening.set(legId, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(legId);
    }
  }

  async #open(plan: LegPlan, remote: { readonly address: string; readonly port: number }): Promise<{ readonly address: string; readonly port: number }> {
    const { legId, feeder, inletId, streamNumber, silenceMs, ssrc, deviceId, channelId } = plan;
    const { bridgeId, instance, address } = feeder!;
    const label = `${deviceId}/${channelId}`;
    await this.#media.openInlet(instance, { bridgeId, inletId: inletId!, streamNumber: streamNumber ?? 0, silenceMs, label });
    const peer = { allowed: [remote.address], latch: 'strict' as const };
    const { local } = await this.#media.call(instance, 'openSink', { bridgeId, sinkId: legId, transport: 'tcp-active', localAddress: address ?? LOOPBACK, remote, ssrc, payloadType: PS_PAYLOAD.payloadType, peer, connectTimeoutMs: CONNECT_MS, label });
    return local;
  }

  async start({ legId, feeder }: LegPlan): Promise<void> {
    await this.#media.call(feeder!.instance, 'startSink', { bridgeId: feeder!.bridgeId, sinkId: legId });
  }

  close({ legId, feeder }: LegPlan): void {
    const close = (): void => void this.#media.closeBridge(feeder!.instance, feeder!.bridgeId).catch(() => undefined);
    const opening = this.#opening.get(legId);
    if (opening === undefined) close();
    else void opening.then(close, close);
  }
}
