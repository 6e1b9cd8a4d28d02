/**
 * The gateway between two parties of another SIP stack, npm `sip`: one registers as a device, the other is the platform above.
 * That stack cannot talk to its own address, so the gateway is at 127.0.0.1 and they are elsewhere.
 */
import t from 'tap';
import sip, { type Message, type Stack } from 'sip';
import digest, { type Session } from 'sip/digest.js';
import { LAB_ID, LAB_PASSWORD, LabGateway, freePort } from '../../scripts/lab/gateway.ts';
import { REALM, item, offer, sdpLine, xml } from '../rig/gb-peer.ts';
import { SipText } from '../rig/sip-text.ts';
import { until } from '../rig/until.ts';

t.setTimeout(60_000);
const DEVICE = '34020000001180000001';
const CHANNEL = '34020000001320000001';
const PLATFORM = '34020000002000000099';
const LOCAL_ID = '34020000002000000002';
const PASSWORD = 'upper-secret';
type Transport = 'udp' | 'tcp';

/** One party: a stack, its name, and what it heard. */
class Party implements Disposable {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  readonly transport: Transport;
  readonly requests: Message[] = [];
  readonly stack: Stack;
  /** Its own failures: this stack swallows what handlers throw. */
  readonly errors: Error[] = [];
  onRequest: (request: Message) => void = request => this.answer(request, 200);
  #gatewayPort: number;
  #calls = 0;

  constructor(id: string, address: string, port: number, transport: Transport, gatewayPort: number) {
    this.id = id;
    this.address = address;
    this.port = port;
    this.transport = transport;
    this.#gatewayPort = gatewayPort;
    this.stack = sip.create({ address, port, udp: true, tcp: true, logger: { error: error => void this.errors.push(error) } }, request => {
      this.requests.push(request);
      if (request.method !== 'ACK') this.onRequest(request);
    });
  }

  answer(request: Message, status: number, more: Partial<Message> & { contact?: boolean } = {}): void {
    const response = sip.makeResponse(request, status, status === 200 ? 'OK' : 'Other');
    Object.assign(response.headers, more.headers, more.contact === true ? { contact: [{ uri: this.contact, params: {} }] } : {});
    this.stack.send(more.content === undefined ? response : { ...response, content: more.content });
  }

  get contact(): string {
    return `sip:${this.id}@${this.address}:${this.port}${this.transport === 'tcp' ? ';transport=tcp' : ''}`;
  }

  request(method: string, to: string, more: Partial<Message> & { type?: string; seq?: number; callId?: string; toTag?: string; target?: string } = {}): Message {
    this.#calls += 1;
    return {
      method,
      uri: more.target ?? `sip:${to}@127.0.0.1:${this.#gatewayPort}${this.transport === 'tcp' ? ';transport=tcp' : ''}`,
      headers: {
        from: { uri: `sip:${this.id}@${REALM}`, params: { tag: 'npm' } },
        to: { uri: `sip:${to}@${REALM}`, params: more.toTag === undefined ? {} : { tag: more.toTag } },
        'call-id': more.callId ?? `${this.id}-${this.#calls}`,
        cseq: { method, seq: more.seq ?? 1 },
        contact: [{ uri: this.contact, params: {} }],
        'max-forwards': 70,
        ...(more.content === undefined ? {} : { 'content-type': more.type ?? 'Application/MANSCDP+xml' }),
        ...more.headers,
      },
      ...(more.content === undefined ? {} : { content: more.content }),
    };
  }

  ask(message: Message): Promise<Message> {
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`${message.method} was not answered; ${this.errors.map(String).join(' ')}`)), 8000);
      this.stack.send(message, response => {
        if (response.status! < 200) return;
        clearTimeout(limit);
        resolve(response);
      });
    });
  }

  [Symbol.dispose](): void {
    this.stack.destroy();
  }
}

const elementOf = (message: Message, name: string): string => new RegExp(`<${name}>([^<]*)<`).exec(message.content ?? '')?.[1] ?? '';

