/** The HTTP API of ViewLink Gateway, version 1.0.0, as a client. Written by scripts/api-client out of the OpenAPI document; not edited. */
import { type EventOptions, type GatewayEvent, Transport } from './transport.ts';

export { type ClientOptions, type EventOptions, type GatewayEvent, type TokenPair, ViewLinkError } from './transport.ts';

export type Access = 'read' | 'watch' | 'operate' | 'diagnose' | 'configure' | 'security' | 'audit';

export interface Alarm {
  readonly alarmId: number;
  readonly rule: string;
  readonly subject: string;
  readonly severity: 'info' | 'warning' | 'critical';
  readonly says: string;
  readonly value: number | null;
  /** milliseconds since 1970 */
  readonly raisedAtWallMs: number;
  readonly clearedAtWallMs: number | null;
  readonly acknowledged: { readonly user: string; readonly atWallMs: number } | null;
}

export interface Alive {
  readonly status: 'ok';
}

export interface ApiToken {
  readonly name: string;
  /** null: all that its user may */
  readonly accesses: readonly Access[] | null;
  /** milliseconds since 1970 */
  readonly createdAtWallMs: number;
  readonly expiresAtWallMs: number | null;
}

export interface Approved {
  readonly name: string;
  readonly roles: readonly Role[];
}

export interface AuditEntry {
  readonly sequence: number;
  /** milliseconds since 1970 */
  readonly atWallMs: number;
  readonly monotonicMs: number;
  readonly author: Author;
  readonly action: string;
  readonly target: string;
  readonly before: Json;
  readonly after: Json;
  readonly result: 'done' | 'refused' | 'failed';
  readonly detail: string;
  readonly hash: string;
}

export interface AuditVerdict {
  readonly entries: number;
  readonly brokenAt: number | null;
  readonly why: string | null;
  /** of the logs of other nodes of a pair */
  readonly copies?: readonly { readonly entries: number; readonly brokenAt: number | null; readonly why: string | null; readonly node: string }[];
}

export interface Author {
  readonly user: string;
  readonly via: 'cli' | 'api' | 'system';
  readonly address: string | null;
}

export interface Backup {
  readonly fileBase64: string;
}

export type CameraControl = { readonly kind: 'record'; readonly on: boolean; readonly streamNumber?: number } | { readonly kind: 'guard'; readonly on: boolean } | { readonly kind: 'alarm-reset'; readonly alarmMethod?: string; readonly alarmType?: string } | { readonly kind: 'i-frame' } | { readonly kind: 'home-position'; readonly enabled: boolean; readonly resetTimeS?: number; readonly presetIndex?: number };

export interface Candidate {
  readonly baseRevision: number;
  readonly changes: readonly ConfigChange[];
  readonly issues: readonly ConfigIssue[];
}

export interface Channel {
  readonly deviceId: string;
  readonly channelId: string;
  readonly name: string;
  readonly status: 'ON' | 'OFF';
  readonly manufacturer: string | null;
  readonly civilCode: string | null;
  /** its ID toward each platform above */
  readonly mapped: readonly { readonly upstream: string; readonly id: string }[];
  readonly playing: boolean;
}

export interface ChannelPage {
  readonly total: number;
  readonly rows: readonly Channel[];
}

export interface CommitResult {
  readonly revision: number | null;
  readonly issues: readonly ConfigIssue[];
  readonly refusals: readonly { readonly daemon: string; readonly why: string }[];
  readonly warnings: readonly string[];
  readonly confirmByWallMs: number | null;
}

export interface ConfigChange {
  readonly path: string;
  readonly kind: 'added' | 'removed' | 'changed';
  readonly before: Json;
  readonly after: Json;
}

export interface ConfigIssue {
  readonly line: number;
  readonly path: string;
  readonly why: string;
}

export interface ConfigPart {
  readonly text: string;
  readonly value: Json;
}

