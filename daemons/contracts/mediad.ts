/**
 * What one mediad instance offers over its RPC socket. A bridge is one source leg and its sink legs. Roles are seen
 * from the gateway: on a source leg we receive, on a sink leg we send; `tcp-active` = we connect, `tcp-passive` = we listen.
 */
import type { Rendition } from '#core/media/rendition.ts';
import type { Sheddable, StrainLevel } from '#core/media/strain.ts';
import type { ReloadAnswer, ReloadParams } from './reload.ts';

export type LegTransport = 'udp' | 'tcp-active' | 'tcp-passive';

/** What the RTP payloads of a leg are: a program stream with everything in it, or one elementary stream (gb28181.md 6.3). */
export type MediaFormat = 'ps' | 'h264' | 'h265' | 'aac' | 'g711a' | 'g711u';

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Who may send to / receive from a leg (faults.md 4). Checked again here although sipd checked the SDP. */
export interface PeerRule {
  /** Addresses (or CIDR) that media may come from or go to. */
  readonly allowed: readonly string[];
  /** `strict`: only from the SDP address and port. `nat`: first packet from an allowed address with the right SSRC and payload type within 3 s locks the 5-tuple. */
  readonly latch: 'strict' | 'nat';
}

export interface OpenSourceParams {
  readonly bridgeId: string;
  /** Its name among the source legs of the bridge; default: that of the bridge. */
  readonly legId?: string | undefined;
  /**
   * Opens a second source leg beside the running one of this bridge, one at a time. It takes over with its first key picture, or with
   * its first packet when the other is quiet: `source-flowing` with its legId. Until then `closeSource` gives it up.
   */
  readonly replaces?: boolean | undefined;
  readonly transport: LegTransport;
  /** Local address to bind and to declare in SDP. */
  readonly localAddress: string;
  /** Not TCP active, in range mode: this port and no other, because the peer knows it. PORTS_EXHAUSTED when it is taken. */
  readonly localPort?: number | undefined;
  /** SSRC that we ask for in y=. */
  readonly ssrc: number;
  readonly peer: PeerRule;
  /** Source is reported silent after this long without a packet, counted from `connectSource`. */
  readonly silenceMs: number;
  /** For reports only. */
  readonly label: string;
}

export interface ConnectSourceParams {
  readonly bridgeId: string;
  /** Default: the leg that is the source now. */
  readonly legId?: string | undefined;
  /** From the answer's c= and m=. UDP: packets are accepted from here. TCP active: we connect here. TCP passive: the address that may connect. */
  readonly remote: Endpoint;
  /** From the answer's y=, else as asked. */
  readonly ssrc: number;
  /** `exact`: any other SSRC is dropped and counted. `adopt`: the first packet's SSRC is taken once (quirks 38, 66); needs a port of its own. */
  readonly ssrcPolicy: 'exact' | 'adopt';
  /** The peer resends what it is asked for (RFC 4585): agreed in SDP. UDP only. */
  readonly nack?: boolean | undefined;
  /** Payload type of the answer (96 for PS). Others from this peer are dropped, RTCP excepted. */
  readonly payloadType: number;
  /** What that payload type means; default: `ps`. */
  readonly format?: MediaFormat | undefined;
  /** Value of a=fmtp for it (sprop-parameter-sets, config ...). */
  readonly formatParameters?: string | undefined;
}

