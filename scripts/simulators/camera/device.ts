/** One simulated device: registered, asked, invited. Many of them share one endpoint. */
import { type AlarmNotice, buildAlarm } from '#core/gb/alarm.ts';
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { MANSCDP_TYPE } from '#core/gb/manscdp-write.ts';
import type { Charset } from '#core/gb/dialect.ts';
import { userOf } from '#core/sip/message.ts';
import { decodeBody } from '#kit/charset.ts';
import type { IncomingInvite, IncomingRequest, IncomingSubscribe, Outcome, SipEndpoint, Target } from '#kit/sip-endpoint.ts';
import { pause, recordOf, uriOf } from '../common/names.ts';
import { encodeXml } from './charsets.ts';
import { type Channel, type DeviceFacts, catalogPages, controlResult, deviceInfo, deviceStatus } from './catalogue.ts';
import { Registration, type RegistrationOptions, describeOutcome } from './registration.ts';
import { FrontEnd } from './front-end.ts';
import { Loudspeaker } from './loudspeaker.ts';
import { CameraSession, type SessionHost } from './session.ts';
import { type CatalogNotice, CameraSubscriptions } from './subscriptions.ts';

export interface DeviceOptions extends RegistrationOptions {
  readonly facts: DeviceFacts;
  readonly channels: readonly Channel[];
  readonly charset: Charset;
  readonly itemsPerMessage: number;
  readonly catalogPauseMs: number;
  /** CmdTypes that can be subscribed. */
  readonly topics: readonly string[];
}

export interface SentAlarm {
  /** Default: the first channel. */
  readonly source?: string;
  /** Default: the next one. */
  readonly sn?: number;
  /** NOTIFY in the subscription in place of MESSAGE. */
  readonly byNotify?: boolean;
  readonly alarm: AlarmNotice;
}

const LATE_FIRST_PART_MS = 5000;

export class CameraDevice {
  readonly options: DeviceOptions;
  readonly registration: Registration;
  readonly sessions = new Set<CameraSession>();
  readonly counters = { queries: 0, controls: 0, keyFrameRequests: 0, catalogMessages: 0, invites: 0, unknownChannel: 0 };
  /** The controls that came, newest last, at most 64. */
  readonly controls: { readonly channelId: string; readonly command: string; readonly value: string }[] = [];
  readonly frontEnd = new FrontEnd();
  readonly loudspeaker: Loudspeaker;
  /** Messages in place of its own answer to a query or control; undefined: its own. */
  onCommand: ((message: Manscdp) => readonly string[] | undefined) | undefined;
  readonly subscriptions: CameraSubscriptions;
  /** Responses to our alarms. */
  readonly alarmResponses: Manscdp[] = [];
  readonly #endpoint: SipEndpoint;
  readonly #target: Target;
  readonly #host: Omit<SessionHost, 'send'>;
  readonly #channels: Map<string, Channel>;
  #sn = 0;