export interface ConfigStatus {
  readonly revision: number;
  readonly schemaVersion: number;
  readonly pending: { readonly revision: number; readonly returnsTo: number; readonly deadlineWallMs: number; readonly author: Author } | null;
  readonly changedOutside: boolean;
  readonly applying: boolean;
}

export interface Confirmed {
  readonly revision: number;
}

export interface Device {
  readonly id: string;
  readonly name: string | null;
  readonly manufacturer: string | null;
  readonly model: string | null;
  readonly firmware: string | null;
  readonly edition: '2016' | '2022';
  readonly dialect: string;
  readonly dialectBy: string;
  readonly state: 'online' | 'offline';
  /** why it is offline */
  readonly reason: string | null;
  readonly transport: 'UDP' | 'TCP' | null;
  readonly address: string | null;
  readonly expiresInMs: number | null;
  readonly lastKeepaliveAgeMs: number | null;
  readonly channels: number;
  readonly catalog: { readonly state: 'none' | 'running' | 'complete' | 'partial'; readonly expected: number; readonly received: number; readonly atWallMs: number | null };
}

export type EditStep = { readonly op: 'set'; readonly path: string; readonly value: Json } | { readonly op: 'delete'; readonly path: string };

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly detail: Readonly<Record<string, string | number>>;
}

export interface Health {
  readonly node: string;
  /** milliseconds since 1970 */
  readonly atWallMs: number;
  readonly state: 'good' | 'degraded' | 'broken';
  readonly checks: readonly { readonly subject: string; readonly state: 'good' | 'degraded' | 'broken' | 'unknown' | 'absent'; readonly says: string }[];
}

export interface History {
  readonly stepMs: number;
  readonly series: readonly { readonly labels: Readonly<Record<string, string>>; readonly points: readonly { readonly atWallMs: number; readonly mean: number; readonly min: number; readonly max: number }[] }[];
}

/** any JSON */
export type Json = unknown;

export interface Live {
  /** null: it is opened when somebody looks */
  readonly leaseId: string | null;
  /** of the tokens in the addresses */
  readonly expiresAtWallMs: number;
  readonly urls: readonly { readonly protocol: string; readonly url: string }[];
}

export interface NewToken {
  readonly token: string;
}

export interface NewUser {
  readonly user: User;
  readonly password: string | null;
}

export interface OneTimePassword {
  /** shown once; it must be changed at the first log-in */
  readonly password: string;
}

export interface Preset {
  readonly preset: number;
  readonly name: string;
}

export type PtzCommand = { readonly kind: 'move'; readonly pan?: 'left' | 'right'; readonly tilt?: 'up' | 'down'; readonly zoom?: 'in' | 'out'; readonly panSpeed: number; readonly tiltSpeed: number; readonly zoomSpeed: number } | { readonly kind: 'lens'; readonly focus?: 'near' | 'far'; readonly iris?: 'open' | 'close'; readonly focusSpeed: number; readonly irisSpeed: number } | { readonly kind: 'preset-set' | 'preset-call' | 'preset-delete'; readonly preset: number } | { readonly kind: 'cruise-add' | 'cruise-delete'; readonly group: number; readonly preset: number } | { readonly kind: 'cruise-clear'; readonly group: number } | { readonly kind: 'cruise-speed' | 'cruise-dwell' | 'scan-speed'; readonly group: number; readonly value: number } | { readonly kind: 'cruise-start' | 'scan-start' | 'scan-left' | 'scan-right'; readonly group: number } | { readonly kind: 'aux-on' | 'aux-off'; readonly number: number };

export interface Records {
  /** as many came as were announced */
  readonly complete: boolean;
  readonly missing: number;
  readonly records: readonly { readonly name: string; readonly startWallMs: number | null; readonly endWallMs: number | null; readonly type: string | null; readonly bytes: number | null }[];
}

export interface Resource {
  readonly id: string;
  readonly name: string | null;
  readonly rule: 'configured' | 'same-id' | 'same-name' | 'same-address';
  readonly status: 'ON' | 'OFF';
  readonly sources: readonly { readonly deviceId: string; readonly channelId: string; readonly name: string | null; readonly known: boolean; readonly status: 'ON' | 'OFF' }[];
}