export interface OpenSinkParams {
  readonly bridgeId: string;
  readonly sinkId: string;
  readonly transport: LegTransport;
  readonly localAddress: string;
  /** As of a source. */
  readonly localPort?: number | undefined;
  /** TCP active: its connection of before a takeover left from here, and the peer may hold it still: not from there. */
  readonly formerPort?: number | undefined;
  /** RTP sequence number of the first packet; default: by chance. */
  readonly firstSequence?: number | undefined;
  /** Where the media goes (UDP, TCP active), or who may connect (TCP passive). */
  readonly remote: Endpoint;
  readonly ssrc: number;
  readonly payloadType: number;
  /** What is sent; default: `ps`. Where the source is something else it is converted, and then pictures are always whole. */
  readonly format?: MediaFormat | undefined;
  /** Pictures and sound are turned into this on the way; CAPACITY_EXHAUSTED or MEDIA_UNAVAILABLE when that cannot be. */
  readonly rendition?: Rendition | undefined;
  readonly peer: PeerRule;
  /** `whole`: a picture of which a packet is missing does not leave, nor what is built on it; default: as received. */
  readonly pictures?: 'whole' | 'as-received' | undefined;
  /** What was sent is kept for a moment, because the peer may ask for it again: agreed in SDP. UDP only. */
  readonly nack?: boolean | undefined;
  /** Of the session, which may be refused and ended under strain, the lowest first; default: it never is. */
  readonly priority?: number | undefined;
  /** TCP passive: nobody connected; TCP active: no connection after retries. */
  readonly connectTimeoutMs: number;
  readonly label: string;
}

export interface StartSinkParams {
  readonly bridgeId: string;
  readonly sinkId: string;
  /** What was agreed on since the sink was opened, if it is something else. */
  readonly payloadType?: number | undefined;
  readonly format?: MediaFormat | undefined;
  readonly rendition?: Rendition | undefined;
}

/** Codecs, in the words of core/media/codec. */
export interface SourceTracks {
  readonly video: string | null;
  readonly audio: string | null;
}

export interface LegStats {
  readonly transport: LegTransport;
  readonly local: Endpoint;
  readonly remote: Endpoint | null;
  readonly state: 'opening' | 'connecting' | 'flowing' | 'silent' | 'closed';
  readonly ssrc: number;
  readonly packets: number;
  readonly bytes: number;
  /** Sequence numbers that never came (source legs). */
  readonly lost: number;
  readonly reordered: number;
  readonly duplicates: number;
  /** Came after nobody waited for them any more (UDP source legs). */
  readonly late: number;
  /** Packets that wait for one missing before them, now. */
  readonly waiting: number;
  /** Numbers that were asked for again: by us of a source, by the peer of a sink. */
  readonly asked: number;
  /** Packets that came, or went, because of that. */
  readonly repaired: number;
  /** How long a missing packet is waited for at present; 0 where nothing waits. */
  readonly waitMs: number;
  /** By reason: wrong-source, wrong-ssrc, wrong-payload-type, malformed, queue-full ... */
  readonly dropped: Readonly<Record<string, number>>;
  /** RFC 3550 6.4.1 interarrival jitter. */
  readonly jitterMs: number;
  /** Monotonic age; null when none came or went yet. */
  readonly lastPacketAgeMs: number | null;
  /** From connectSource / startSink to the first packet. */
  readonly firstPacketMs: number | null;
}

export interface BridgeStats {
  readonly bridgeId: string;
  readonly label: string;
  readonly ageMs: number;
  readonly source: LegStats & {
    readonly legId: string;
    /** What the first bytes of the payload look like: `ps`, or why not. Null before the first packet. */
    readonly payload: 'ps' | 'h264' | 'h265' | 'unknown' | null;
    /** From the PSM, e.g. `h264`, `h265`, `g711a`. Empty until seen. */
    readonly codecs: readonly string[];
  };
  /** The leg that is to take over. */
  readonly replacement: BridgeStats['source'] | null;
  /** Pictures and sounds as outlets and converting sinks take them; null while nobody does. */
  readonly units: UnitStats | null;
  /** Null while no sink wants whole pictures. */
  readonly gate: GateStats | null;
  readonly sinks: readonly (LegStats & { readonly sinkId: string; readonly label: string; readonly format: MediaFormat })[];
}

