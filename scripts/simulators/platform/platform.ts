/**
 * A simulated upstream platform: waits for REGISTER, asks, invites, receives, judges what came.
 *
 *     await using platform = await Platform.open({ id: '34020000002000000001', password: 'secret' });
 *     await platform.waitRegistered(gatewayId);
 *     const { items } = await platform.catalog();
 *     const play = await platform.play(items[0].deviceId, { transport: 'udp' });
 *     await play.waitFrames(50);
 *     console.log(await play.stop());
 */
import { parseManscdp } from '#core/gb/manscdp.ts';
import { MANSCDP_TYPE, buildCatalogQuery, buildDeviceInfoQuery, buildDeviceStatusQuery, buildManscdp } from '#core/gb/manscdp-write.ts';
import type { Charset } from '#core/gb/dialect.ts';
import type { DeviceInfoBody, DeviceStatusBody, Manscdp } from '#core/gb/manscdp.ts';
import { SsrcAllocator } from '#core/gb/ssrc.ts';
import { buildBroadcast } from '#core/gb/broadcast.ts';
import { formatSubject, parseSubject } from '#core/gb/subject.ts';
import { formatSsrc } from '#core/sdp/build.ts';
import type { DigestAlgorithm } from '#core/sip/digest.ts';
import { type SipMessage, header } from '#core/sip/message.ts';
import { Closer } from '#kit/closer.ts';
import { decodeBody, encodeBody } from '#kit/charset.ts';
import { type IncomingInvite, type IncomingRequest, type NewRequest, type SipEndpoint, type Target, openSipEndpoint } from '#kit/sip-endpoint.ts';
import { type Ambience, type Report, contact, defaultDomain, party, quietAmbience, recordOf, uriOf } from '../common/names.ts';
import { within } from '../common/waiting.ts';
import { Microphone } from './microphone.ts';
import { duplicateInvites } from './duplicate-invites.ts';
import { type Mischief, type Mischiefs, NO_MISCHIEF } from './mischief.ts';
import { type HistoryAsked, writeOffer } from './offer.ts';
import { Play } from './play.ts';
import { openSharedPort } from './shared-port.ts';
import { type CatalogAnswer, Queries, type RecordsAnswer, infoOf, statusOf } from './queries.ts';
import type { PlayTransport } from './receivers.ts';
import { type Peer, PlatformRegistrar } from './registrar.ts';
import { PlatformSubscription } from './subscriptions.ts';

export type { PlayReport } from './play.ts';
export { Play, PlayFailed } from './play.ts';

export interface PlatformOptions {
  readonly id?: string;
  readonly domain?: string;
  /** Undefined: nobody is challenged. */
  readonly password?: string | undefined;
  readonly algorithms?: readonly DigestAlgorithm[];
  readonly qop?: boolean;
  readonly address?: string;
  /** UDP and TCP. 0: one that is free for both. */
  readonly port?: number;
  readonly mediaAddress?: string;
  readonly version?: '2016' | '2022';
  readonly charset?: Charset;
  readonly userAgent?: string;
  readonly mischief?: Mischiefs | readonly Mischief[];
  readonly report?: Report;
  readonly ambience?: Ambience;
  readonly onTrace?: (direction: 'in' | 'out', message: SipMessage) => void;
}

export interface SubscribeOptions {
  /** Which of the registered ones to ask; default: the first. */
  readonly peer?: string;
  /** Default: the peer itself. */
  readonly deviceId?: string;
  readonly expiresS?: number;
  /** Value of Event. */
  readonly event?: string;
  /** More elements of the Query. */
  readonly content?: string;
  /** In place of the whole Query; empty: no body. */
  readonly body?: string;
}