export interface Revision {
  readonly revision: number;
  /** milliseconds since 1970 */
  readonly atWallMs: number;
  readonly author: Author;
  readonly reason: string;
  readonly state: 'current' | 'pending' | 'past' | 'returned' | 'aside';
  readonly sha256: string;
  readonly changes: number;
}

export type Role = 'admin' | 'security' | 'auditor' | 'operator' | 'viewer';

export interface Samples {
  readonly infos: readonly { readonly metric: string; readonly help: string; readonly type: 'gauge' | 'counter' }[];
  readonly samples: readonly { readonly metric: string; readonly labels: Readonly<Record<string, string>>; readonly value: number }[];
}

export interface Self {
  readonly user: string;
  readonly roles: readonly Role[];
  readonly accesses: readonly Access[];
  readonly channels: readonly string[];
  readonly how: 'password' | 'token' | 'certificate';
  readonly mustChangePassword: boolean;
}

export interface Session {
  readonly sessionId: string;
  readonly upstream: string;
  readonly deviceId: string;
  readonly channelId: string;
  readonly mappedId: string;
  readonly state: string;
  readonly sourceState: string;
  readonly learnt: string | null;
  readonly ageMs: number;
  readonly recording: { readonly kind: 'Playback' | 'Download'; readonly startS: number; readonly stopS: number; readonly state: 'playing' | 'paused' | 'over'; readonly positionS: number; readonly scale: number } | null;
  readonly media: { readonly codecs: readonly string[]; readonly packets: number; readonly lost: number; readonly frozenMs: number | null } | null;
}

export interface Tokens {
  readonly accessToken: string;
  readonly expiresInS: number;
  readonly refreshToken: string;
  readonly mustChangePassword: boolean;
  readonly roles: readonly Role[];
}

export interface Totals {
  readonly channels: number;
  readonly shared: number;
  readonly accessed: number;
  readonly online: number;
  readonly playing: number;
}

export interface Unlocked {
  /** how many there were */
  readonly locks: number;
}

export interface Upstream {
  readonly name: string;
  readonly id: string;
  readonly localId: string;
  readonly transport: 'UDP' | 'TCP';
  readonly address: string;
  readonly state: 'disabled' | 'registering' | 'online' | 'waiting';
  readonly reason: string | null;
  readonly retryInMs: number | null;
  readonly expiresInMs: number | null;
  readonly lastKeepaliveAgeMs: number | null;
  readonly sharedChannels: number;
  readonly onlineChannels: number;
  readonly accessedChannels: number;
  readonly playingChannels: number;
  readonly sessions: number;
  readonly bitrateBps: number | null;
}

export interface User {
  readonly name: string;
  readonly kind: 'person' | 'platform';
  readonly roles: readonly Role[];
  /** roles that an admin must agree to, and who gave them */
  readonly waiting: { readonly roles: readonly Role[]; readonly by: string; readonly sinceWallMs: number } | null;
  /** device or channel IDs or prefixes that it may see; *: all */
  readonly channels: readonly string[];
  readonly hasPassword: boolean;
  readonly mustChangePassword: boolean;
  readonly disabled: boolean;
  readonly certificateSha256: string | null;
  /** milliseconds since 1970 */
  readonly createdAtWallMs: number;
  readonly lastLoginWallMs: number | null;
}

export interface View {
  readonly upstream: string;
  readonly rows: readonly ViewRow[];
  readonly changes: readonly { readonly type: 'added' | 'removed' | 'changed'; readonly before: ViewRow | null; readonly after: ViewRow | null; readonly fields: readonly string[] }[] | null;
  readonly problems: readonly string[];
  readonly hidden: readonly { readonly deviceId: string; readonly channelId: string; readonly name: string; readonly why: string }[];
}