export interface UnitStats {
  readonly takers: number;
  readonly video: { readonly codec: string; readonly width: number; readonly height: number } | null;
  readonly audio: { readonly codec: string; readonly sampleRateHz: number; readonly channels: number } | null;
  /** `waiting`: no key frame yet. `flowing-without-entry`: the stream has none, pictures refresh bit by bit. */
  readonly state: 'waiting' | 'flowing' | 'frozen' | 'flowing-without-entry';
  /** How long the present freeze lasts; null when there is none. */
  readonly frozenForMs: number | null;
  /** All freezes together, the present one included. */
  readonly frozenMs: number;
  readonly freezes: number;
  readonly pictures: number;
  readonly keyFrames: number;
  readonly sounds: number;
  /** Pictures that were not given because bytes of them, or of what they are built on, are missing. */
  readonly picturesHeld: number;
  /** Sounds that were dropped: damaged, or not what their codec says. */
  readonly badSounds: number;
  /** What a joining taker is given at once. */
  readonly gopBytes: number;
}

/** What the gate lets through to sinks that want whole pictures. */
export interface GateStats {
  /** `opening`: no key picture yet. `ungated`: pictures cannot be told apart here, or no key picture came in 10 s; incomplete ones are still dropped where they are known. */
  readonly state: 'opening' | 'flowing' | 'frozen' | 'ungated';
  /** How long the present freeze lasts; null when there is none. */
  readonly frozenForMs: number | null;
  /** All freezes together, the present one included. */
  readonly frozenMs: number;
  readonly freezes: number;
  readonly pictures: number;
  readonly keyPictures: number;
  readonly picturesDropped: number;
}

/** A wrong-address or wrong-SSRC arrival, kept for `vlink why`: the last few per instance. */
export interface StrayReport {
  readonly bridgeId: string | null;
  readonly localPort: number;
  readonly from: Endpoint;
  readonly reason: string;
  readonly count: number;
}

/** One viewer of an outlet. */
export interface OutletRow {
  readonly protocol: string;
  /** Address and port of the far end. */
  readonly remote: string;
  /** As the URL names it (core/outlets/outlet-path). */
  readonly channel: string;
  readonly streamNumber: number;
  readonly rendition: string | null;
  /** Null while the channel is being opened. */
  readonly bridgeId: string | null;
  readonly ageMs: number;
  /** Null where the protocol does not count them. */
  readonly sentBytes: number | null;
  readonly droppedUnits: number | null;
}

/** Opens a bridge whose source is an inlet of the configuration: pulled now, or joined where somebody publishes it. */
export interface OpenInletParams {
  readonly bridgeId: string;
  readonly inletId: string;
  /** 0: main stream. */
  readonly streamNumber: number;
  /** Source is reported silent after this long without a unit. */
  readonly silenceMs: number;
  readonly label: string;
  /** It was open on another node: the bridge stands at once, and waits for who feeds it until that counts as silence. */
  readonly reopened?: boolean | undefined;
}

/** An inlet that somebody publishes to this instance now, or that answers when it is asked. */
export interface InletRow {
  readonly inletId: string;
  readonly remote: Endpoint;
  readonly ageMs: number;
  readonly codecs: readonly string[];
  readonly bytes: number;
  readonly bridges: number;
}

/** A channel that this instance pushes to an RTMP server. */
export interface PushRow {
  readonly channel: string;
  readonly streamNumber: number;
  /** rtmp://ADDRESS:PORT/APP, never the stream's name. */
  readonly server: string;
  readonly state: 'connecting' | 'opening' | 'pushing' | 'waiting' | 'idle' | 'stopped';
  /** In this state. */
  readonly ageMs: number;
  readonly sentBytes: number;
  readonly failures: number;
  /** Of the last failure; null: there was none. */
  readonly why: string | null;
}

export interface StartCaptureParams {
  /** Chosen by the caller. */
  readonly captureId: string;
  readonly bridgeId: string;
  readonly seconds: number;
  /** Of each packet; more than a packet has: all of it. Streams are not cut. */
  readonly packetBytes: number;
}

