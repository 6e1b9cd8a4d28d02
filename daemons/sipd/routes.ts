/**
 * Where a request goes: who sent it decides first, then the method, then the CmdType.
 *
 *   REGISTER            -> devices (anybody may try; digest and the rate limit stand before it)
 *   known device        -> keepalive, answers to our queries; never INVITE
 *   known upstream      -> queries, INVITE, SUBSCRIBE
 *   keepalive of others -> the registrar says whether it may come back so
 *   anybody else        -> 403 to what could be a misconfigured peer, silence to the rest (fault 21)
 */
import { DDCP_METHOD, parseDdcp } from '#core/db33/ddcp.ts';
import { parseIp, sameIp } from '#core/ip.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { type GapRules, mayUseCommand, mayUseMethod } from '#core/gb/gap.ts';
import { parseManscdp, type Manscdp, type ManscdpError } from '#core/gb/manscdp.ts';
import { buildResult } from '#core/gb/manscdp-write.ts';
import { type SipRequest, userOf } from '#core/sip/message.ts';
import { decodeBody } from '#kit/charset.ts';
import { CountedLog, type Log } from '#kit/log.ts';
import type { Clock } from '#kit/clock.ts';
import type { Flow, IncomingInvite, IncomingRequest, IncomingSubscribe } from '#kit/sip-endpoint.ts';
import type { Alarms, WhenKept } from './alarms.ts';
import { type Bans, requestLine } from './bans.ts';
import type { Catalogs } from './catalogs.ts';
import type { Controls } from './controls.ts';
import type { Counters } from '#kit/counters.ts';
import type { DeviceSubscriptions } from './device-subscriptions.ts';
import type { Devices } from './devices.ts';
import type { Positions } from './positions.ts';
import type { Relay } from './relay.ts';
import type { SessionNotices } from './session-notices.ts';
import type { Subscriptions } from './subscriptions.ts';
import type { UpstreamLink } from './upstream-link.ts';
import type { Upstreams } from './upstreams.ts';
import type { Voice } from './voice.ts';
import type { Views } from './views.ts';

const ALLOW = { name: 'Allow', value: 'INVITE, ACK, BYE, CANCEL, INFO, MESSAGE, OPTIONS, REGISTER, SUBSCRIBE, NOTIFY' };
const ACCEPT = { name: 'Accept', value: 'application/sdp, application/manscdp+xml' };
const MANSCDP = 'application/manscdp+xml';

export interface RoutesDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly devices: Devices;
  readonly catalogs: Catalogs;
  readonly upstreams: Upstreams;
  readonly relay: Relay;
  readonly views: Views;
  readonly controls: Controls;
  readonly subscriptions: Subscriptions;
  readonly alarms: Alarms;
  readonly deviceSubscriptions: DeviceSubscriptions;
  readonly positions: Positions;
  readonly voice: Voice;
  readonly sessionNotices: SessionNotices;
  readonly bans: Bans;
  readonly whenKept: WhenKept;
  config(): GatewayConfig;
}

type KnownPeer = { readonly kind: 'device'; readonly deviceId: string } | { readonly kind: 'upstream'; readonly link: UpstreamLink };
/** `claimed`: the ID in a keepalive that did not come from where this ID is registered and online. */
type Peer = KnownPeer | { readonly kind: 'claimed'; readonly deviceId: string } | { readonly kind: 'stranger' };

export class Routes {
  readonly #deps: RoutesDeps;
  readonly #strangers: CountedLog;
  readonly #unreadable: CountedLog;

  constructor(deps: RoutesDeps) {
    this.#deps = deps;
    this.#strangers = new CountedLog(deps.log, deps.clock, 'request.stranger', 10_000);
    this.#unreadable = new CountedLog(deps.log, deps.clock, 'manscdp.malformed');
  }