export interface ViewRow {
  readonly id: string;
  readonly kind: string;
  readonly depth: number;
  readonly under: string | null;
  readonly name: string;
  readonly status: 'ON' | 'OFF' | null;
  readonly parentId: string | null;
  readonly civilCode: string | null;
  readonly deviceId: string | null;
  readonly channelId: string | null;
  readonly permitted: readonly string[];
  readonly atTimes: readonly string[];
}

export interface WaitingRoles {
  readonly name: string;
  readonly holds: readonly Role[];
  readonly roles: readonly Role[];
  readonly by: string;
  /** milliseconds since 1970 */
  readonly sinceWallMs: number;
  readonly hasOwnPassword: boolean;
  readonly certificateSha256: string | null;
  readonly lastLoginWallMs: number | null;
}

export interface Webhook {
  readonly name: string;
  readonly target: string;
  readonly state: 'idle' | 'sending' | 'waiting';
  readonly queued: number;
  readonly delivered: number;
  readonly dropped: number;
  readonly lastDropWallMs: number | null;
  readonly failures: number;
  readonly why: string | null;
}

export interface Why {
  readonly channel: string;
  readonly verdict: 'playable' | 'broken';
  readonly firstBroken: 'channel' | 'register' | 'catalogue' | 'invite' | 'ports' | 'rtp' | 'ps' | 'upstream' | null;
  readonly steps: readonly { readonly step: 'channel' | 'register' | 'catalogue' | 'invite' | 'ports' | 'rtp' | 'ps' | 'upstream'; readonly verdict: 'ok' | 'broken' | 'unknown'; readonly says: string; readonly evidence: Readonly<Record<string, string | number | boolean | null>> }[];
}

const part = encodeURIComponent;

export class ViewLinkClient extends Transport {
  /** Whether the interface answers. GET /healthz, needs: public. */
  getAlive(): Promise<Alive> {
    return this.json({ method: 'GET', path: `/healthz` });
  }

  /** This interface as OpenAPI 3.1. GET /api/v1/openapi.json, needs: self. */
  getOpenApi(): Promise<Json> {
    return this.json({ method: 'GET', path: `/api/v1/openapi.json` });
  }

  /** What happens, as Server-Sent Events; Last-Event-ID gives what was missed. GET /api/v1/events, needs: read. */
  streamEvents(options: EventOptions = {}): AsyncGenerator<GatewayEvent> {
    return this.stream(`/api/v1/events`, options);
  }

  /** Name and password for tokens. POST /api/v1/login, needs: public. */
  logIn(body: { readonly user: string; readonly password: string }): Promise<Tokens> {
    return this.json({ method: 'POST', path: `/api/v1/login`, body });
  }

  /** A refresh token for new tokens; each is used once. POST /api/v1/login/refresh, needs: public. */
  refreshTokens(body: { readonly refreshToken: string }): Promise<Tokens> {
    return this.json({ method: 'POST', path: `/api/v1/login/refresh`, body });
  }

  /** The tokens of this log-in end. POST /api/v1/logout, needs: self. */
  logOut(): Promise<null> {
    return this.json({ method: 'POST', path: `/api/v1/logout` });
  }

  /** Who you are and what you may. GET /api/v1/self, needs: self. */
  getSelf(): Promise<Self> {
    return this.json({ method: 'GET', path: `/api/v1/self` });
  }

  /** Another password; every log-in with the old one ends. POST /api/v1/self/password, needs: self. */
  changePassword(body: { readonly password: string; readonly newPassword: string }): Promise<Tokens> {
    return this.json({ method: 'POST', path: `/api/v1/self/password`, body });
  }

  /** Devices, recorders and platforms below. GET /api/v1/devices, needs: read. */
  listDevices(query: { readonly state?: 'online' | 'offline' } = {}): Promise<readonly Device[]> {
    return this.json({ method: 'GET', path: `/api/v1/devices`, query });
  }

  /** One device. GET /api/v1/devices/{deviceId}, needs: read. */
  getDevice(deviceId: string): Promise<Device> {
    return this.json({ method: 'GET', path: `/api/v1/devices/${part(deviceId)}` });
  }