/** Where packets of one capture came from or went to. */
export interface CaptureLeg {
  readonly role: 'source' | 'sink';
  readonly transport: 'udp' | 'tcp';
  /** `stream`: octets of a connection as they came, from anywhere to anywhere; `packets`: one RTP or RTCP packet each, without the framing of TCP. */
  readonly framing: 'packets' | 'stream';
  /** The first octets of the stream are the first of its connection. */
  readonly fromStart: boolean;
  readonly local: Endpoint;
  readonly remote: Endpoint;
}

export interface CapturePage {
  /** All so far. */
  readonly legs: readonly CaptureLeg[];
  /** `leg`: place in `legs`; `length`: before it was cut. */
  readonly packets: readonly { readonly leg: number; readonly atWallMs: number; readonly length: number; readonly base64: string }[];
  /** Packets that found no room because nobody read. */
  readonly dropped: number;
  /** Nothing will follow. */
  readonly isEnd: boolean;
}

/** Requests. Every id is chosen by the caller; the same open twice with the same id is BAD_REQUEST; closing twice is once. */
export interface MediadRequests {
  openSource(params: OpenSourceParams): { readonly local: Endpoint };
  connectSource(params: ConnectSourceParams): null;
  /** Closes one source leg; the bridge and its sinks stay. Twice is once. */
  closeSource(params: { readonly bridgeId: string; readonly legId: string }): null;
  /** PEER_UNKNOWN: no such inlet; PEER_OFFLINE: nobody publishes it here (unless it is reopened). Events are those of every source. */
  openInlet(params: OpenInletParams): null;
  /** Those that can be opened now. Instance 1 alone asks the ones that are pulled; any instance may pull them. */
  listInlets(params: Record<string, never>): readonly InletRow[];
  listPushes(params: Record<string, never>): readonly PushRow[];
  /** Listens (TCP passive) or binds; sends nothing before `startSink`. */
  openSink(params: OpenSinkParams): { readonly local: Endpoint };
  /** Upstream's ACK came: connect or send from now on. */
  startSink(params: StartSinkParams): null;
  /** What the source sends, once that is clear; nulls when it is not within this time. */
  sourceTracks(params: { readonly bridgeId: string; readonly withinMs: number }): SourceTracks;
  /** RTP sequence number that comes next, of each sink that has sent something, by sinkId. */
  sinkMarks(params: Record<string, never>): Readonly<Record<string, number>>;
  /** Bridges with a leg on this local address; `movable`: those that another node could go on with, all of whose legs are over UDP. */
  bridgesOn(params: { readonly address: string }): { readonly bridges: number; readonly movable: number };
  closeSink(params: { readonly bridgeId: string; readonly sinkId: string }): null;
  /** Closes the source and every sink. */
  closeBridge(params: { readonly bridgeId: string }): null;
  listBridges(params: Record<string, never>): { readonly bridges: readonly BridgeStats[]; readonly strays: readonly StrayReport[] };
  /** Copies of the packets of one bridge, which may be opened later, for `seconds`; whoever starts it reads it, or it is forgotten. */
  startCapture(params: StartCaptureParams): null;
  readCapture(params: { readonly captureId: string }): CapturePage;
  /** Twice is once. What was taken can still be read. */
  stopCapture(params: { readonly captureId: string }): null;
  load(params: Record<string, never>): MediadLoad;
  counters(params: Record<string, never>): Readonly<Record<string, number>>;
  listOutlets(params: Record<string, never>): readonly OutletRow[];
  /** Addresses of one channel at every outlet of this instance that is on, with a token for so long. MEDIA_UNAVAILABLE without `outlets.tokenKey` or an outlet. */
  outletUrls(params: { readonly channel: string; readonly streamNumber: number; readonly minutes: number }): { readonly expiresAtWallMs: number; readonly urls: readonly { readonly protocol: string; readonly url: string }[] };
  /** Processes that turn streams into renditions, and renditions that need none. */
  listTranscoders(params: Record<string, never>): readonly TranscoderRow[];
  /** JPEG of a channel (as in the paths of outlets), opened when it does not run. `width`: pixels; null: as the picture. */
  snapshot(params: { readonly channel: string; readonly streamNumber: number; readonly width: number | null }): { readonly jpegBase64: string; readonly tookMs: number };
  /** Reads the configuration file again; a sentence when it is refused, and then nothing changed. `checkOnly`: would it be? */
  reload(params: ReloadParams): ReloadAnswer;
}

