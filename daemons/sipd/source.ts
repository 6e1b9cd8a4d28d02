/**
 * IO around one SourceSession: a bridge in mediad, the legs that feed it (source-leg.ts) and the viewers that watch it. Decisions are
 * the automaton's; this file carries them out.
 */
import type { MediadEvent } from '#contracts/mediad.ts';
import type { InvitePath } from '#core/gb/invite-path.ts';
import { SourceChoice } from '#core/gb/source-choice.ts';
import { type NextLegReason, type SourceFailure, type SourceInput, type SourceOutput, type SourcePhase, SourceSession, type SourceTiming } from '#core/gb/source-session.ts';
import type { SourceLegPhase } from '#core/gb/source-leg-session.ts';
import { assertNever } from '#core/result.ts';
import type { GbSdp } from '#core/sdp/gb-sdp.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import { type StoredPlayback, mayResume } from '#core/gb/playback-resume.ts';
import type { Dialog, DialogState, IncomingRequest, OutgoingInvite } from '#kit/sip-endpoint.ts';
import type { ChannelRef } from './catalogs.ts';
import { InletFeeders } from './inlet-feeders.ts';
import { InputQueue } from './input-queue.ts';
import type { MediaPool } from './media-pool.ts';
import { SourceBridge } from './source-bridge.ts';
import type { AnswerReading, History, LegPlan } from './leg-plan.ts';
import { type LegNews, type LegWorld, SourceLeg, type StoredLeg } from './source-leg.ts';

export interface SourcePlan {
  readonly bridgeId: string;
  /** Streams of one camera (main, sub) are sources of their own. */
  readonly key: string;
  /** What is played: its ways are the resource's, or it alone. */
  readonly channel: ChannelRef;
  readonly streamNumber: number | null;
  /** Of the INVITE that began it. */
  readonly path: InvitePath;
  /** A recording in place of the live picture: one viewer, one recorder, nothing that takes over. */
  readonly history?: History | undefined;
  readonly timing: SourceTiming;
}

/** The rest of sipd, as one source sees it. */
export interface SourceWorld {
  readonly media: MediaPool;
  readonly clock: Clock;
  readonly log: Log;
  /** The next way to the camera; null when there is none. */
  planLeg(source: Source, because: NextLegReason): LegPlan | null;
  invite(source: Source, plan: LegPlan, local: { address: string; port: number }): OutgoingInvite | null;
  readAnswer(plan: LegPlan, body: Uint8Array): AnswerReading;
  ready(source: Source, viewerIds: readonly string[]): void;
  ended(source: Source, viewerIds: readonly string[], failure: SourceFailure): void;
  /** Its dialogs, or which of them feeds the viewers, changed: worth a row on disk. */
  changed(source: Source): void;
  legBegan(source: Source, leg: SourceLeg): void;
  /** A leg flows that did not before; `before`: the one whose place it takes. */
  legFlows(source: Source, leg: SourceLeg, before: LegPlan | undefined): void;
  legEnded(source: Source, leg: SourceLeg): void;
  /** A MESSAGE of the camera inside its dialog. */
  message(source: Source, incoming: IncomingRequest): void;
  /** Where its recording stands. */
  playbackOf(source: Source): StoredPlayback | undefined;
  /** Before the part of a bridge that never flowed is closed: the last look at it. */
  closing(leg: SourceLeg): Promise<void>;
  closed(source: Source, failure: SourceFailure | null): void;
}

/** What must outlive a restart of this daemon. */
export interface StoredSource {
  readonly plan: SourcePlan;
  readonly instance: string;
  readonly runningLegId: string | null;
  readonly legs: readonly StoredLeg[];
  /** Of a recording. */
  readonly playback?: StoredPlayback | undefined;
}

export class Source implements Disposable {
  readonly plan: SourcePlan;
  readonly choice = new SourceChoice();
  readonly #world: SourceWorld;
  readonly #session: SourceSession;
  readonly #alarm: Alarm;
  readonly #queue: InputQueue<SourceInput>;
  readonly #legs = new Map<string, SourceLeg>();
  readonly #bridge: SourceBridge;
  readonly #feeders: InletFeeders;
  #running: SourceLeg | undefined;
  readonly #firstPacket = Promise.withResolvers<void>();
  /** After a takeover: whether its bridge stands. */
  readonly #known = Promise.withResolvers<void>();

  private constructor(plan: SourcePlan, instance: string, pinned: boolean, world: SourceWorld, session: SourceSession) {
    this.plan = plan;
    this.#world = world;
    this.#bridge = new SourceBridge(plan.bridgeId, instance, pinned, world.media, world.log);
    this.#feeders = new InletFeeders(world.media);
    this.#session = session;
    this.#alarm = new Alarm(world.clock, () => this.feed({ type: 'tick' }));
    this.#queue = new InputQueue(input => this.#run(session.handle(input, world.clock.now())), () => this.#alarm.arm(session.deadline));
  }