  /** Asks a device for its catalogue again. POST /api/v1/devices/{deviceId}/catalog, needs: operate. */
  refreshCatalog(deviceId: string): Promise<null> {
    return this.json({ method: 'POST', path: `/api/v1/devices/${part(deviceId)}/catalog` });
  }

  /** Channels, by pages: those of a device, of a state, with a text in name or ID. GET /api/v1/channels, needs: read. */
  listChannels(query: { readonly deviceId?: string; readonly text?: string; readonly status?: 'ON' | 'OFF'; readonly offset?: number; readonly limit?: number } = {}): Promise<ChannelPage> {
    return this.json({ method: 'GET', path: `/api/v1/channels`, query });
  }

  /** One channel. GET /api/v1/channels/{channel}, needs: read. */
  getChannel(channel: string): Promise<Channel> {
    return this.json({ method: 'GET', path: `/api/v1/channels/${part(channel)}` });
  }

  /** Why it does not play: the first broken step, with evidence. GET /api/v1/channels/{channel}/why, needs: read. */
  whyChannel(channel: string): Promise<Why> {
    return this.json({ method: 'GET', path: `/api/v1/channels/${part(channel)}/why` });
  }

  /** As why, but plays it for some seconds to see. POST /api/v1/channels/{channel}/probe, needs: diagnose. */
  probeChannel(channel: string): Promise<Why> {
    return this.json({ method: 'POST', path: `/api/v1/channels/${part(channel)}/probe` });
  }

  /** Cameras with more than one way to them. GET /api/v1/resources, needs: read. */
  listResources(): Promise<readonly Resource[]> {
    return this.json({ method: 'GET', path: `/api/v1/resources` });
  }

  /** Platforms above. GET /api/v1/upstreams, needs: read. */
  listUpstreams(): Promise<readonly Upstream[]> {
    return this.json({ method: 'GET', path: `/api/v1/upstreams` });
  }

  /** The tree that a platform gets. GET /api/v1/upstreams/{name}/view, needs: read. */
  viewUpstream(name: string, query: { readonly hidden?: boolean } = {}): Promise<View> {
    return this.json({ method: 'GET', path: `/api/v1/upstreams/${part(name)}/view`, query });
  }

  /** Channels in numbers. GET /api/v1/totals, needs: read. */
  getTotals(): Promise<Totals> {
    return this.json({ method: 'GET', path: `/api/v1/totals` });
  }

  /** What platforms watch now. GET /api/v1/sessions, needs: read. */
  listSessions(): Promise<readonly Session[]> {
    return this.json({ method: 'GET', path: `/api/v1/sessions` });
  }

  /** Addresses where a channel can be watched, with tokens; keepOpen: the camera plays already when somebody looks. POST /api/v1/channels/{channel}/live, needs: watch. */
  openLive(channel: string, body: { readonly streamNumber?: number; readonly minutes?: number; readonly keepOpen?: boolean }): Promise<Live> {
    return this.json({ method: 'POST', path: `/api/v1/channels/${part(channel)}/live`, body });
  }

  /** A channel need not be kept open any more. DELETE /api/v1/live/{leaseId}, needs: watch. */
  closeLive(leaseId: string): Promise<null> {
    return this.json({ method: 'DELETE', path: `/api/v1/live/${part(leaseId)}` });
  }

  /** A picture, as JPEG. GET /api/v1/channels/{channel}/snapshot, needs: watch. */
  takeSnapshot(channel: string, query: { readonly streamNumber?: number; readonly width?: number } = {}): Promise<Uint8Array> {
    return this.bytes({ method: 'GET', path: `/api/v1/channels/${part(channel)}/snapshot`, query });
  }

  /** Steers a camera; a movement ends by itself after holdMs unless it is said again. POST /api/v1/channels/{channel}/ptz, needs: operate. */
  steerChannel(channel: string, body: { readonly command: PtzCommand; readonly holdMs?: number }): Promise<null> {
    return this.json({ method: 'POST', path: `/api/v1/channels/${part(channel)}/ptz`, body });
  }