  constructor(options: DeviceOptions, endpoint: SipEndpoint, target: Target, host: Omit<SessionHost, 'send'>) {
    this.options = options;
    this.#endpoint = endpoint;
    this.#target = target;
    this.#host = host;
    this.#channels = new Map(options.channels.map(channel => [channel.id, channel]));
    this.subscriptions = new CameraSubscriptions(xml => this.#encode(xml));
    const { ambience, report, mediaAddress } = host;
    this.loudspeaker = new Loudspeaker({ endpoint, target, clock: ambience.clock, deviceId: options.deviceId, domain: options.domain, mediaAddress, send: xml => this.#request(xml) });
    this.registration = new Registration(options, { endpoint, target, ambience, report, encode: xml => this.#encode(xml), nextSn: () => (this.#sn += 1) });
  }

  get id(): string {
    return this.options.deviceId;
  }

  get channels(): readonly Channel[] {
    return this.options.channels;
  }

  /** Changes what the next catalogue says. */
  setChannels(channels: readonly Channel[]): void {
    this.#channels.clear();
    for (const channel of channels) this.#channels.set(channel.id, channel);
  }

  onSubscribe(incoming: IncomingSubscribe): void {
    this.subscriptions.onSubscribe(incoming, this.options.topics);
  }

  /** Status of the answer; undefined when none came. */
  async sendAlarm({ source, sn, byNotify = false, alarm }: SentAlarm): Promise<number | undefined> {
    const xml = buildAlarm({ sn: sn ?? (this.#sn += 1), deviceId: source ?? this.channels[0]?.id ?? this.id }, alarm);
    if (byNotify) return this.subscriptions.notify('Alarm', xml);
    const outcome = await this.#request(xml);
    return outcome.type === 'response' ? outcome.response.status : undefined;
  }

  /** A MESSAGE as it is; status of the answer, undefined when none came. */
  async send(xml: string): Promise<number | undefined> {
    const outcome = await this.#request(xml);
    return outcome.type === 'response' ? outcome.response.status : undefined;
  }

  notifyCatalog(notice: CatalogNotice): Promise<number | undefined> {
    return this.subscriptions.notifyCatalog({ sn: (this.#sn += 1), deviceId: this.id }, notice);
  }

  onRequest(incoming: IncomingRequest): void {
    if (incoming.request.method !== 'MESSAGE') return incoming.respond(incoming.request.method === 'OPTIONS' ? 200 : 405);
    incoming.respond(200);
    const message = parseManscdp(decodeBody(incoming.request.body).text);
    if (message.ok) void this.#onMessage(message.value);
  }

  /** The channel is the Request-URI's user; some platforms put the device there and the channel into To. */
  onInvite(invite: IncomingInvite): void {
    this.counters.invites += 1;
    const channel = this.#channels.get(userOf({ uri: invite.request.uri })) ?? this.#channels.get(userOf(invite.request.to));
    if (channel === undefined) {
      this.counters.unknownChannel += 1;
      return invite.respond(404);
    }
    if (this.loudspeaker.onInvite(invite)) return;
    const session = new CameraSession(invite, channel, { ...this.#host, send: xml => this.#request(xml) }, () => this.sessions.delete(session));
    this.sessions.add(session);
    session.answer().catch((error: unknown) => {
      this.#host.report('failed', { channel: channel.id, why: String(error) });
      void session.stop();
    });
  }

  async #onMessage(message: Manscdp): Promise<void> {
    if (message.root === 'Query') this.counters.queries += 1;
    if (this.loudspeaker.onMessage(message)) return;
    const answers = this.onCommand?.(message) ?? this.frontEnd.answers(message);
    if (answers !== undefined) return this.#sendAll(answers);
    switch (`${message.root} ${message.cmdType}`) {
      case 'Query Catalog':
        return this.#sendCatalog(message.sn);
      case 'Query DeviceInfo':
        return void (await this.#send(deviceInfo(this.options.facts, message.sn, this.#channels.size)));
      case 'Query DeviceStatus':
        return void (await this.#send(deviceStatus(message.deviceId, message.sn, this.#host.ambience.clock.wall())));
      case 'Response Alarm':
        return void this.alarmResponses.push(message);
      case 'Control DeviceControl':
        return this.#onControl(message);
    }
  }

  async #sendAll(answers: readonly string[]): Promise<void> {
    for (const answer of answers) if (!(await this.#send(answer))) return;
  }

  async #onControl(message: Manscdp): Promise<void> {
    this.counters.controls += 1;
    this.frontEnd.control(message);
    const command = message.element.children.find(child => !['cmdtype', 'sn', 'deviceid', 'info'].includes(child.key));
    if (command === undefined) return;
    if (this.controls.push({ channelId: message.deviceId, command: command.name, value: command.text }) > 64) this.controls.shift();
    if (command.key === 'ifamecmd' || command.key === 'iframecmd') {
      this.counters.keyFrameRequests += 1;
      for (const session of this.sessions) if (session.channel.id === message.deviceId) session.requestKeyFrame();
    }
    if (ANSWERED_CONTROLS.has(command.key)) await this.#send(controlResult(message.cmdType, message.deviceId, message.sn));
  }

  /** Each part leaves when the one before was answered. */
  async #sendCatalog(sn: number): Promise<void> {
    const { facts, itemsPerMessage, catalogPauseMs, quirks } = this.options;
    const { clock } = this.#host.ambience;
    if (quirks.has('no-catalogue')) return;
    if (quirks.has('late-first-part')) await pause(clock, LATE_FIRST_PART_MS);
    const pages = catalogPages(facts, [...this.#channels.values()], sn, itemsPerMessage, quirks);
    for (const [index, page] of pages.entries()) {
      if (index > 0 && catalogPauseMs > 0) await pause(clock, catalogPauseMs);
      this.counters.catalogMessages += 1;
      if (!(await this.#send(page))) return;
    }
    this.#host.report('catalogue-sent', { device: this.id, channels: this.#channels.size, messages: pages.length });
  }

  /** False when it was not answered 200. */
  async #send(xml: string): Promise<boolean> {
    const outcome = await this.#request(xml);
    const answered = outcome.type === 'response' && outcome.response.status === 200;
    if (!answered) this.#host.report('message-failed', { device: this.id, why: describeOutcome(outcome) });
    return answered;
  }

  #request(xml: string): Promise<Outcome> {
    const { deviceId, domain, platformId, platformDomain } = this.options;
    return this.#endpoint.request(
      { method: 'MESSAGE', uri: uriOf(platformId, platformDomain), from: recordOf(deviceId, domain), to: recordOf(platformId, platformDomain), contentType: MANSCDP_TYPE, body: this.#encode(xml) },
      this.#target,
    );
  }

  #encode(xml: string): Uint8Array {
    return encodeXml(xml, this.options.charset, this.options.quirks);
  }

  /** Nothing more is sent, and nobody is told. */
  async vanish(): Promise<void> {
    await Promise.all([...this.sessions].map(session => session.vanish()));
    await this.registration.stop(false);
  }

  /** Ends the sessions with BYE, then the registration. */
  async stop(unregister: boolean): Promise<void> {
    await Promise.all([...this.sessions].map(session => session.stop()));
    await this.loudspeaker[Symbol.asyncDispose]();
    await this.registration.stop(unregister);
  }
}

/** gb28181.md 3.1: these want a Response. */
const ANSWERED_CONTROLS: ReadonlySet<string> = new Set(['recordcmd', 'guardcmd', 'alarmcmd', 'homeposition', 'deviceupgrade']);
