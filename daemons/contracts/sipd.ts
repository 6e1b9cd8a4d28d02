/** What sipd offers over its RPC socket: to vlink, and later to apid and clusterd. Times are wall milliseconds; ages are milliseconds. */
import type { DeviceControl } from '#core/gb/device-control.ts';
import type { Preset } from '#core/gb/preset-list.ts';
import type { PtzCommand } from '#core/gb/ptz.ts';
import type { ViewChange, ViewRow } from '#core/gb/view-rows.ts';
import type { Author } from './configd.ts';
import type { BridgeStats, Endpoint } from './mediad.ts';
import type { ReloadAnswer, ReloadParams } from './reload.ts';

export interface DeviceRow {
  readonly id: string;
  readonly name: string | null;
  readonly manufacturer: string | null;
  readonly model: string | null;
  readonly firmware: string | null;
  /** Of GB/T 28181, as its last REGISTER said. */
  readonly edition: '2016' | '2022';
  /** How it is spoken to, and why so. */
  readonly dialect: string;
  readonly dialectBy: string;
  readonly state: 'online' | 'offline';
  /** Why it is offline: expired, unregistered, keepalive-lost, connection-lost, never-registered. */
  readonly reason: string | null;
  readonly transport: 'UDP' | 'TCP' | null;
  /** Observed address:port. */
  readonly address: string | null;
  readonly expiresInMs: number | null;
  readonly lastKeepaliveAgeMs: number | null;
  readonly channels: number;
  readonly catalog: { readonly state: 'none' | 'running' | 'complete' | 'partial'; readonly expected: number; readonly received: number; readonly atWallMs: number | null };
}

export interface ChannelRow {
  readonly deviceId: string;
  readonly channelId: string;
  readonly name: string;
  readonly status: 'ON' | 'OFF';
  readonly manufacturer: string | null;
  readonly civilCode: string | null;
  /** ID toward each upstream that shares it. */
  readonly mapped: readonly { readonly upstream: string; readonly id: string }[];
  readonly playing: boolean;
}

export interface ChannelQuery {
  readonly deviceId?: string;
  readonly offset?: number;
  readonly limit?: number;
  readonly text?: string;
  readonly status?: 'ON' | 'OFF';
  readonly within?: readonly string[];
}

export interface UpstreamRow {
  readonly name: string;
  readonly id: string;
  readonly localId: string;
  readonly transport: 'UDP' | 'TCP';
  readonly address: string;
  readonly state: 'disabled' | 'registering' | 'online' | 'waiting';
  /** Last failure in words, e.g. `403 Forbidden`, `no answer`. */
  readonly reason: string | null;
  readonly retryInMs: number | null;
  readonly expiresInMs: number | null;
  readonly lastKeepaliveAgeMs: number | null;
  readonly sharedChannels: number;
  /** Channels of it that are ON as this upstream is told. */
  readonly onlineChannels: number;
  /** Channels that it has asked for since sipd started. */
  readonly accessedChannels: number;
  /** Channels that it is watching now. */
  readonly playingChannels: number;
  readonly sessions: number;
  /** What its sessions carry, measured over the last seconds; null while nothing is measured. */
  readonly bitrateBps: number | null;
}

/** Over all upstreams; a channel that several of them see, ask for or watch counts once. */
export interface UpstreamTotals {
  /** Channels that devices below have. */
  readonly channels: number;
  readonly shared: number;
  readonly accessed: number;
  /** Of those below. */
  readonly online: number;
  readonly playing: number;
}

/** What an upstream gets as its catalogue, or would get with another configuration. */
export interface ViewReport {
  readonly upstream: string;
  readonly rows: readonly ViewRow[];
  /** Against what it gets now; null when no other configuration was given, or none that could be read. */
  readonly changes: readonly ViewChange[] | null;
  /** Why the other configuration would not be taken. */
  readonly problems: readonly string[];
  /** Channels below us that it does not see, when they were asked for. */
  readonly hidden: readonly { readonly deviceId: string; readonly channelId: string; readonly name: string; readonly why: string }[];
}

export interface RecordingRow {
  readonly kind: 'Playback' | 'Download';
  /** Unix seconds. */
  readonly startS: number;
  readonly stopS: number;
  readonly state: 'playing' | 'paused' | 'over';
  /** From its begin, as far as can be known without looking at the pictures. */
  readonly positionS: number;
  readonly scale: number;
}