  /** Switches of a camera: recording, guard, alarm reset, I-frame, home position. POST /api/v1/channels/{channel}/control, needs: operate. */
  controlChannel(channel: string, body: CameraControl): Promise<null> {
    return this.json({ method: 'POST', path: `/api/v1/channels/${part(channel)}/control`, body });
  }

  /** Presets that a camera lists. GET /api/v1/channels/{channel}/presets, needs: operate. */
  listPresets(channel: string): Promise<readonly Preset[]> {
    return this.json({ method: 'GET', path: `/api/v1/channels/${part(channel)}/presets` });
  }

  /** Recordings that a camera or its recorder lists, of a span of time. GET /api/v1/channels/{channel}/records, needs: watch. */
  listRecords(channel: string, query: { readonly fromWallMs: number; readonly toWallMs: number }): Promise<Records> {
    return this.json({ method: 'GET', path: `/api/v1/channels/${part(channel)}/records`, query });
  }

  /** State of the node and of everything on it. GET /api/v1/health, needs: read. */
  getHealth(): Promise<Health> {
    return this.json({ method: 'GET', path: `/api/v1/health` });
  }

  /** Everything that was measured last. GET /api/v1/samples, needs: read. */
  getSamples(): Promise<Samples> {
    return this.json({ method: 'GET', path: `/api/v1/samples` });
  }

  /** One metric over time, from the finest roll-up that reaches back so far. GET /api/v1/history, needs: read. */
  getHistory(query: { readonly metric: string; readonly labels?: string; readonly fromWallMs: number; readonly toWallMs: number; readonly maxPoints?: number }): Promise<History> {
    return this.json({ method: 'GET', path: `/api/v1/history`, query });
  }

  /** Alarms of the gateway, newest first. GET /api/v1/alarms, needs: read. */
  listAlarms(query: { readonly activeOnly?: boolean; readonly limit?: number } = {}): Promise<readonly Alarm[]> {
    return this.json({ method: 'GET', path: `/api/v1/alarms`, query });
  }

  /** Somebody has seen this alarm. POST /api/v1/alarms/{alarmId}/acknowledge, needs: operate. */
  acknowledgeAlarm(alarmId: number): Promise<null> {
    return this.json({ method: 'POST', path: `/api/v1/alarms/${part(String(alarmId))}/acknowledge` });
  }

  /** Receivers of events, and how they do. GET /api/v1/webhooks, needs: read. */
  listWebhooks(): Promise<readonly Webhook[]> {
    return this.json({ method: 'GET', path: `/api/v1/webhooks` });
  }

  /** Metrics in the text format of Prometheus. GET /metrics, needs: metrics. */
  getMetrics(): Promise<string> {
    return this.text({ method: 'GET', path: `/metrics` });
  }

  /** Revision in force, and a commit that waits to be confirmed. GET /api/v1/config/status, needs: read. */
  getConfigStatus(): Promise<ConfigStatus> {
    return this.json({ method: 'GET', path: `/api/v1/config/status` });
  }

  /** JSON Schema of the configuration, with help for every key. GET /api/v1/config/schema, needs: read. */
  getConfigSchema(): Promise<Json> {
    return this.json({ method: 'GET', path: `/api/v1/config/schema` });
  }

  /** The configuration or a part of it; secrets read as ***. GET /api/v1/config, needs: read. */
  showConfig(query: { readonly path?: string; readonly of?: string } = {}): Promise<ConfigPart> {
    return this.json({ method: 'GET', path: `/api/v1/config`, query });
  }

  /** What you have changed and not committed. GET /api/v1/config/candidate, needs: configure. */
  getCandidate(): Promise<Candidate | null> {
    return this.json({ method: 'GET', path: `/api/v1/config/candidate` });
  }

  /** Sets and deletes keys in your candidate: all or none. PATCH /api/v1/config/candidate, needs: configure. */
  editCandidate(body: { readonly steps: readonly EditStep[] }): Promise<Candidate> {
    return this.json({ method: 'PATCH', path: `/api/v1/config/candidate`, body });
  }