async function story(t: Tap, deviceTransport: Transport, platformTransport: Transport): Promise<void> {
  const [sipPort, devicePort, platformPort] = [await freePort('127.0.0.1'), await freePort('127.0.0.2'), await freePort('127.0.0.3')];
  using device = new Party(DEVICE, '127.0.0.2', devicePort, deviceTransport, sipPort);
  using platform = new Party(PLATFORM, '127.0.0.3', platformPort, platformTransport, sipPort);
  const sessions = new Map<string, Session>();
  platform.onRequest = request => {
    if (request.method !== 'REGISTER') return platform.answer(request, 200);
    const callId = request.headers['call-id'];
    const session = sessions.get(callId) ?? { realm: REALM };
    sessions.set(callId, session);
    if (request.headers['authorization'] === undefined) return platform.stack.send(digest.challenge(session, sip.makeResponse(request, 401, 'Unauthorized')));
    const right = digest.authenticateRequest(session, request, { user: LOCAL_ID, password: PASSWORD });
    platform.answer(request, right ? 200 : 403, { headers: { ...sip.makeResponse(request, 200).headers, contact: request.headers.contact!, expires: 3600 } });
  };
  await using lab = await LabGateway.open({
    sipPort,
    config: {
      // Over TCP this stack dials from 127.0.0.1 whatever its own address is.
      devices: { known: [{ id: DEVICE, password: LAB_PASSWORD, contactElsewhere: true, mediaNetworks: ['127.0.0.2/32'] }], media: { lingerS: 0 } },
      upstreams: [{ name: 'up', id: PLATFORM, localId: LOCAL_ID, address: '127.0.0.3', networks: ['127.0.0.1/32'], port: platformPort, transport: platformTransport, password: PASSWORD, retryS: 1 }],
    },
  });
  await using rpc = await lab.rpc();

  await until('registered at the other stack', async () => (await rpc.call('listUpstreams', {}))[0]!.state === 'online');
  t.equal(platform.requests.filter(request => request.method === 'REGISTER').length, 2, 'its own digest accepts ours');

  device.onRequest = request => {
    if (request.method === 'INVITE') {
      const y = /^y=(\d{10})/m.exec(request.content ?? '')![1]!;
      const body = ['v=0', `o=${CHANNEL} 0 0 IN IP4 127.0.0.2`, 's=Play', 'c=IN IP4 127.0.0.2', 't=0 0', 'm=video 26000 RTP/AVP 96', 'a=sendonly', 'a=rtpmap:96 PS/90000', `y=${y}`, ''].join('\r\n');
      return device.answer(request, 200, { contact: true, content: body, headers: { ...sip.makeResponse(request, 200).headers, 'content-type': 'APPLICATION/SDP' } });
    }
    device.answer(request, 200);
    const sn = elementOf(request, 'SN');
    const preset = '<SumNum>1</SumNum><PresetList Num="1"><Item><PresetID>5</PresetID><PresetName>gate</PresetName></Item></PresetList>';
    if (elementOf(request, 'CmdType') === 'PresetQuery') void device.ask(device.request('MESSAGE', LAB_ID, { content: xml('Response', 'PresetQuery', sn, CHANNEL, preset) }));
    if (elementOf(request, 'CmdType') !== 'Catalog') return;
    void device.ask(device.request('MESSAGE', LAB_ID, { content: xml('Response', 'Catalog', sn, DEVICE, `<SumNum>1</SumNum><DeviceList Num="1">${item(CHANNEL)}</DeviceList>`) }));
  };
  const first = device.request('REGISTER', DEVICE, { target: `sip:${LAB_ID}@127.0.0.1:${sipPort}${deviceTransport === 'tcp' ? ';transport=tcp' : ''}`, callId: 'registration', headers: { expires: 3600 } as unknown as Message['headers'] });
  const challenged = await device.ask(first);
  t.equal(challenged.status, 401);
  const second = { ...first, headers: { ...first.headers, cseq: { method: 'REGISTER', seq: 2 } } };
  delete second.headers.via;
  digest.signRequest({}, second, challenged, { user: DEVICE, password: LAB_PASSWORD, realm: REALM });
  const registered = await device.ask(second);
  t.equal(registered.status, 200, 'our digest accepts its own');
  t.match(String(registered.headers['expires']), '3600');
  t.equal((await device.ask(device.request('MESSAGE', LAB_ID, { content: xml('Notify', 'Keepalive', 1, DEVICE, '<Status>OK</Status>') }))).status, 200);
  await until('its channel', async () => (await rpc.call('listChannels', {})).total === 1);

  t.equal((await platform.ask(platform.request('MESSAGE', LOCAL_ID, { content: xml('Query', 'Catalog', 99, LOCAL_ID) }))).status, 200);
  const page = await until('the catalogue', () => platform.requests.find(request => request.method === 'MESSAGE' && request.content?.includes(CHANNEL)));
  t.equal(elementOf(page, 'SN'), '99');
  t.equal((await platform.ask(platform.request('OPTIONS', LOCAL_ID))).status, 200);

  t.equal((await platform.ask(platform.request('MESSAGE', CHANNEL, { content: xml('Control', 'DeviceControl', 100, CHANNEL, '<PTZCmd>A50F0102400000F7</PTZCmd>') }))).status, 200);
  const moved = await until('the camera moves', () => device.requests.find(request => elementOf(request, 'PTZCmd') !== ''));
  t.same(['PTZCmd', 'DeviceID'].map(name => elementOf(moved, name)), ['A50F0102400000F7', CHANNEL]);
  t.equal((await platform.ask(platform.request('MESSAGE', CHANNEL, { content: xml('Query', 'PresetQuery', 101, CHANNEL) }))).status, 200);
  const presets = await until('the presets', () => platform.requests.find(request => request.content?.includes('<PresetID>5</PresetID>')));
  t.same(['SN', 'DeviceID', 'PresetName'].map(name => elementOf(presets, name)), ['101', CHANNEL, 'gate']);

  const invite = platform.request('INVITE', CHANNEL, { type: 'APPLICATION/SDP', content: offer({ address: '127.0.0.3', y: '0100000099' }), callId: 'call' });
  const answer = await platform.ask(invite);
  t.equal(answer.status, 200);
  t.equal(sdpLine(new SipText(Buffer.from(`x\r\n\r\n${answer.content ?? ''}`), { address: '', port: 0 }), 'y'), '0100000099');
  const inside = { toTag: answer.headers.to.params['tag']!, callId: 'call', target: answer.headers.contact![0]!.uri };
  platform.stack.send(platform.request('ACK', CHANNEL, { ...inside, seq: 1 }));
  await until('the camera got its ACK', () => device.requests.some(request => request.method === 'ACK'));
  t.equal((await rpc.call('listSessions', {})).length, 1);
  t.equal((await platform.ask(platform.request('INFO', CHANNEL, { ...inside, seq: 2 }))).status, 200);
  t.equal((await platform.ask(platform.request('BYE', CHANNEL, { ...inside, seq: 3 }))).status, 200);
  await until('the camera got its BYE', () => device.requests.some(request => request.method === 'BYE'));
  t.same(await rpc.call('listSessions', {}), []);

  const refused = platform.request('INVITE', '34020000001320009999', { type: 'APPLICATION/SDP', content: offer({ address: '127.0.0.3' }) });
  t.equal((await platform.ask(refused)).status, 404);
  t.same([...device.errors, ...platform.errors], [], 'neither stack complained');
  t.equal((await rpc.call('counters', {}))['sip.malformed'] ?? 0, 0);
}

type Tap = Pick<typeof t, 'equal' | 'match' | 'same'>;

for (const [below, above] of [['udp', 'tcp'], ['tcp', 'udp']] as const) await t.test(`device over ${below}, platform over ${above}`, t => story(t, below, above));