export interface SessionRow {
  readonly sessionId: string;
  readonly upstream: string;
  readonly channelId: string;
  readonly mappedId: string;
  readonly deviceId: string;
  readonly bridgeId: string;
  /** The mediad that has its bridge: by its number, on the other node of a pair `NODE/NUMBER`. */
  readonly instance: string;
  /** Where that is; null: media is where SIP is. */
  readonly node: string | null;
  readonly state: string;
  /** Of what is watched: flowing, failing-over ... */
  readonly sourceState: string;
  /** Why the camera is asked otherwise than configured, e.g. over TCP. */
  readonly learnt: string | null;
  readonly ageMs: number;
  /** Null: live. */
  readonly recording: RecordingRow | null;
  readonly upstreamCallId: string;
  readonly downstreamCallId: string | null;
  readonly bridge: BridgeStats | null;
}

/** One camera with its sources, best first. */
export interface ResourceRow {
  readonly id: string;
  readonly name: string | null;
  /** Why these channels are one camera. */
  readonly rule: 'configured' | 'same-id' | 'same-name' | 'same-address';
  readonly status: 'ON' | 'OFF';
  /** `known`: a catalogue lists it. */
  readonly sources: readonly { readonly deviceId: string; readonly channelId: string; readonly name: string | null; readonly known: boolean; readonly status: 'ON' | 'OFF' }[];
}

/** One step of the walk, in order; the first that is not `ok` is the answer. */
export interface WhyStep {
  readonly step: 'channel' | 'register' | 'catalogue' | 'invite' | 'ports' | 'rtp' | 'ps' | 'upstream';
  readonly verdict: 'ok' | 'broken' | 'unknown';
  /** One sentence that a field engineer can act on. */
  readonly says: string;
  /** Facts: addresses, status codes, counts, ages. */
  readonly evidence: Readonly<Record<string, string | number | boolean | null>>;
}

export interface WhyReport {
  readonly channel: string;
  readonly verdict: 'playable' | 'broken';
  readonly firstBroken: WhyStep['step'] | null;
  readonly steps: readonly WhyStep[];
}

export interface OpenOutletParams {
  readonly leaseId: string;
  readonly instance: string;
  readonly deviceId: string | null;
  readonly channelId: string;
  /** 0: main stream. */
  readonly streamNumber: number;
  /** For reports. */
  readonly label: string;
}

/** A SIP message as it passed; secrets in it are masked with their length kept. */
export interface TracedRow {
  /** Rises over all messages. */
  readonly sequence: number;
  readonly atWallMs: number;
  readonly direction: 'in' | 'out';
  readonly transport: 'UDP' | 'TCP';
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Tells TCP connections apart; null for UDP. */
  readonly connectionId: number | null;
  readonly base64: string;
  /** It was longer than is kept. */
  readonly cut: boolean;
}

export interface TraceParams {
  /** Later than this sequence; default: from the oldest that is kept. */
  readonly after?: number | undefined;
  readonly sinceWallMs?: number | undefined;
  /** One of these texts stands in it, or it went between us and one of these `address` or `address:port`. Neither: all. */
  readonly needles?: readonly string[] | undefined;
  readonly peers?: readonly string[] | undefined;
}

export interface TracePage {
  readonly rows: readonly TracedRow[];
  /** `after` of the next page. */
  readonly next: number;
  /** There is more to be had now. */
  readonly more: boolean;
  /** Some that would belong here were overwritten. */
  readonly lost: boolean;
  /** Memory of the recorder; 0: it is off. */
  readonly memoryBytes: number;
}

export interface OpenProbeParams {
  /** Chosen by the caller. */
  readonly probeId: string;
  readonly deviceId: string;
  readonly channelId: string;
  /** It ends by itself after this. */
  readonly seconds: number;
}

export interface ProbeQuery {
  readonly deviceId: string;
  readonly cmdType: 'Catalog' | 'DeviceInfo' | 'DeviceStatus';
}

/** Switches of a camera; where it answers at all, the answer is waited for. */
export type LocalControl = DeviceControl & { readonly kind: 'record' | 'guard' | 'alarm-reset' | 'i-frame' | 'home-position' };

/** Which camera it was. */
export interface LocalOutcome {
  readonly deviceId: string;
  readonly channelId: string;
}

export interface RecordReport extends LocalOutcome {
  readonly complete: boolean;
  /** Announced, but never sent. */
  readonly missing: number;
  readonly records: readonly RecordRow[];
}

/** One recording of a camera or recorder. Wall milliseconds; null: it says nothing that can be read. */
export interface RecordRow {
  readonly name: string;
  readonly startWallMs: number | null;
  readonly endWallMs: number | null;
  /** time, alarm, manual, or as the device writes it. */
  readonly type: string | null;
  readonly bytes: number | null;
}