  /** A whole text as your candidate; *** keeps the secret that stood there. PUT /api/v1/config/candidate, needs: configure. */
  loadCandidate(body: { readonly text: string }): Promise<Candidate> {
    return this.json({ method: 'PUT', path: `/api/v1/config/candidate`, body });
  }

  /** Your candidate is given up. DELETE /api/v1/config/candidate, needs: configure. */
  discardCandidate(): Promise<null> {
    return this.json({ method: 'DELETE', path: `/api/v1/config/candidate` });
  }

  /** What a commit would answer, with nothing changed. POST /api/v1/config/check, needs: configure. */
  checkCandidate(): Promise<CommitResult> {
    return this.json({ method: 'POST', path: `/api/v1/config/check` });
  }

  /** Your candidate comes into force; CONFLICT: nothing was changed, and why. POST /api/v1/config/commit, needs: configure. */
  commitCandidate(body: { readonly reason: string; readonly confirmMinutes?: number | null; readonly restart?: boolean }): Promise<CommitResult> {
    return this.json({ method: 'POST', path: `/api/v1/config/commit`, body });
  }

  /** A commit that waits stays. POST /api/v1/config/confirm, needs: configure. */
  confirmCommit(): Promise<Confirmed> {
    return this.json({ method: 'POST', path: `/api/v1/config/confirm` });
  }

  /** A kept revision comes into force again, as a new one. POST /api/v1/config/rollback, needs: configure. */
  rollbackConfig(body: { readonly revision: number; readonly reason: string; readonly confirmMinutes?: number | null; readonly restart?: boolean }): Promise<CommitResult> {
    return this.json({ method: 'POST', path: `/api/v1/config/rollback`, body });
  }

  /** Revisions, newest first: who, when, why. GET /api/v1/config/history, needs: read. */
  listRevisions(query: { readonly limit?: number } = {}): Promise<readonly Revision[]> {
    return this.json({ method: 'GET', path: `/api/v1/config/history`, query });
  }

  /** What differs between two revisions. GET /api/v1/config/compare, needs: read. */
  compareRevisions(query: { readonly from: number; readonly to: number }): Promise<readonly ConfigChange[]> {
    return this.json({ method: 'GET', path: `/api/v1/config/compare`, query });
  }

  /** The file as somebody wrote it past the gateway becomes a revision. POST /api/v1/config/adopt, needs: configure. */
  adoptConfig(body: { readonly reason: string; readonly confirmMinutes?: number | null }): Promise<CommitResult> {
    return this.json({ method: 'POST', path: `/api/v1/config/adopt`, body });
  }

  /** Configuration, revisions and secrets in one file, encrypted with the passphrase. POST /api/v1/config/backup, needs: configure. */
  backupConfig(body: { readonly passphrase: string }): Promise<Backup> {
    return this.json({ method: 'POST', path: `/api/v1/config/backup`, body });
  }

  /** A backup comes into force. POST /api/v1/config/restore, needs: configure and security. */
  restoreConfig(body: { readonly passphrase: string; readonly fileBase64: string; readonly confirmMinutes?: number | null }): Promise<CommitResult> {
    return this.json({ method: 'POST', path: `/api/v1/config/restore`, body });
  }

  /** The configuration becomes that of a new gateway. POST /api/v1/config/factory-reset, needs: configure and security. */
  factoryReset(body: { readonly reason: string; readonly confirmMinutes?: number | null }): Promise<CommitResult> {
    return this.json({ method: 'POST', path: `/api/v1/config/factory-reset`, body });
  }

  /** Who did what, when, and how it was before and after. GET /api/v1/audit, needs: audit. */
  listAudit(query: { readonly fromSequence?: number; readonly limit?: number } = {}): Promise<readonly AuditEntry[]> {
    return this.json({ method: 'GET', path: `/api/v1/audit`, query });
  }

