/**
 * The bridges of a dead node anew, on the addresses that have come to another one, with the ports, SSRCs and peers that they had; and
 * likewise those that go home with their address. UDP legs go on as if nothing had been, and nobody is asked anything; their numbers go
 * on behind a gap that a receiver takes for lost packets (RFC 3550 A.1: fewer than 3000). A connection cannot be taken along: a camera
 * is asked anew (leg-cut of core/gb/source-session), a recorder for the rest (core/gb/playback-resume), a sink connects or listens again, and its upstream is asked to do the same
 * (core/gb/sink-return). What an inlet feeds is fed again when that is pulled, or published, anew.
 */
import { mayResume } from '#core/gb/playback-resume.ts';
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import type { MediadClient, Moved, Revived } from './moved.ts';
import type { SessionStore } from './session-store.ts';
import type { StoredSource } from './source.ts';
import type { StoredLeg } from './source-leg.ts';
import type { RevivedSink, StoredViewer } from './viewer-plan.ts';
import { reopenedSink } from './sink-reopening.ts';

export interface RevivalsDeps {
  readonly store: SessionStore;
  readonly log: Log;
  onRevived(instance: string, revived: readonly Revived[]): void;
  wantKeyPicture(bridgeId: string): void;
}

export class Revivals {
  readonly #deps: RevivalsDeps;
  /** Instances that have what was left to them. */
  readonly #done = new Set<string>();

  constructor(deps: RevivalsDeps) {
    this.#deps = deps;
  }

  /** What the dead node had there. Once, and again where that was cut short: what a media process loses later is lost. */
  async takeOver(instance: string, client: MediadClient): Promise<void> {
    if (this.#done.has(instance)) return;
    const { store, log } = this.#deps;
    const { revived } = await reviveBridges({ store, instance, client, log });
    this.#done.add(instance);
    this.#deps.onRevived(instance, revived);
    this.#catchUp(revived);
  }

  /** These of one instance, in another one; answers those that stand there. */
  async move(bridgeIds: readonly string[], instance: string, client: MediadClient): Promise<readonly Moved[]> {
    const { store, log } = this.#deps;
    const { revived, present } = await reviveBridges({ store, instance, bridgeIds, client, log });
    this.#catchUp(revived);
    return [...revived.map(each => ({ bridgeId: each.bridgeId, revived: each })), ...bridgeIds.filter(id => present.has(id)).map(bridgeId => ({ bridgeId, revived: undefined }))];
  }

  /** What was lost meanwhile is behind the next key picture. */
  #catchUp(revived: readonly Revived[]): void {
    if (revived.length > 0) this.#deps.log.warn({ bridges: revived.length }, 'bridges.revived');
    for (const { bridgeId } of revived) this.#deps.wantKeyPicture(bridgeId);
  }
}

interface Wanted {
  readonly store: SessionStore;
  /** Where they were, as the store has it. */
  readonly instance: string;
  /** These and no others; undefined: all. */
  readonly bridgeIds?: readonly string[];
  /** Where they are opened. */
  readonly client: MediadClient;
  readonly log: Log;
}

/** Answers the bridges that stand again; `present`: those that stood already. What cannot be opened is left out: the pool tells of it as lost. */
async function reviveBridges({ store, instance, bridgeIds, client, log }: Wanted): Promise<{ readonly revived: readonly Revived[]; readonly present: ReadonlySet<string> }> {
  const { bridges } = await client.call('listBridges', {});
  const present = new Set(bridges.map(({ bridgeId }) => bridgeId));
  const marks = store.marks(instance);
  const viewers = store.viewers();
  const wanted = bridgeIds === undefined ? undefined : new Set(bridgeIds);
  const gone = store.sources().filter(({ instance: at, plan: { bridgeId } }) => at === instance && !present.has(bridgeId) && wanted?.has(bridgeId) !== false);
  const revived = await Promise.all(gone.map(source => reviveOne(source, viewers.get(source.plan.bridgeId) ?? [], marks, client, log)));
  return { revived: revived.filter(each => each !== undefined), present };
}

async function reviveOne(source: StoredSource, viewers: readonly StoredViewer[], marks: Readonly<Record<string, number>>, client: MediadClient, log: Log): Promise<Revived | undefined> {
  const { bridgeId } = source.plan;
  const leg = source.legs.find(({ plan }) => plan.legId === source.runningLegId);
  const isInlet = leg?.plan.inletId !== undefined && leg.plan.feeder === undefined;
  if (leg === undefined || (leg.media === undefined && !isInlet)) return undefined;
  const cut = leg.plan.transport !== 'udp' && !isInlet;
  if (cut && source.plan.history !== undefined && !mayResume(source.plan.history, source.playback)) return undefined;
  try {
    await (isInlet ? openInlet(bridgeId, leg, client) : openSource(bridgeId, leg, client));
    const sinks = await Promise.all(viewers.map(viewer => openSink(viewer, marks[viewer.plan.sinkId], client, log)));
    return { bridgeId, cut, sinks: new Map(sinks.flat()) };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    log.error({ bridgeId, why: error.message }, 'bridge.not-revived');
    await client.call('closeBridge', { bridgeId }).catch(() => undefined);
    return undefined;
  }
}

/** It is pulled anew, or its publisher comes anew: by itself, and the bridge waits for that. */
const openInlet = (bridgeId: string, { plan: { inletId, streamNumber, silenceMs, deviceId, channelId } }: StoredLeg, client: MediadClient): Promise<null> =>
  client.call('openInlet', { bridgeId, inletId: inletId!, streamNumber: streamNumber ?? 0, silenceMs, label: `${deviceId}/${channelId}`, reopened: true });

/** Of a leg over TCP only the place, for the one that takes over: nobody connects to it. */
async function openSource(bridgeId: string, { plan, local, media }: StoredLeg, client: MediadClient): Promise<void> {
  const { legId, transport, ssrc, ssrcPolicy, allowed, latch, silenceMs, deviceId, channelId } = plan;
  const common = { bridgeId, legId, localAddress: local.address, ssrc, peer: { allowed, latch }, silenceMs, label: `${deviceId}/${channelId}` };
  await client.call('openSource', { ...common, transport: transport === 'udp' ? transport : 'tcp-passive', localPort: local.port });
  if (transport !== 'udp') return;
  await client.call('connectSource', { bridgeId, legId, ssrcPolicy, ...media! });
}

/** And starts it: its ACK came long ago. */
async function openSink(viewer: StoredViewer, mark: number | undefined, client: MediadClient, log: Log): Promise<[sinkId: string, sink: RevivedSink][]> {
  const params = reopenedSink(viewer, { mark });
  if (params === undefined) return [];
  const { bridgeId, sinkId, localAddress, firstSequence } = params;
  try {
    const { local } = await client.call('openSink', params);
    await client.call('startSink', { bridgeId, sinkId });
    return [[sinkId, { local, firstSequence }]];
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    log.error({ bridgeId, sinkId, localAddress, why: error.message }, 'sink.not-revived');
    return [];
  }
}