/** What healthd wants to know every few seconds: counts, and rows only of what is few. */
export interface SipdSummary {
  readonly devices: { readonly online: number; readonly offline: number; readonly neverRegistered: number };
  /** Devices that were there and are not, the last to go first; at most 100. */
  readonly gone: readonly { readonly id: string; readonly name: string | null; readonly reason: string; readonly lastSeenAgeMs: number }[];
  /** `online`: of devices that are online. */
  readonly channels: { readonly all: number; readonly online: number };
  readonly upstreams: readonly { readonly name: string; readonly state: UpstreamRow['state']; readonly reason: string | null; readonly sessions: number }[];
  /** What runs, by bridge. */
  readonly sources: readonly { readonly bridgeId: string; readonly instance: string; readonly deviceId: string; readonly channelId: string; readonly name: string | null; readonly upstreams: readonly { readonly name: string; readonly sinkId: string }[] }[];
  readonly store: { readonly state: 'ok' | 'failing' | 'volatile'; readonly queued: number; readonly refused: number; readonly origin: 'whole' | 'from-backup' | 'anew' };
}

/** A fault of the gateway itself, for the platforms above that want to hear of it (upstreams[].view.healthAlarms). */
export interface RaiseAlarmParams {
  /** Says the same alarm twice only once. */
  readonly key: string;
  /** 1 highest to 4 lowest. */
  readonly priority: number;
  /** AlarmType of a device fault: 1 disk, 2 fan; null: another. */
  readonly faultType: 1 | 2 | null;
  readonly atWallMs: number;
  readonly description: string;
}

/** Somebody who is shut out for a while, and what he did. */
export interface BanReport {
  /** An address, or the /64 of an IPv6 site. */
  readonly site: string;
  readonly reason: 'scanner' | 'password' | 'flood' | 'malformed' | 'stranger';
  /** Pieces of evidence, and how often it has been shut out. */
  readonly count: number;
  readonly times: number;
  readonly firstWallMs: number;
  readonly lastWallMs: number;
  /** First line of the first and of the last thing that it sent. */
  readonly first: string;
  readonly last: string;
  readonly untilWallMs: number;
  readonly leftMs: number;
}

/** What this sipd does in a pair of nodes (design.md 8). `alone`: there is no pair. */
export interface SipdDuty {
  readonly state: 'alone' | 'standby' | 'promoting' | 'active';
  /** Under which it is active. */
  readonly term: number | null;
  /** Active: how what it writes goes to the other node; standby: whether it has what the other one wrote. */
  readonly replication: 'in-step' | 'comparing' | 'away' | 'refused' | null;
  /** Rows that have yet to leave. */
  readonly waiting: number;
}

/** What clusterd knows of the pair, where each node has a media address of its own. */
export interface PairWord {
  /** Its heartbeats come. */
  readonly peerAlive: boolean;
  /** By name of node: which node has its media address; null: nobody, or somebody who is not heard. */
  readonly media: Readonly<Record<string, string | null>>;
}

