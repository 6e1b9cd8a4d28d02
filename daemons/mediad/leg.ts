/** What every leg offers to its bridge, whatever its transport. */
import type { Endpoint, LegTransport, MediadEvent } from '#contracts/mediad.ts';
import type { WaitLimits } from '#core/rtp/jitter-buffer.ts';
import type { PacketStore } from '#core/rtp/packet-store.ts';
import type { Ms } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Random } from '#kit/random.ts';
import type { Captures } from './captures.ts';
import type { Flusher } from './flusher.ts';
import type { InstanceCounters, LegCounters } from './leg-counters.ts';
import type { MediaBatch } from './media-batch.ts';
import type { MediaPorts } from './media-ports.ts';
import type { Peer } from './peer-rule.ts';
import type { Rendition } from '#core/media/rendition.ts';
import type { SourceIntake } from './source-intake.ts';
import type { Strays } from './strays.ts';
import type { UnitStream } from './unit-stream.ts';

/** `media.loss`; one object, changed by a reload. */
export interface LossRules extends WaitLimits {
  readonly tcpAbovePercent: number;
  readonly nack: boolean;
}

/** Who makes renditions (transcode/). Promises reject with a GatewayError. */
export interface Renderer {
  /** Runs, and needs no process: the source is like that already. */
  passes(source: UnitStream, rendition: Rendition): boolean;
  /** One more fits, as far as can be told before its pictures are known. */
  admit(source: UnitStream, rendition: Rendition): Promise<void>;
  render(source: UnitStream, rendition: Rendition, label: string): Promise<RenderedStream>;
}

/** A rendition for as long as it is held. */
export interface RenderedStream extends Disposable {
  readonly stream: UnitStream;
}

/** What all legs of an instance share. */
export interface Plane {
  readonly ports: MediaPorts;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly counters: InstanceCounters;
  readonly strays: Strays;
  /** One batch for all: a leg fills it and its bridge empties it before anything else runs. */
  readonly batch: MediaBatch;
  /** Packets of all sources that have to wait. Whoever hands on what it gave recycles it. */
  readonly store: PacketStore;
  readonly loss: LossRules;
  /** Of each stream that somebody takes: what is kept for who joins. Changed by a reload, for streams taken from then on. */
  gopBytes: number;
  /** Of each bridge: bound of the key picture that is kept while nobody takes its pictures. Changed by a reload. */
  keyPictureBytes: number;
  readonly flusher: Flusher;
  readonly captures: Captures;
  readonly emit: (event: MediadEvent) => void;
  readonly renderer: Renderer | undefined;
}

export type SourceClosedWhy = Extract<MediadEvent, { type: 'source-closed' }>['why'];
export type SinkClosedWhy = Extract<MediadEvent, { type: 'sink-closed' }>['why'];

export interface SourceLegOptions {
  readonly plane: Plane;
  readonly transport: LegTransport;
  readonly localAddress: string;
  readonly localPort?: number | undefined;
  readonly ssrc: number;
  readonly peer: Peer;
  readonly intake: SourceIntake;
  readonly relay: (batch: MediaBatch, now: Ms) => void;
  readonly onClosed: (why: SourceClosedWhy) => void;
}

/** The answer, checked: `remote` may send here. */
export interface SourceTarget {
  readonly remote: Endpoint;
  readonly ssrc: number;
  readonly ssrcPolicy: 'exact' | 'adopt';
  readonly payloadType: number;
  /** It resends what it is asked for. */
  readonly nack: boolean;
}

export interface SourceLeg {
  readonly local: Endpoint;
  /** Datagrams that found the receive buffer full; 0 for a stream. */
  readonly overflows: number;
  /** Media is accepted from now on. Throws a GatewayError when the rule cannot be kept on this port. */
  connect(target: SourceTarget): void;
  /** Ends when every number and descriptor is back. Twice is once. */
  close(): Promise<void>;
}

export interface SinkLegOptions {
  readonly plane: Plane;
  readonly bridgeId: string;
  readonly transport: LegTransport;
  readonly localAddress: string;
  readonly localPort?: number | undefined;
  readonly formerPort?: number | undefined;
  readonly firstSequence?: number | undefined;
  /** Checked: media may go there. */
  readonly remote: Endpoint;
  readonly ssrc: number;
  readonly payloadType: number;
  readonly peer: Peer;
  readonly connectTimeoutMs: number;
  /** Batches hold whole pictures: one that cannot be sent to its end is not begun. */
  readonly whole: boolean;
  /** The peer may ask for packets again. */
  readonly nack: boolean;
  readonly counters: LegCounters;
  /** The leg can take packets. */
  readonly onReady: () => void;
  readonly onClosed: (why: SinkClosedWhy) => void;
}

export interface SinkLeg {
  /** Of what is delivered from now on. */
  payloadType: number;
  readonly local: Endpoint;
  /** Where the media really goes; null while nobody connected. */
  readonly remote: Endpoint | null;
  /** RTP sequence number that comes next; undefined where nothing was sent, or nobody has to know. */
  readonly nextSequence?: number | undefined;
  /** ACK came: send, or connect and send. */
  start(): void;
  /**
   * Forwards a batch; never waits and never throws. False: headers in this batch's memory must not be written again (kit/udp-batch).
   * `last`: nobody writes them after this leg, so what was just received may leave together with that of other bridges.
   */
  deliver(batch: MediaBatch, now: Ms, last?: boolean): boolean;
  /** Ends when every number and descriptor is back. Twice is once. */
  close(): Promise<void>;
}