export interface TranscoderRow {
  readonly jobId: string;
  /** Whose stream. */
  readonly label: string;
  /** Codec, size, kbit/s, pictures a second, sound; `-`: as the source. */
  readonly rendition: string;
  /** `passing`: nothing has to be turned. */
  readonly state: 'down' | 'starting' | 'running' | 'waiting' | 'failed' | 'passing';
  readonly pid: number | null;
  readonly encoder: string;
  readonly viewers: number;
  readonly starts: number;
  /** Over the last two seconds; null: not measured yet. */
  readonly cores: number | null;
  readonly pictures: number;
  /** Units of the source that it did not keep up with. */
  readonly droppedIn: number;
  readonly stderrBytes: number;
}

/** How short of memory or processor it is, and what it has given up for that (core/media/strain, media.strain). */
export interface StrainReport {
  /** 1: no viewers of outlets, 2: no transcodes either, 3: nothing new. */
  readonly level: StrainLevel;
  /** Null: calm. */
  readonly says: string | null;
  /** Ended since the start. */
  readonly ended: Readonly<Record<Sheddable, number>>;
}

export interface MediadLoad {
  readonly instance: string;
  readonly pid: number;
  readonly bridges: number;
  readonly sinks: number;
  /** Over the last second. */
  readonly bitrateInBps: number;
  readonly bitrateOutBps: number;
  /** Share of one core, 0..1. */
  readonly cpu: number;
  readonly portsFree: number;
  /** Why it takes no new source now (media.maxBridges, maxBitrateMbps, maxCpuPercent, strain); null: it takes one. */
  readonly refuses: string | null;
  /** Absent: it is of an older release. */
  readonly strain?: StrainReport;
}

/** Sent to every connected client as the notification `event`. */
export type MediadEvent =
  | { readonly type: 'source-flowing'; readonly bridgeId: string; readonly legId: string; readonly ssrc: number; readonly remote: Endpoint }
  | { readonly type: 'source-silent'; readonly bridgeId: string; readonly legId: string; readonly silentMs: number }
  /** A key picture would end a freeze, or a viewer waits for one; not sent more often than a source may be asked. */
  | { readonly type: 'key-picture-wanted'; readonly bridgeId: string; readonly why: 'loss' | 'join' }
  /** Loss of a UDP source leg stayed above media.loss.tcpAbovePercent over the whole of `overMs`. Once a minute while it lasts. */
  | { readonly type: 'source-lossy'; readonly bridgeId: string; readonly lostPercent: number; readonly overMs: number }
  | { readonly type: 'source-closed'; readonly bridgeId: string; readonly legId: string; readonly why: 'peer-closed' | 'connect-failed' | 'desync' | 'socket-error' }
  /** Somebody publishes this inlet to this instance, or it answers when it is asked; and no more. */
  | { readonly type: 'inlet-online'; readonly inletId: string; readonly remote: Endpoint }
  | { readonly type: 'inlet-offline'; readonly inletId: string; readonly why: string }
  /** Over TCP. */
  | { readonly type: 'sink-connected'; readonly bridgeId: string; readonly sinkId: string }
  | { readonly type: 'sink-flowing'; readonly bridgeId: string; readonly sinkId: string; readonly remote: Endpoint }
  | { readonly type: 'sink-closed'; readonly bridgeId: string; readonly sinkId: string; readonly why: 'peer-closed' | 'connect-failed' | 'never-connected' | 'unreachable' | 'socket-error' | 'transcode-failed' | 'strained' }
  /** It gives up more, or less, than before. */
  | { readonly type: 'strain'; readonly level: StrainLevel; readonly says: string | null };