export interface SipdRequests {
  duty(params: Record<string, never>): SipdDuty;
  /** This node has the addresses: takes up everything that the other one did. Settles when SIP is answered. */
  promote(params: { readonly term: number }): null;
  /** Lets go at once; settles when nothing is left to be replicated. Twice is once. */
  demote(params: Record<string, never>): null;
  /** Said again whenever something of it changes, and before every promotion. */
  pair(params: PairWord): null;
  summary(params: Record<string, never>): SipdSummary;
  /** Goes the way of camera alarms, under our own ID; kept until it is accepted. Answers how many platforms it is for. */
  raiseAlarm(params: RaiseAlarmParams): { readonly upstreams: number };
  listDevices(params: Record<string, never>): readonly DeviceRow[];
  /** `text`: part of name or ID. `within`: device or channel IDs or prefixes that the asker may see; `*`: all. */
  listChannels(params: ChannelQuery): { readonly total: number; readonly rows: readonly ChannelRow[] };
  /** One channel, named as in `why`. CHANNEL_UNKNOWN, BAD_REQUEST (several fit). */
  channel(params: { readonly channel: string }): ChannelRow;
  listUpstreams(params: Record<string, never>): readonly UpstreamRow[];
  totals(params: Record<string, never>): UpstreamTotals;
  /** `candidate`: text of another gateway.yaml, checked but not applied. `hidden`: also what it does not see. PEER_UNKNOWN. */
  view(params: { readonly upstream: string; readonly candidate?: string | undefined; readonly hidden?: boolean | undefined }): ViewReport;
  listSessions(params: Record<string, never>): readonly SessionRow[];
  listResources(params: Record<string, never>): readonly ResourceRow[];
  counters(params: Record<string, never>): Readonly<Record<string, number>>;
  /** By end, soonest first. */
  listBans(params: Record<string, never>): readonly BanReport[];
  /** False: this address was not shut out. */
  removeBan(params: { readonly address: string }): { readonly removed: boolean };
  /** `channel`: our channel ID, a mapped ID, or a part of the name that fits only one. `probe`: when nothing plays, plays it for some seconds to see. */
  why(params: { readonly channel: string; readonly probe: boolean }): WhyReport;
  /** Asks the device for its catalogue again. */
  refreshCatalog(params: { readonly deviceId: string }): null;
  /** Pages of what the recorder of signalling kept, oldest first. */
  traceMessages(params: TraceParams): TracePage;
  /** Plays a channel to nobody, for who looks at its bridge. Answers before anything flows. CHANNEL_UNKNOWN, PEER_OFFLINE, CAPACITY_EXHAUSTED. */
  openProbe(params: OpenProbeParams): { readonly bridgeId: string; readonly instance: string };
  /** Twice is once. */
  closeProbe(params: { readonly probeId: string }): null;
  /** Sends a device a query; what it answers stands in the recorder. `accepted`: it said 200. */
  probeQuery(params: ProbeQuery): { readonly sn: number; readonly accepted: boolean };
  /**
   * An operator of this gateway steers a camera, with the priority devices.localPriority. A movement ends by itself after `holdMs` unless it is said again; a move without direction, a lens without focus
   * and iris, stops. `channel` as in `why`. CHANNEL_UNKNOWN, BAD_REQUEST (several fit), PEER_OFFLINE, NOT_PERMITTED (somebody of higher
   * priority steers it), CAPACITY_EXHAUSTED (more than ten a second).
   */
  ptz(params: { readonly channel: string; readonly command: PtzCommand; readonly holdMs: number; readonly author: Author }): LocalOutcome;
  /** As `ptz`. SIP_REJECTED: the camera answers ERROR; SIP_TIMEOUT: it does not answer. */
  control(params: { readonly channel: string; readonly control: LocalControl; readonly author: Author }): LocalOutcome;
  /** Presets that the camera lists. SIP_TIMEOUT, SIP_REJECTED, and as above. */
  presets(params: { readonly channel: string; readonly author: Author }): { readonly deviceId: string; readonly channelId: string; readonly presets: readonly Preset[] };
  /** Recordings that the device lists, by time. `complete`: as many came as it announced. */
  records(params: { readonly channel: string; readonly fromWallMs: number; readonly toWallMs: number; readonly author: Author }): RecordReport;
  /**
   * An outlet of mediad instance `instance` wants a channel: answers when its bridge there flows. The same leaseId again claims a
   * lease that outlived a restart of sipd. `deviceId`: null when the channel ID alone is meant; CHANNEL_UNKNOWN, or BAD_REQUEST when two fit.
   */
  openOutlet(params: OpenOutletParams): { readonly bridgeId: string };
  /** The outlet has no viewer any more. Twice is once. */
  closeOutlet(params: { readonly leaseId: string }): null;
  /** Reads the configuration file again; a sentence when it is refused, and then nothing changed. `checkOnly`: would it be? */
  reload(params: ReloadParams): ReloadAnswer;
}

/** Sent to every connected client as the notification `event`; more than some hundreds a second are left out, and counted in `events-dropped`. */
export type SipdEvent =
  | { readonly type: 'device-online'; readonly deviceId: string; readonly address: string | null }
  | { readonly type: 'device-offline'; readonly deviceId: string; readonly reason: string }
  /** Channels of it came, went or were renamed. */
  | { readonly type: 'channels-changed'; readonly deviceId: string; readonly channels: number }
  /** `more`: further channels of this device changed at once. */
  | { readonly type: 'channel-states'; readonly deviceId: string; readonly channels: readonly { readonly channelId: string; readonly status: 'ON' | 'OFF' }[]; readonly more: number }
  | { readonly type: 'upstream-state'; readonly upstream: string; readonly state: UpstreamRow['state']; readonly reason: string | null }
  | { readonly type: 'session-began'; readonly sessionId: string; readonly upstream: string; readonly mappedId: string; readonly deviceId: string; readonly channelId: string }
  | { readonly type: 'session-ended'; readonly sessionId: string; readonly upstream: string; readonly mappedId: string; readonly deviceId: string; readonly channelId: string; readonly why: string }
  /** `channelId`: as the device names its source. Texts as it wrote them. */
  | { readonly type: 'camera-alarm'; readonly deviceId: string; readonly channelId: string; readonly priority: number; readonly method: string | null; readonly kind: string | null; readonly time: string | null; readonly description: string | null }
  | { readonly type: 'events-dropped'; readonly dropped: number };
