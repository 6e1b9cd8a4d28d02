/**
 * After a takeover: the bridges of the dead node anew, on the addresses that have come here, with the ports, SSRCs and peers that
 * they had. UDP legs go on as if nothing had been, and nobody is asked anything; their numbers go on behind a gap that a receiver takes
 * for lost packets (RFC 3550 A.1: fewer than 3000). A connection cannot be taken along: a sink that connects does it again, any other
 * leg over TCP is lost, and its session ends as with any dead media process.
 */
import type { MediadRequests } from '#contracts/mediad.ts';
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import type { RpcClient } from '#kit/rpc.ts';
import type { SessionStore } from './session-store.ts';
import type { StoredSource } from './source.ts';
import type { StoredLeg } from './source-leg.ts';
import type { StoredViewer } from './viewer.ts';

/** Without a mark a session is younger than the time between two of them. More than is sent between two marks and in the gap of a takeover, less than MAX_DROPOUT of RFC 3550. */
const SEQUENCE_MARGIN = 2000;

export interface RevivalDeps {
  readonly store: SessionStore;
  readonly instance: string;
  readonly client: RpcClient<MediadRequests>;
  readonly log: Log;
}

/** Answers the bridges that stand again. What cannot be opened is left out: the pool tells of it as lost. */
export async function reviveBridges({ store, instance, client, log }: RevivalDeps): Promise<readonly string[]> {
  const { bridges } = await client.call('listBridges', {});
  const present = new Set(bridges.map(({ bridgeId }) => bridgeId));
  const marks = store.marks(instance);
  const gone = store.sources().filter(source => source.instance === instance && !present.has(source.plan.bridgeId));
  const revived = await Promise.all(gone.map(source => reviveOne(source, store, marks, client, log)));
  return revived.filter(bridgeId => bridgeId !== undefined);
}

async function reviveOne(source: StoredSource, store: SessionStore, marks: Readonly<Record<string, number>>, client: RpcClient<MediadRequests>, log: Log): Promise<string | undefined> {
  const { bridgeId } = source.plan;
  const leg = source.legs.find(({ plan }) => plan.legId === source.runningLegId);
  if (leg?.media === undefined || leg.plan.transport !== 'udp') return undefined;
  try {
    await openSource(bridgeId, leg, client);
    await Promise.all(store.viewersOf(bridgeId).map(viewer => openSink(viewer, marks[viewer.plan.sinkId], client, log)));
    return bridgeId;
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    log.error({ bridgeId, why: error.message }, 'bridge.not-revived');
    await client.call('closeBridge', { bridgeId }).catch(() => undefined);
    return undefined;
  }
}

async function openSource(bridgeId: string, { plan, local, media }: StoredLeg, client: RpcClient<MediadRequests>): Promise<void> {
  const { legId, transport, ssrc, ssrcPolicy, allowed, latch, silenceMs, deviceId, channelId } = plan;
  await client.call('openSource', { bridgeId, legId, transport, localAddress: local.address, localPort: local.port, ssrc, peer: { allowed, latch }, silenceMs, label: `${deviceId}/${channelId}` });
  await client.call('connectSource', { bridgeId, legId, ssrcPolicy, ...media! });
}

/** And starts it: its ACK came long ago. */
async function openSink({ plan, bridgeId, media }: StoredViewer, mark: number | undefined, client: RpcClient<MediadRequests>, log: Log): Promise<void> {
  const { sinkId, transport, localAddress, remote, ssrc, allowed, connectTimeoutMs, pictures, nack, firstSequence, upstream, mappedId } = plan;
  const reached = mark ?? firstSequence;
  if (media === undefined || transport === 'tcp-passive') return;
  const numbers = transport === 'udp' ? { localPort: media.local.port, firstSequence: reached === undefined ? undefined : (reached + SEQUENCE_MARGIN) & 0xffff } : {};
  const { payloadType, format, rendition } = media;
  try {
    await client.call('openSink', { bridgeId, sinkId, transport, localAddress: media.local.address, ...numbers, remote, ssrc, payloadType, format, rendition, peer: { allowed, latch: 'strict' }, connectTimeoutMs, pictures, nack, label: `${upstream}/${mappedId}` });
    await client.call('startSink', { bridgeId, sinkId });
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    log.error({ bridgeId, sinkId, localAddress, why: error.message }, 'sink.not-revived');
  }
}