export interface PlayOptions {
  /** Our role: `tcp-passive` listens (a=setup:passive), `tcp-active` connects. */
  readonly transport: PlayTransport;
  /** Which of the registered ones to ask; default: the first. */
  readonly peer?: string;
  /** Path without extension for .ps, .h264 and so on; nothing is kept without it. */
  readonly recordTo?: string;
  /** Default: allocated. */
  readonly ssrc?: number;
  /** Value of f=. */
  readonly f?: string;
  /** A recording in place of the live picture. */
  readonly history?: HistoryAsked;
  readonly mischief?: Mischiefs | readonly Mischief[];
  /** CANCEL this long after the INVITE, for `cancel-crossing`. */
  readonly cancelAfterMs?: number;
}

const DEFAULT_ID = '34020000002000000001';
const DEFAULT_TIMEOUT_MS = 15_000;
const FAREWELL_MS = 3000;
/** About how long a gateway takes to answer on loopback. */
const CROSSING_MS = 15;

export class Platform implements AsyncDisposable {
  readonly id: string;
  readonly domain: string;
  readonly address: string;
  readonly port: number;
  readonly endpoint: SipEndpoint;
  readonly registrar: PlatformRegistrar;
  readonly plays = new Set<Play>();
  readonly microphones = new Set<Microphone>();
  /** Notify MESSAGEs except keepalives, as they came; each was answered 200. */
  readonly notices: Manscdp[] = [];
  /** Status for the next of these; `drop`: no answer. Undefined: 200. */
  noticePolicy: ((notice: Manscdp) => number | 'drop' | undefined) | undefined;
  /** Requests that were not expected, by method or CmdType. */
  readonly strays = new Map<string, number>();
  readonly #options: PlatformOptions;
  readonly #ambience: Ambience;
  readonly #mischief: Mischiefs;
  readonly #closer: Closer;
  readonly #queries: Queries;
  readonly #ssrcs: SsrcAllocator;

