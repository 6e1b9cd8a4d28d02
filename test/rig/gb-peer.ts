/** GB/T 28181 parties on bare sockets: a device and a platform that say exactly what a test wants, and otherwise behave. */
import { LAB_ID, LAB_PASSWORD, type LabGateway } from '../../scripts/lab/gateway.ts';
import { type AnswerParts, type Place, type RequestParts, type SipText, authorization, param, token } from './sip-text.ts';
import { RawPeer, type Transport } from './raw-peer.ts';

export const REALM = LAB_ID.slice(0, 10);

export interface GbPeerOptions {
  readonly id: string;
  readonly transport?: Transport;
  /** Our own address. */
  readonly address?: string;
  readonly port?: number;
  /** TCP: wait for the gateway's connection in place of dialling. */
  readonly listens?: boolean;
}

export interface RegisterOptions {
  readonly id?: string;
  readonly to?: string;
  readonly password?: string;
  readonly username?: string;
  /** Value of Expires; null: none. */
  readonly expires?: string | null;
  /** Value of Contact; null: none. */
  readonly contact?: string | null;
  readonly callId?: string;
  readonly headers?: readonly string[];
  /** Digest without qop. */
  readonly plain?: boolean;
}

/** What both kinds have. */
export class GbPeer implements AsyncDisposable {
  readonly raw: RawPeer;
  readonly id: string;
  readonly gateway: Place;
  /** Of its registration. */
  readonly callId = token();
  #seq = 0;

  constructor(raw: RawPeer, id: string, gateway: Place) {
    this.raw = raw;
    this.id = id;
    this.gateway = gateway;
  }

  static async rawFor(lab: LabGateway, { transport = 'UDP', address, port, listens = false }: GbPeerOptions): Promise<RawPeer> {
    const gateway = { address: lab.address, port: lab.sipPort };
    if (transport === 'UDP') return RawPeer.udp(gateway, address, port);
    return listens ? RawPeer.tcpListener(gateway, address, port) : RawPeer.tcp(gateway, address);
  }

  get seq(): number {
    return (this.#seq += 1);
  }

  /** A request of ours to `toId` at the gateway, with what a test wants to have otherwise. */
  parts(method: string, toId: string, over: Partial<RequestParts> = {}): RequestParts {
    return { method, uri: `sip:${toId}@${REALM}`, from: `<sip:${this.id}@${REALM}>;tag=${token()}`, to: `<sip:${toId}@${REALM}>`, seq: this.seq, ...over };
  }

  ask(method: string, toId: string, over: Partial<RequestParts> = {}): Promise<SipText> {
    return this.raw.ask(this.parts(method, toId, over));
  }

  /** Status of the answer to a MESSAGE with this body. */
  async message(body: string | Buffer, over: Partial<RequestParts> = {}, toId = LAB_ID): Promise<number> {
    return (await this.ask('MESSAGE', toId, { body, ...over })).status!;
  }

  keepalive(over: Partial<RequestParts> = {}): Promise<number> {
    return this.message(xml('Notify', 'Keepalive', this.#seq + 1, this.id, '<Status>OK</Status>'), over);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.raw[Symbol.asyncDispose]();
  }
}

export class GbDevice extends GbPeer {
  /** Its catalogue, each an Item element; undefined: queries get 200 and no Response. */
  items: readonly string[] | undefined = [];
  /** What it answers INVITEs; default: nothing, the test does. */
  onInvite: ((invite: SipText) => void) | undefined;

  static async open(lab: LabGateway, options: GbPeerOptions): Promise<GbDevice> {
    const device = new GbDevice(await GbPeer.rawFor(lab, options), options.id, { address: lab.address, port: lab.sipPort });
    device.raw.onRequest = request => device.#onRequest(request);
    return device;
  }

  /** Registers, answering the challenge; the last answer. */
  async register(options: RegisterOptions = {}): Promise<SipText> {
    const first = await this.registerOnce(options);
    if (first.status !== 401) return first;
    return this.registerOnce(options, this.credentials(first, options));
  }

  credentials(challenge: SipText, { id = this.id, username = id, password = LAB_PASSWORD, plain = false }: RegisterOptions = {}): string {
    const field = challenge.headers('WWW-Authenticate').find(value => !/SHA-256/i.test(value)) ?? '';
    return authorization(field, { username, password, method: 'REGISTER', uri: `sip:${LAB_ID}@${REALM}`, plain });
  }

  registerOnce(options: RegisterOptions = {}, credentials?: string): Promise<SipText> {
    return this.raw.ask(this.registerParts(options, credentials));
  }

  registerParts({ id = this.id, to = id, expires = '3600', contact, callId = this.callId, headers = [] }: RegisterOptions = {}, credentials?: string): RequestParts {
    return {
      method: 'REGISTER', uri: `sip:${LAB_ID}@${REALM}`, from: `<sip:${id}@${REALM}>;tag=${token()}`, to: `<sip:${to}@${REALM}>`, callId, seq: this.seq,
      ...(contact === null ? {} : { contact: contact ?? this.raw.contact(id) }),
      headers: [...(expires === null ? [] : [`Expires: ${expires}`]), ...(credentials === undefined ? [] : [`Authorization: ${credentials}`]), ...headers],
    };
  }

  /** One part of a catalogue answer. */
  page(sn: string | number, sumNum: number | string, items: readonly string[]): string {
    return xml('Response', 'Catalog', sn, this.id, `<SumNum>${sumNum}</SumNum><DeviceList Num="${items.length}">${items.join('')}</DeviceList>`);
  }

  /** The gateway's 200 is nobody's subject here, and the peer may be closed before it comes. Characters are octets: tests write GB2312 as escapes. */
  #say(body: string): void {
    this.raw.request(this.parts('MESSAGE', LAB_ID, { body: Buffer.from(body, 'latin1') }));
  }

  #onRequest(request: SipText): boolean {
    if (request.method === 'INVITE' && this.onInvite !== undefined) {
      this.onInvite(request);
      return true;
    }
    if (request.method !== 'MESSAGE') return false;
    this.raw.answer(request, 200);
    if (this.items === undefined) return false;
    const sn = request.xml('SN');
    const command = request.xml('CmdType');
    if (command === 'DeviceInfo') this.#say(xml('Response', 'DeviceInfo', sn, this.id, '<Result>OK</Result><DeviceName>raw</DeviceName><Manufacturer>Stranger</Manufacturer><Model>M</Model><Firmware>1</Firmware><Channel>1</Channel>'));
    else if (command === 'Catalog') this.#say(this.page(sn, this.items.length, this.items));
    return command === 'DeviceInfo' || command === 'Catalog';
  }
}

export interface PlatformPolicy {
  /** Undefined: no challenge. */
  readonly password?: string;
  readonly realm?: string;
  /** In place of 200 to an accepted REGISTER; undefined: 200. */
  onRegister?(request: SipText): { readonly status: number; readonly parts?: AnswerParts } | 'drop' | undefined;
  /** Status for a keepalive; `drop`: none. */
  onKeepalive?(request: SipText): number | 'drop';
}

export class GbPlatform extends GbPeer {
  readonly registers: SipText[] = [];
  readonly keepalives: SipText[] = [];
  policy: PlatformPolicy;