  static create(plan: SourcePlan, instance: string, pinned: boolean, world: SourceWorld): Source {
    return new Source(plan, instance, pinned, world, SourceSession.start(plan.timing).session);
  }

  /** Nothing happens before, so that its owner knows it by then. */
  begin(): void {
    this.#nextLeg('start');
  }

  /** `takesOver`: `revived` follows. */
  static restore(stored: StoredSource, dialogOf: (state: DialogState) => Dialog, world: SourceWorld, takesOver: boolean): Source {
    const { plan, instance, runningLegId, legs } = stored;
    const now = world.clock.now();
    const nextId = legs.find(leg => leg.plan.legId !== runningLegId)?.plan.legId;
    const mayBeCut = takesOver && (plan.history === undefined || mayResume(plan.history, stored.playback)) && legs.some(leg => leg.plan.legId === runningLegId && leg.plan.transport !== 'udp' && leg.media !== undefined);
    const source = new Source(plan, instance, false, world, SourceSession.restored(plan.timing, runningLegId ?? undefined, nextId, now, mayBeCut));
    source.#bridge.wasOpen(legs.map(({ local }) => local.address), takesOver ? source.#known.promise : undefined);
    source.#firstPacket.resolve();
    for (const each of legs) {
      const leg = SourceLeg.restore(each, each.plan.legId === runningLegId, each.dialog === null ? undefined : dialogOf(each.dialog), source.#legWorld);
      source.#legs.set(each.plan.legId, leg);
      if (each.plan.legId !== runningLegId) continue;
      source.#running = leg;
      source.choice.flows(each.plan);
    }
    source.#alarm.arm(source.#session.deadline);
    return source;
  }

  get bridgeId(): string {
    return this.plan.bridgeId;
  }

  /** Where its bridge is. */
  get instance(): string {
    return this.#bridge.instance;
  }

  /** Local address of its legs, where each node has one of its own. */
  get mediaAddress(): string | undefined {
    return this.#bridge.address;
  }

  /** Another instance has opened it anew. */
  movedTo(instance: string): void {
    this.#bridge.movedTo(instance);
    this.changed();
  }

  get bridgeIsOpen(): boolean {
    return this.#bridge.isOpen;
  }

  get phase(): SourcePhase {
    return this.#session.phase;
  }

  /** For people: that of its leg as long as nothing flows yet. */
  get state(): SourcePhase | SourceLegPhase {
    return this.phase === 'starting' ? (this.#running?.phase ?? 'opening') : this.phase;
  }

  get viewers(): readonly string[] {
    return this.#session.viewers;
  }

  /** The leg that feeds it, or the last one that did, or the first one. */
  get leg(): SourceLeg | undefined {
    return this.#running;
  }

  get legs(): readonly SourceLeg[] {
    return [...this.#legs.values()];
  }

  /** The channel that is played now. */
  get channel(): ChannelRef {
    return this.#running?.plan ?? this.plan.channel;
  }

  get answer(): GbSdp | undefined {
    return this.#running?.answer;
  }

  get callId(): string | null {
    return this.#running?.callId ?? null;
  }

  /** Settles at the first packet; never when none comes. */
  get firstPacket(): Promise<void> {
    return this.#firstPacket.promise;
  }

  stored(): StoredSource | null {
    const legs = this.legs.flatMap(leg => (leg.phase === 'ended' ? [] : (leg.stored() ?? [])));
    if (legs.length === 0) return null;
    const runningLegId = legs.find(({ plan }) => plan.legId === this.#running?.plan.legId)?.plan.legId ?? null;
    return { plan: this.plan, instance: this.instance, runningLegId, legs, playback: this.#world.playbackOf(this) };
  }

  feed(input: SourceInput): void {
    this.#queue.feed(input);
    if (input.type === 'viewer-left' && this.#world.media.isShort(this.instance)) this.#queue.feed({ type: 'hurry' });
  }

  onMediaEvent(event: MediadEvent): void {
    if (event.type === 'source-lossy' && this.plan.history !== undefined) return;
    if (event.type === 'source-lossy') {
      if (this.#running !== undefined) this.feed({ type: 'leg-lossy', legId: this.#running.plan.legId });
    } else if ('legId' in event) this.#legOf(event)?.onMediaEvent(event);
  }

  /** After a takeover: its bridge stands or is gone. `cut`: its camera is to be asked anew. */
  revived(cut: boolean): void {
    this.feed({ type: cut ? 'leg-cut' : 'leg-stands' });
    this.#known.resolve();
  }

  /** What is kept of it is another thing now. */
  changed(): void {
    this.#world.changed(this);
  }

  /** What feeds a leg says when it dies; that it flows, the leg says itself. */
  #legOf({ type, bridgeId, legId }: Extract<MediadEvent, { readonly legId: string }>): SourceLeg | undefined {
    if (bridgeId === this.bridgeId) return this.#legs.get(legId);
    return type === 'source-flowing' ? undefined : this.legs.find(({ plan }) => plan.feeder?.bridgeId === bridgeId);
  }

  /** After a restart: a leg in mediad whose camera had not answered yet when we went is nobody's. */
  dropUnknownLeg(legId: string): void {
    if (!this.#legs.has(legId)) this.#closeLeg(legId, undefined);
  }

  /** Ends the legs through this device. */
  deviceOffline(deviceId: string, failure: SourceFailure): void {
    for (const leg of this.legs) if (leg.plan.deviceId === deviceId) leg.feed({ type: 'stop', failure });
  }

  /** Runs a media RPC of this bridge behind those before it. */
  enqueueMedia<T>(task: () => Promise<T>): Promise<T> {
    return this.#bridge.enqueue(task);
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
    for (const leg of this.#legs.values()) leg[Symbol.dispose]();
  }

  #run(outputs: readonly SourceOutput[]): void {
    for (const output of outputs) this.#carryOut(output);
  }

  #carryOut(output: SourceOutput): void {
    switch (output.type) {
      case 'next-leg':
        return this.#nextLeg(output.because);
      case 'stop-leg':
        return this.#legs.get(output.legId)?.feed({ type: 'stop', failure: null });
      case 'close-leg':
        return this.#closeLeg(output.legId, this.#legs.get(output.legId));
      case 'close-bridge':
        return this.#closeBridge();
      case 'taken-over':
        return this.#takenOver(output.legId);
      case 'tell-ready':
        return this.#world.ready(this, output.viewerIds);
      case 'tell-ended':
        return this.#world.ended(this, output.viewerIds, output.failure);
      case 'closed':
        this[Symbol.dispose]();
        return this.#world.closed(this, output.failure);
      default:
        return assertNever(output);
    }
  }

  #nextLeg(because: NextLegReason): void {
    const plan = this.#world.planLeg(this, because);
    if (plan === null) return this.feed({ type: 'leg-chosen', legId: null });
    const leg = SourceLeg.create(plan, this.#legWorld);
    this.#legs.set(plan.legId, leg);
    if (this.phase === 'starting') this.#running = leg;
    this.#world.legBegan(this, leg);
    this.feed({ type: 'leg-chosen', legId: plan.legId });
    leg.begin();
  }

  #takenOver(legId: string): void {
    const before = this.#running?.plan;
    this.#running = this.#legs.get(legId);
    if (this.#running === undefined) return;
    this.choice.flows(this.#running.plan);
    this.#world.legFlows(this, this.#running, before);
    this.#world.changed(this);
  }

  get #legWorld(): LegWorld {
    const { clock, log, readAnswer } = this.#world;
    return {
      clock,
      log,
      invite: (plan, local) => this.#world.invite(this, plan, local),
      readAnswer,
      openMedia: params => this.#bridge.openLeg(params),
      openInlet: params => this.#bridge.openInlet(params),
      openFeeder: (plan, local) => this.#feeders.open(plan, local),
      startFeeder: plan => this.#feeders.start(plan),
      closeFeeder: plan => this.#feeders.close(plan),
      connectMedia: params => this.#bridge.connectLeg(params),
      established: () => this.#world.changed(this),
      message: incoming => this.#world.message(this, incoming),
      news: (leg, news) => this.#legNews(leg, news),
    };
  }

  #legNews(leg: SourceLeg, news: LegNews): void {
    const { legId } = leg.plan;
    if (news.type === 'answered') return this.feed({ type: 'leg-answered', legId });
    if (news.type === 'flowing') {
      this.#firstPacket.resolve();
      if (leg === this.#running && this.phase === 'starting') {
        this.choice.flows(leg.plan);
        this.#world.legFlows(this, leg, undefined);
      }
      return this.feed({ type: 'leg-flowing', legId });
    }
    leg[Symbol.dispose]();
    this.#world.legEnded(this, leg);
    this.feed({ type: 'leg-ended', legId, failure: news.failure });
    this.#legs.delete(legId);
  }

  #closeLeg(legId: string, leg: SourceLeg | undefined): void {
    this.#bridge.closeLeg(legId, async () => {
      if (leg?.history.flowed === false) await this.#world.closing(leg);
    });
  }

  #closeBridge(): void {
    const silent = this.legs.filter(leg => !leg.history.flowed);
    this.#bridge.close(async () => {
      for (const leg of silent) await this.#world.closing(leg);
    });
  }
}