  private constructor(options: PlatformOptions, ambience: Ambience, endpoint: SipEndpoint, closer: Closer) {
    this.#options = options;
    this.#ambience = ambience;
    this.#closer = closer;
    this.#mischief = new Set(options.mischief ?? NO_MISCHIEF);
    this.#queries = new Queries(ambience.clock);
    this.id = options.id ?? DEFAULT_ID;
    this.domain = options.domain ?? defaultDomain(this.id);
    this.endpoint = endpoint;
    ({ address: this.address, port: this.port } = endpoint.bound[0]!);
    this.#ssrcs = new SsrcAllocator(this.id);
    const { algorithms = ['MD5'], qop = true, version = '2016', password } = options;
    this.registrar = new PlatformRegistrar({ realm: this.domain, password, algorithms, qop, version, mischief: this.#mischief, ambience, report: this.#report });
    endpoint.onRequest = incoming => this.#onRequest(incoming);
    endpoint.onInvite = invite => this.#onInvite(invite);
    endpoint.onTrace = options.onTrace;
  }

  static async open(options: PlatformOptions = {}): Promise<Platform> {
    const ambience = options.ambience ?? quietAmbience();
    const { address = '127.0.0.1', port = 0, userAgent = 'ViewLink Platform Simulator' } = options;
    await using closer = new Closer();
    const open = (at: number): Promise<SipEndpoint> =>
      openSipEndpoint({ ...ambience, userAgent, isTrusted: () => true, listen: [{ transport: 'udp', address, port: at }, { transport: 'tcp', address, port: at }] });
    const endpoint = closer.use(await openSharedPort(address, port, open));
    return new Platform(options, ambience, endpoint, closer.release());
  }

  get #report(): Report {
    return this.#options.report ?? ((): void => undefined);
  }

  /** The peer, as soon as it is registered. */
  async waitRegistered(id: string, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<Peer> {
    const { peers, changed } = this.registrar;
    await within(this.#ambience.clock, timeoutMs, () => `${id} did not register (${this.registrar.counters.registers} REGISTER came)`, changed.when(() => peers.has(id)));
    return peers.get(id)!;
  }

  async waitUnregistered(id: string, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<void> {
    const { peers, changed } = this.registrar;
    await within(this.#ambience.clock, timeoutMs, () => `${id} is still registered`, changed.when(() => !peers.has(id)));
  }

  /** Until the peer sent `count` keepalives in all. */
  async waitKeepalives(id: string, count: number, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<void> {
    const { peers, changed } = this.registrar;
    await within(this.#ambience.clock, timeoutMs, () => `${peers.get(id)?.keepalives ?? 0} keepalives of ${id}`, changed.when(() => (peers.get(id)?.keepalives ?? 0) >= count));
  }

  /** The whole catalogue of a peer: of itself, or of `deviceId` in it. */
  async catalog({ peer, deviceId, timeoutMs = DEFAULT_TIMEOUT_MS }: { peer?: string; deviceId?: string; timeoutMs?: number } = {}): Promise<CatalogAnswer> {
    const asked = this.#peer(peer);
    const sn = this.#queries.begin('Catalog');
    await this.message(buildCatalogQuery({ sn, deviceId: deviceId ?? asked }), asked);
    return this.#queries.catalog(sn, timeoutMs);
  }

  async deviceInfo(peer?: string, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<DeviceInfoBody> {
    return infoOf(await this.#ask('DeviceInfo', buildDeviceInfoQuery, peer, timeoutMs));
  }

  async deviceStatus(peer?: string, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<DeviceStatusBody> {
    return statusOf(await this.#ask('DeviceStatus', buildDeviceStatusQuery, peer, timeoutMs));
  }

  /** DeviceControl without an answer, such as `<IFameCmd>Send</IFameCmd>`. */
  async control(channelId: string, content: string, peer?: string): Promise<void> {
    await this.message(buildManscdp('Control', 'DeviceControl', { sn: this.#queries.begin('DeviceControl'), deviceId: channelId }, content), this.#peer(peer), channelId);
  }

  /** Speaks to a channel: its word on it, and what it is called back on. */
  async speak(targetId: string, { peer, sourceId = this.id, refuseWith }: { readonly peer?: string; readonly sourceId?: string; readonly refuseWith?: number } = {}): Promise<{ readonly result: Manscdp; readonly microphone: Microphone }> {
    const sn = this.#queries.begin('Broadcast');
    const microphone = new Microphone(targetId, this.#options.mediaAddress ?? this.address, this.#ambience.clock);
    microphone.refuseWith = refuseWith;
    this.microphones.add(microphone);
    await this.message(buildBroadcast(sn, { sourceId, targetId }), this.#peer(peer), targetId);
    return { result: await this.#queries.single(sn, DEFAULT_TIMEOUT_MS), microphone };
  }

  #onInvite(invite: IncomingInvite): void {
    const target = parseSubject(header(invite.request, 'Subject') ?? '')?.receiverId;
    const microphone = [...this.microphones].findLast(({ targetId, ended }) => ended === undefined && targetId === target);
    if (microphone === undefined) return invite.respond(405);
    void microphone.onInvite(invite);
  }

  /** SUBSCRIBE; what comes of it is told by the subscription. */
  subscribe(cmdType: string, options: SubscribeOptions = {}): PlatformSubscription {
    const peer = this.#peer(options.peer);
    const target = this.#targetOf(peer);
    const { deviceId = peer, expiresS = 600, event = `${cmdType === 'Catalog' ? 'Catalog' : 'presence'};id=${this.#queries.begin('Subscribe')}`, content = '' } = options;
    const xml = options.body ?? buildManscdp('Query', cmdType, { sn: this.#queries.begin(cmdType), deviceId }, content);
    const subscription = this.endpoint.subscribe(
      {
        uri: uriOf(peer, target.address, target.port), from: recordOf(this.id, this.domain), to: party(peer, target.address, target.port), event, expires: expiresS,
        contact: contact(this.id, this.address, this.port, target.transport === 'TCP' ? 'tcp' : 'udp'),
        ...(xml !== '' && { contentType: MANSCDP_TYPE, body: encodeBody(xml, this.#options.charset ?? 'gb2312') }),
      },
      target,
    );
    return new PlatformSubscription(subscription, this.#ambience.clock);
  }

  /** A query, or a control that wants an answer, about a channel: its one answer. */
  async ask(root: 'Query' | 'Control', cmdType: string, channelId: string, content = '', { peer, timeoutMs = DEFAULT_TIMEOUT_MS }: { peer?: string; timeoutMs?: number } = {}): Promise<Manscdp> {
    const sn = this.#queries.begin(cmdType);
    await this.message(buildManscdp(root, cmdType, { sn, deviceId: channelId }, content), this.#peer(peer), channelId);
    return this.#queries.single(sn, timeoutMs);
  }

  /** What a camera recorded between two times (`2026-03-10T00:00:00`). */
  async records(channelId: string, startTime: string, endTime: string, { peer, timeoutMs = DEFAULT_TIMEOUT_MS }: { peer?: string; timeoutMs?: number } = {}): Promise<RecordsAnswer> {
    const sn = this.#queries.begin('RecordInfo');
    const content = `<StartTime>${startTime}</StartTime>\r\n<EndTime>${endTime}</EndTime>\r\n<Secrecy>0</Secrecy>\r\n<Type>all</Type>\r\n`;
    await this.message(buildManscdp('Query', 'RecordInfo', { sn, deviceId: channelId }, content), this.#peer(peer), channelId);
    return this.#queries.records(sn, timeoutMs);
  }

  async #ask(cmdType: string, build: (head: { sn: number; deviceId: string }) => string, peer: string | undefined, timeoutMs: number): Promise<Manscdp> {
    const asked = this.#peer(peer);
    const sn = this.#queries.begin(cmdType);
    await this.message(build({ sn, deviceId: asked }), asked);
    return this.#queries.single(sn, timeoutMs);
  }

  #peer(wanted: string | undefined): string {
    const id = wanted ?? this.registrar.peers.keys().next().value;
    if (id === undefined) throw new Error('nobody is registered');
    return id;
  }

  #targetOf(peer: string): Target {
    const target = this.registrar.targetOf(peer);
    if (target === undefined) throw new Error(`${peer} is not registered`);
    return target;
  }

  /** A MESSAGE to a peer; rejects unless it is answered 200. */
  async message(xml: string, peer: string, to = peer): Promise<void> {
    const target = this.#targetOf(peer);
    const request: NewRequest = {
      method: 'MESSAGE', uri: uriOf(to, target.address, target.port), from: recordOf(this.id, this.domain), to: party(to, target.address, target.port),
      contentType: MANSCDP_TYPE, body: encodeBody(xml, this.#options.charset ?? 'gb2312'),
    };
    const outcome = await this.endpoint.request(request, target);
    if (outcome.type !== 'response' || outcome.response.status !== 200) throw new Error(`MESSAGE to ${peer}: ${outcome.type === 'response' ? outcome.response.status : outcome.type}`);
  }

  /** Invites a channel; settles when it was answered and acknowledged, rejects with PlayFailed. */
  async play(channelId: string, options: PlayOptions): Promise<Play> {
    const { transport, recordTo, f, history } = options;
    const ssrc = options.ssrc ?? this.#takeSsrc(history === undefined ? 'live' : 'history');
    const mischief: Mischiefs = new Set([...this.#mischief, ...(options.mischief ?? [])]);
    const mediaAddress = this.#options.mediaAddress ?? this.address;
    const play = await Play.prepare({ channelId, transport, ssrc, mediaAddress, recordTo, mischief, ambience: this.#ambience, report: this.#report });
    this.plays.add(play);
    void play.waitEnded(Infinity).then(() => this.#forget(play, options.ssrc === undefined ? ssrc : undefined));
    const target = this.#targetOf(this.#peer(options.peer));
    const offerAt = (port: number): Uint8Array => writeOffer({ channelId, history, platformId: this.id, address: mediaAddress, port, transport, ssrc, f }, mischief);
    if (mischief.has('duplicate-invite')) duplicateInvites(this.endpoint, target);
    const invite = this.endpoint.invite(this.#inviteRequest(channelId, ssrc, target, offerAt(play.port), mischief), target);
    const cancelAfterMs = options.cancelAfterMs ?? (mischief.has('cancel-crossing') ? CROSSING_MS : undefined);
    if (cancelAfterMs !== undefined) this.#cancelLater(play, cancelAfterMs);
    await play.begin(invite, offerAt);
    return play;
  }

  #cancelLater(play: Play, delayMs: number): void {
    const { clock } = this.#ambience;
    clock.schedule((clock.now() + delayMs) as ReturnType<typeof clock.now>, () => play.cancel());
  }

  #inviteRequest(channelId: string, ssrc: number, target: Target, body: Uint8Array, mischief: Mischiefs): NewRequest {
    const subject = formatSubject({ senderId: channelId, senderStream: formatSsrc(ssrc), receiverId: this.id, receiverStream: '0' });
    const [from, to] = mischief.has('swapped-from') ? [channelId, this.id] : [this.id, channelId];
    return {
      method: 'INVITE', uri: uriOf(channelId, target.address, target.port), from: recordOf(from, this.domain), to: party(to, target.address, target.port),
      contact: contact(this.id, this.address, this.port, target.transport === 'TCP' ? 'tcp' : 'udp'),
      contentType: 'APPLICATION/SDP', body, headers: mischief.has('no-subject') ? [] : [{ name: 'Subject', value: subject }],
    };
  }

  #takeSsrc(kind: 'live' | 'history'): number {
    const taken = this.#ssrcs.take(kind, this.#ambience.clock.now());
    if (!taken.ok) throw new Error(taken.error.why);
    return taken.value;
  }

  #forget(play: Play, ssrc: number | undefined): void {
    this.plays.delete(play);
    if (ssrc !== undefined) this.#ssrcs.release(ssrc, this.#ambience.clock.now());
  }

  #onRequest(incoming: IncomingRequest): void {
    const { method } = incoming.request;
    if (method === 'REGISTER') return this.registrar.onRegister(incoming);
    if (method !== 'MESSAGE' && method !== 'NOTIFY') return this.#stray(incoming, method, method === 'OPTIONS' ? 200 : 405);
    const message = parseManscdp(decodeBody(incoming.request.body).text);
    if (!message.ok) return this.#stray(incoming, `broken ${method}`, 400);
    if (message.value.cmdType === 'Keepalive') return this.registrar.onKeepalive(incoming, message.value.deviceId);
    if (message.value.root === 'Response') this.#queries.onResponse(message.value);
    else if (message.value.root === 'Notify' && method === 'MESSAGE') return this.#onNotice(incoming, message.value);
    else this.strays.set(message.value.cmdType, (this.strays.get(message.value.cmdType) ?? 0) + 1);
    incoming.respond(200);
  }

  #onNotice(incoming: IncomingRequest, notice: Manscdp): void {
    const verdict = this.noticePolicy?.(notice) ?? 200;
    if (verdict === 'drop') return incoming.drop();
    incoming.respond(verdict);
    if (verdict === 200) this.notices.push(notice);
  }

  #stray(incoming: IncomingRequest, what: string, status: number): void {
    this.strays.set(what, (this.strays.get(what) ?? 0) + 1);
    incoming.respond(status);
  }

  /** Ends every play with BYE, then closes. */
  async [Symbol.asyncDispose](): Promise<void> {
    const farewell = Promise.all([...this.plays].map(play => play.stop()));
    await within(this.#ambience.clock, FAREWELL_MS, () => 'BYE unanswered', farewell).catch(() => undefined);
    for (const microphone of this.microphones) await microphone[Symbol.asyncDispose]();
    await this.#closer[Symbol.asyncDispose]();
  }
}