  /** Whether every entry follows from the one before. GET /api/v1/audit/verify, needs: audit. */
  verifyAudit(): Promise<AuditVerdict> {
    return this.json({ method: 'GET', path: `/api/v1/audit/verify` });
  }

  /** Users of the API. GET /api/v1/users, needs: security. */
  listUsers(): Promise<readonly User[]> {
    return this.json({ method: 'GET', path: `/api/v1/users` });
  }

  /** A person, who gets a password that must be changed at the first log-in, or a platform, which has a certificate or tokens; roles beyond your own wait for an admin. POST /api/v1/users, needs: security. */
  createUser(body: { readonly name: string; readonly kind: 'person' | 'platform'; readonly roles: readonly Role[]; readonly channels?: readonly string[] }): Promise<NewUser> {
    return this.json({ method: 'POST', path: `/api/v1/users`, body });
  }

  /** Other roles or channels, or shut out for a while; its log-ins end; roles beyond your own wait for an admin. PATCH /api/v1/users/{user}, needs: security. */
  updateUser(user: string, body: { readonly roles?: readonly Role[]; readonly channels?: readonly string[]; readonly disabled?: boolean }): Promise<User> {
    return this.json({ method: 'PATCH', path: `/api/v1/users/${part(user)}`, body });
  }

  /** A user goes, with its tokens. DELETE /api/v1/users/{user}, needs: security. */
  deleteUser(user: string): Promise<null> {
    return this.json({ method: 'DELETE', path: `/api/v1/users/${part(user)}` });
  }

  /** A password that must be changed at the first log-in; the old one and every log-in end; roles beyond your own wait for an admin. POST /api/v1/users/{user}/password, needs: security. */
  resetPassword(user: string): Promise<OneTimePassword> {
    return this.json({ method: 'POST', path: `/api/v1/users/${part(user)}/password` });
  }

  /** The client certificate by which it is known; null: none. PUT /api/v1/users/{user}/certificate, needs: security. */
  setCertificate(user: string, body: { readonly sha256: string | null }): Promise<User> {
    return this.json({ method: 'PUT', path: `/api/v1/users/${part(user)}/certificate`, body });
  }

  /** API tokens of a user. GET /api/v1/users/{user}/tokens, needs: security. */
  listTokens(user: string): Promise<readonly ApiToken[]> {
    return this.json({ method: 'GET', path: `/api/v1/users/${part(user)}/tokens` });
  }

  /** A token for a program; it is shown once, and never may more than operator, viewer and your own roles. POST /api/v1/users/{user}/tokens, needs: security. */
  createToken(user: string, body: { readonly name: string; readonly accesses?: readonly Access[] | null; readonly expiresAtWallMs?: number | null }): Promise<NewToken> {
    return this.json({ method: 'POST', path: `/api/v1/users/${part(user)}/tokens`, body });
  }

  /** A token of a program ends. DELETE /api/v1/users/{user}/tokens/{token}, needs: security. */
  deleteToken(user: string, token: string): Promise<null> {
    return this.json({ method: 'DELETE', path: `/api/v1/users/${part(user)}/tokens/${part(token)}` });
  }

  /** Who was locked out after wrong passwords may try again, and so may the addresses they came from. POST /api/v1/users/{user}/unlock, needs: security. */
  unlockUser(user: string): Promise<Unlocked> {
    return this.json({ method: 'POST', path: `/api/v1/users/${part(user)}/unlock` });
  }

  /** Roles that a security officer gave and that wait for an admin. GET /api/v1/approvals, needs: configure. */
  listWaitingRoles(): Promise<readonly WaitingRoles[]> {
    return this.json({ method: 'GET', path: `/api/v1/approvals` });
  }

  /** The roles that wait come into force; not by who gave them, and once their holder has a password of his own. POST /api/v1/approvals/{user}, needs: configure. */
  approveRoles(user: string, body: { readonly sinceWallMs: number }): Promise<Approved> {
    return this.json({ method: 'POST', path: `/api/v1/approvals/${part(user)}`, body });
  }
}