  request(incoming: IncomingRequest): void {
    const { request, flow } = incoming;
    this.#deps.counters.add(`in.${request.method}`);
    if (request.method === 'REGISTER') return this.#deps.devices.register(incoming);
    const peer = this.#peerOf(request, flow);
    if (this.#isUndeclared(incoming, peer)) return;
    if (peer.kind === 'stranger') return this.#stranger(incoming);
    if (peer.kind === 'claimed') return this.#claim(incoming, peer.deviceId);
    if (peer.kind === 'device') this.#deps.devices.seen(peer.deviceId);
    switch (request.method) {
      case 'MESSAGE':
        return this.#message(incoming, peer);
      case DDCP_METHOD:
        return this.#ddcp(incoming, peer);
      case 'OPTIONS':
        return incoming.respond(200, { headers: [ALLOW, ACCEPT] });
      case 'NOTIFY':
      case 'INFO':
      case 'BYE':
        return incoming.respond(481);
      default:
        return incoming.respond(405, { headers: [ALLOW] });
    }
  }

  /** Outside any dialog; refreshes go their own way. */
  subscribe(incoming: IncomingSubscribe): void {
    const { request, flow } = incoming;
    this.#deps.counters.add('in.SUBSCRIBE');
    const peer = this.#peerOf(request, flow);
    if (this.#isUndeclared(incoming, peer)) return;
    if (peer.kind === 'upstream') return this.#deps.subscriptions.subscribe(incoming, peer.link);
    if (peer.kind === 'device') return incoming.respond(489, { headers: [{ name: 'Allow-Events', value: 'none' }] });
    this.#stranger(incoming);
  }

  /** Answered already. After a restart or a takeover devices still tell what they were asked for before. */
  strayNotify(request: SipRequest, flow: Flow): void {
    const peer = this.#peerOf(request, flow);
    if (peer.kind !== 'device' || !mayUseMethod(this.#gapOf(peer), request.method)) return;
    this.#deps.devices.seen(peer.deviceId);
    this.#deps.deviceSubscriptions.stray(peer.deviceId, request, flow);
  }

  invite(incoming: IncomingInvite): void {
    const { request, flow } = incoming;
    this.#deps.counters.add('in.INVITE');
    const peer = this.#peerOf(request, flow);
    if (this.#isUndeclared(incoming, peer)) return;
    if (peer.kind === 'upstream') return this.#deps.relay.invite(incoming, peer.link.config, flow.remoteAddress);
    if (peer.kind !== 'device') return this.#stranger(incoming);
    if (this.#deps.voice.invite(incoming, peer.deviceId)) return;
    // Nobody told this device to call us.
    this.#deps.counters.add('invite.from-device');
    incoming.respond(403);
  }

  /** Upstreams are looked for first: a peer platform is both, and its queries and INVITEs are meant for the upper role (gb28181.md 8.4). */
  #peerOf(request: SipRequest, flow: Flow): Peer {
    const from = userOf(request.from);
    const link = this.#upstreamOf(request, from, flow);
    const binding = this.#deps.devices.recognize(from, flow);
    if (binding !== undefined && (link === undefined || isDownstreamMessage(request))) return { kind: 'device', deviceId: binding.deviceId };
    if (isKeepalive(request)) return { kind: 'claimed', deviceId: from };
    if (link !== undefined) return { kind: 'upstream', link };
    if (this.#deps.devices.binding(from) !== undefined) return { kind: 'stranger' };
    const only = this.#deps.devices.onlyDeviceAt(flow.remoteAddress);
    return only === undefined ? { kind: 'stranger' } : { kind: 'device', deviceId: only };
  }

  /** By the ID it names and an address that it may have; with a strange ID (quirk 17) by the exact address and port. */
  #upstreamOf(request: SipRequest, from: string, flow: Flow): UpstreamLink | undefined {
    const ip = parseIp(flow.remoteAddress);
    const here = this.#deps.upstreams.links.filter(link => link.config.enabled && ip !== undefined && link.owns(ip));
    const named = here.filter(({ config }) => config.id === from || (config.localId === from && userOf(request.to) === config.id));
    if (named.length <= 1) return named[0] ?? here.find(({ target }) => sameIp(target.address, flow.remoteAddress) && target.port === flow.remotePort);
    // Two links to one platform: our own ID toward it tells which, or the channel that only one of them shows.
    const meant = [userOf(request.to), userOf({ uri: request.uri })];
    const shows = ({ config }: UpstreamLink): boolean => meant.some(id => typeof this.#deps.views.resolve(config.name, id) !== 'string');
    return named.find(({ config }) => meant.includes(config.localId)) ?? named.find(shows) ?? named[0];
  }

  #stranger(incoming: IncomingRequest): void {
    const { request, flow } = incoming;
    this.#deps.counters.add('request.stranger');
    this.#strangers.count({ method: request.method, address: flow.remoteAddress });
    this.#deps.bans.offence({ address: flow.remoteAddress, offence: 'stranger', proven: flow.transport === 'TCP', line: () => requestLine(request) });
    // A ping from where devices are expected is answered; a sweep over users, or from anywhere else, finds nobody (fault 25).
    if (request.method === 'OPTIONS') return this.#deps.devices.isMeant(userOf({ uri: request.uri }), flow.remoteAddress) ? incoming.respond(200, { headers: [ALLOW, ACCEPT] }) : incoming.drop();
    incoming.respond(403);
  }

  /** A method that was not declared for the gap before this peer: 405, and nothing of it is looked at. */
  #isUndeclared(incoming: IncomingRequest | IncomingInvite | IncomingSubscribe, peer: Peer): boolean {
    if (peer.kind === 'stranger' || mayUseMethod(this.#gapOf(peer), incoming.request.method)) return false;
    this.#deps.counters.add('gap.undeclared-method');
    incoming.respond(405, { headers: [ALLOW] });
    return true;
  }

  #gapOf(peer: Exclude<Peer, { readonly kind: 'stranger' }>): GapRules {
    return peer.kind === 'upstream' ? peer.link.config.gap : this.#deps.config().devices.gap;
  }

  /** Only the keepalive itself counts: 404, 403, or 200 when the registrar lets it revive its binding. */
  #claim(incoming: IncomingRequest, deviceId: string): void {
    const parsed = parseManscdp(decodeBody(incoming.request.body).text);
    if (parsed.ok && parsed.value.body.kind === 'keepalive') this.#deps.devices.keepalive(incoming, deviceId);
    else this.#stranger(incoming);
  }

  #message(incoming: IncomingRequest, peer: KnownPeer): void {
    const { request } = incoming;
    if (request.contentType !== undefined && request.contentType !== MANSCDP && !request.contentType.endsWith('xml')) return incoming.respond(415, { headers: [ACCEPT] });
    const override = peer.kind === 'device' ? this.#deps.devices.policy(peer.deviceId, incoming.flow.remoteAddress).charset : undefined;
    const { text, charset, replaced } = decodeBody(request.body, { override });
    if (replaced) this.#deps.counters.add('manscdp.charset-repaired');
    const parsed = parseManscdp(text);
    if (!parsed.ok) return this.#malformed(incoming, peer, parsed.error);
    const message = parsed.value;
    if (!mayUseCommand(this.#gapOf(peer), message.cmdType)) {
      this.#deps.counters.add('gap.undeclared-command');
      return incoming.respond(403);
    }
    if (message.repairs > 0) this.#deps.counters.add('manscdp.repaired', message.repairs);
    if (peer.kind === 'upstream') {
      incoming.respond(200);
      return this.#deps.upstreams.message(peer.link, message);
    }
    if (message.body.kind === 'keepalive') return this.#deps.devices.keepalive(incoming, peer.deviceId);
    if (message.root === 'Notify' && message.cmdType === 'Alarm') return this.#alarm(incoming, peer.deviceId, message);
    incoming.respond(200);
    if (this.#deps.relay.recordings.mediaStatus(message, { deviceId: peer.deviceId })) return;
    if (this.#deps.sessionNotices.notice(peer.deviceId, message)) return;
    if (this.#deps.voice.response(peer.deviceId, message)) return;
    if (this.#deps.positions.fromDevice(peer.deviceId, message)) return;
    if (!this.#deps.catalogs.response(peer.deviceId, message, charset) && !this.#deps.controls.response(peer.deviceId, message)) this.#deps.counters.add(`device.ignored.${message.known ? message.cmdType : 'unknown'}`);
  }

  /** DB33/T 629, from those who are said to speak it. */
  #ddcp(incoming: IncomingRequest, peer: KnownPeer): void {
    const { devices, counters } = this.#deps;
    if (peer.kind !== 'device' || devices.policy(peer.deviceId, incoming.flow.remoteAddress).protocol !== 'db33-629') return incoming.respond(405, { headers: [ALLOW] });
    const parsed = parseDdcp(decodeBody(incoming.request.body).text);
    counters.add(`ddcp.${parsed.ok ? parsed.value.kind : 'malformed'}`);
    if (!parsed.ok) return incoming.respond(400);
    if (parsed.value.kind === 'keepalive') return devices.keepalive(incoming, peer.deviceId);
    incoming.respond(501);
  }

  /** Kept before it is answered; refused when it could not be kept. */
  #alarm(incoming: IncomingRequest, deviceId: string, message: Manscdp): void {
    const { alarms, counters } = this.#deps;
    if (!alarms.hasRoom) {
      counters.add('alarm.no-room');
      return incoming.respond(503, { headers: [{ name: 'Retry-After', value: '10' }] });
    }
    alarms.fromDevice(deviceId, message);
    this.#deps.whenKept(() => {
      incoming.respond(200);
      alarms.acknowledge(deviceId, message);
    });
  }

  /** 400, and to a platform that asked also a Response with Result ERROR, so that its wait ends (fault 41). */
  #malformed(incoming: IncomingRequest, peer: KnownPeer, error: ManscdpError): void {
    this.#deps.counters.add('manscdp.malformed');
    this.#unreadable.count({ address: incoming.flow.remoteAddress, at: error.at, why: error.why });
    incoming.respond(400);
    const { root, cmdType, sn, deviceId } = error;
    if (peer.kind !== 'upstream' || (root !== 'Query' && root !== 'Control') || cmdType === undefined || sn === undefined) return;
    void peer.link.message(buildResult(cmdType, { sn, deviceId: deviceId ?? peer.link.config.localId }, 'ERROR'));
  }
}

/** A keepalive of somebody who does not know that we forgot it is answered 404, which makes it register (quirk 1). */
const isKeepalive = (request: SipRequest): boolean => request.method === 'MESSAGE' && bodyMentions(request, 'Keepalive');

/** What a peer platform sends in its lower role. */
const isDownstreamMessage = (request: SipRequest): boolean => request.method === 'MESSAGE' && (bodyMentions(request, '<Response') || bodyMentions(request, '<Notify'));

/** Looks for an ASCII word in the first octets: every charset that we read keeps ASCII. */
function bodyMentions({ body }: SipRequest, word: string): boolean {
  return String.fromCharCode(...body.subarray(0, 512)).includes(word);
}