  private constructor(raw: RawPeer, id: string, gateway: Place, policy: PlatformPolicy) {
    super(raw, id, gateway);
    this.policy = policy;
    raw.onRequest = request => this.#onRequest(request);
  }

  /** Opened before the gateway, whose configuration names its port: the gateway's own place is chosen beforehand. */
  static async open(options: GbPeerOptions, gateway: Place, policy: PlatformPolicy = {}): Promise<GbPlatform> {
    const { transport = 'UDP', address, port } = options;
    const raw = transport === 'UDP' ? await RawPeer.udp(gateway, address, port) : await RawPeer.tcpListener(gateway, address, port);
    return new GbPlatform(raw, options.id, gateway, policy);
  }

  #onRequest(request: SipText): boolean {
    if (request.method === 'REGISTER') {
      this.registers.push(request);
      this.#onRegister(request);
      return true;
    }
    if (request.method !== 'MESSAGE') return false;
    if (request.xml('CmdType') === 'Keepalive') {
      this.keepalives.push(request);
      const status = this.policy.onKeepalive?.(request) ?? 200;
      if (status !== 'drop') this.raw.answer(request, status);
      return true;
    }
    this.raw.answer(request, 200);
    return false;
  }

  #onRegister(request: SipText): void {
    const { password, realm = this.id.slice(0, 10) } = this.policy;
    const field = request.header('Authorization');
    if (password !== undefined && !isRight(field, password)) {
      return this.raw.answer(request, 401, { headers: [`WWW-Authenticate: Digest realm="${realm}",nonce="${token()}",algorithm=MD5,qop="auth"`] });
    }
    const verdict = this.policy.onRegister?.(request);
    if (verdict === 'drop') return;
    if (verdict !== undefined) return this.raw.answer(request, verdict.status, verdict.parts);
    this.raw.answer(request, 200, { contact: request.header('Contact'), headers: [`Expires: ${request.header('Expires')}`] });
  }
}

/** Whether these credentials fit the password; computed anew from their own parameters. */
export function isRight(field: string, password: string): boolean {
  if (field === '') return false;
  const challenge = `Digest realm="${param(field, 'realm')}",nonce="${param(field, 'nonce')}"`;
  const given = { username: param(field, 'username'), password, method: 'REGISTER', uri: param(field, 'uri'), nc: parseInt(param(field, 'nc') || '1', 16), plain: param(field, 'qop') === '', cnonce: param(field, 'cnonce') };
  return param(authorization(challenge, given), 'response') === param(field, 'response');
}

