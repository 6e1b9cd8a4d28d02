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

  /** The gateway's 200 is nobody's subject here, and the peer may be closed before it comes. */
  #say(body: string): void {
    this.raw.request(this.parts('MESSAGE', LAB_ID, { body }));
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