export const xml = (root: string, cmdType: string, sn: number | string, deviceId: string, content = ''): string =>
  `<?xml version="1.0" encoding="GB2312"?>\r\n<${root}>\r\n<CmdType>${cmdType}</CmdType>\r\n<SN>${sn}</SN>\r\n<DeviceID>${deviceId}</DeviceID>\r\n${content}\r\n</${root}>\r\n`;

export const item = (id: string, name = `camera ${id.slice(-3)}`, parent = ''): string =>
  `<Item><DeviceID>${id}</DeviceID><Name>${name}</Name><Manufacturer>M</Manufacturer><Model>IPC</Model><Owner>O</Owner><CivilCode>340200</CivilCode><Address>A</Address><Parental>0</Parental>` +
  `${parent === '' ? '' : `<ParentID>${parent}</ParentID>`}<SafetyWay>0</SafetyWay><RegisterWay>1</RegisterWay><Secrecy>0</Secrecy><Status>ON</Status></Item>`;

export interface OfferParts {
  readonly address?: string;
  readonly port?: number | string;
  readonly session?: string;
  readonly protocol?: string;
  readonly payload?: string;
  readonly attributes?: readonly string[];
  readonly time?: string;
  /** Value of y=; null: none. */
  readonly y?: string | null;
  /** Lines behind everything. */
  readonly tail?: readonly string[];
  readonly end?: string;
}

/** The SDP of a platform that wants to see something, with every part open to be wrong. */
export function offer({ address = '127.0.0.1', port = 40_000, session = 'Play', protocol = 'RTP/AVP', payload = '96', attributes = ['rtpmap:96 PS/90000'], time = '0 0', y = '0100009001', tail = [], end = '\r\n' }: OfferParts = {}): string {
  const lines = [
    'v=0', `o=34020000002000000099 0 0 IN IP4 ${address}`, `s=${session}`, `c=IN IP4 ${address}`, `t=${time}`, `m=video ${port} ${protocol} ${payload}`, 'a=recvonly',
    ...attributes.map(attribute => `a=${attribute}`), ...(y === null ? [] : [`y=${y}`]), ...tail,
  ];
  return `${lines.join(end)}${end}`;
}

/** The SDP of a camera that answers an INVITE of the gateway, with the SSRC that it was given. */
export const cameraAnswer = (invite: SipText, place: Place, channelId: string): string =>
  ['v=0', `o=${channelId} 0 0 IN IP4 ${place.address}`, 's=Play', `c=IN IP4 ${place.address}`, 't=0 0', `m=video ${place.port} RTP/AVP 96`, 'a=sendonly', 'a=rtpmap:96 PS/90000', `y=${sdpLine(invite, 'y')}`, ''].join('\r\n');

/** Value of the first line of that letter in an SDP body. */
export const sdpLine = (message: SipText, letter: string): string => new RegExp(`^${letter}=(.*?)\\r?$`, 'm').exec(message.body.toString())?.[1] ?? '';

/** An INVITE of a party and what came of it. */
export class Call {
  readonly peer: GbPeer;
  readonly parts: RequestParts;
  /** Set by `final`. */
  answer: SipText | undefined;

  constructor(peer: GbPeer, channelId: string, body: string | Buffer, over: Partial<RequestParts> = {}) {
    this.peer = peer;
    this.parts = { ...peer.parts('INVITE', channelId, { contentType: 'APPLICATION/SDP', body, contact: peer.raw.contact(peer.id), callId: token(), branch: `z9hG4bK${token()}`, ...over }) };
    peer.raw.request(this.parts);
  }

  /** The final answer. */
  async final(limitMs?: number): Promise<SipText> {
    return (this.answer = await this.peer.raw.final(this.parts.callId!, this.parts.seq!, 'INVITE', limitMs));
  }

  /** What a request in this dialog looks like. */
  inside(method: string, over: Partial<RequestParts> = {}): RequestParts {
    const answer = this.answer!;
    const target = /<([^>]*)>/.exec(answer.header('Contact'))?.[1] ?? this.parts.uri;
    return { method, uri: target, from: this.parts.from, to: answer.header('To'), callId: this.parts.callId!, seq: this.parts.seq! + 1, ...over };
  }

  ack(over: Partial<RequestParts> = {}): void {
    this.peer.raw.request(this.inside('ACK', { seq: this.parts.seq!, ...over }));
  }

  bye(over: Partial<RequestParts> = {}): Promise<SipText> {
    return this.peer.raw.ask(this.inside('BYE', over));
  }

  /** CANCEL repeats what names the INVITE; the answer to the CANCEL itself. */
  cancel(over: Partial<RequestParts> = {}): Promise<SipText> {
    const { contact: _contact, body: _body, contentType: _type, ...rest } = this.parts;
    return this.peer.raw.ask({ ...rest, method: 'CANCEL', ...over });
  }
}
