/** Load: many cameras on one UDP socket, each with its state in one small object. */
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { buildDeviceInfoResponse, buildKeepalive, buildManscdp } from '#core/gb/manscdp-write.ts';
import { toByteString } from '#core/bytes.ts';
import { encodeBody } from '#kit/charset.ts';
import { catalogPages, channelsOf } from '../../simulators/camera/catalogue.ts';
import { NO_QUIRKS } from '../../simulators/camera/quirks.ts';
import { bindEvenUdp } from '../../simulators/common/even-port.ts';
import { answer, elementOf, headerOf, md5, message, methodOf, requestUser, statusOf } from './sip-text.ts';

export interface CamerasOptions {
  readonly gateway: { readonly id: string; readonly address: string; readonly port: number };
  readonly password: string;
  readonly address: string;
  readonly count: number;
  /** Of each camera, in its catalogue. */
  readonly channels: number;
  /** Packets a second of every call that runs; default: one packet in all. */
  readonly mediaPerS?: number;
}

/** Latencies are of REGISTER to the final 200. */
export interface RegisterResult {
  readonly registrations: number;
  readonly requests: number;
  readonly refused: number;
  readonly resent: number;
  readonly seconds: number;
  readonly latenciesMs: readonly number[];
}

export interface KeepaliveResult {
  readonly sent: number;
  readonly answered: number;
  readonly seconds: number;
}

interface Camera {
  readonly id: string;
  readonly ha1: string;
  readonly serial: number;
  cseq: number;
  startedAt: number;
  /** What went out last; undefined when nothing is awaited. */
  awaited: { readonly text: string; at: number } | undefined;
}

/** A camera's INVITE between its arrival and the 200 that left. */
export interface CameraAnswer {
  readonly arrivedAt: number;
  readonly answeredAt: number;
}

const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;
const ITEMS_PER_MESSAGE = 20;
const RESEND_AFTER_MS = 1000;
const EXPIRES_S = 3600;
const TICK_MS = 5;
const MEDIA_PACKET_BYTES = 1000;
const RTP_HEADER_BYTES = 12;
/** Version 2, marker, payload type 96. */
const RTP_PS = 0x80e0;
/** What a program stream begins with (ISO/IEC 13818-1 2.5.3.3). */
const PACK_HEADER = Uint8Array.of(0, 0, 1, 0xba, 0x44, 0, 4, 0, 4, 1, 0, 0, 3, 0xf8);
/** For the answers to the last keepalives. */
const LAST_ANSWERS_S = 1;

interface Offer {
  readonly port: number;
  readonly ssrc: number;
}

export class Cameras {
  readonly #options: CamerasOptions;
  readonly #socket: Socket;
  readonly #port: number;
  readonly #media: Socket;
  readonly #domain: string;
  readonly #ha2: string;
  readonly #cameras: Camera[];
  readonly #byId = new Map<string, Camera>();
  #channels: number;
  #branch = 0;
  #run: { next: number; left: number; requests: number; refused: number; resent: number; readonly latenciesMs: number[]; readonly done: () => void } | undefined;
  /** Sent in all: each round goes on with the camera after the last one. */
  #keepalives = 0;
  #keepalivesAnswered = 0;
  /** By channel ID; taken out by who asked for it. */
  readonly answers = new Map<string, CameraAnswer>();
  /** Where media of a call goes, until it is acknowledged. */
  readonly #offers = new Map<string, Offer>();
  /** Calls that run, by Call-ID. */
  readonly #calls = new Map<string, Offer>();

  private constructor(options: CamerasOptions, socket: Socket, media: Socket) {
    this.#options = options;
    this.#socket = socket;
    this.#media = media;
    this.#port = socket.address().port;
    this.#domain = options.gateway.id.slice(0, 10);
    this.#channels = options.channels;
    this.#ha2 = md5(`REGISTER:sip:${options.gateway.id}@${this.#domain}`);
    this.#cameras = Array.from({ length: options.count }, (_, serial) => this.#camera(serial));
    for (const camera of this.#cameras) this.#byId.set(camera.id, camera);
    socket.on('message', bytes => this.#receive(bytes.toString('latin1')));
    if (options.mediaPerS !== undefined) this.#startMedia(options.mediaPerS);
  }

  static async open(options: CamerasOptions): Promise<Cameras> {
    const socket = createSocket('udp4').bind(0, options.address);
    await once(socket, 'listening');
    socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
    return new Cameras(options, socket, await bindEvenUdp(options.address));
  }

  #camera(serial: number): Camera {
    const id = `${this.#domain}118${String(serial + 1).padStart(7, '0')}`;
    return { id, ha1: md5(`${id}:${this.#domain}:${this.#options.password}`), serial, cseq: 0, startedAt: 0, awaited: undefined };
  }

  /** What the next Catalog queries are answered with. */
  setChannels(channels: number): void {
    this.#channels = channels;
  }

  /** Every camera registers once: the first time anew, later as a refresh. `concurrency` of them are on their way at any moment. */
  async register(concurrency: number): Promise<RegisterResult> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const latenciesMs: number[] = [];
    this.#run = { next: 0, left: this.#cameras.length, requests: 0, refused: 0, resent: 0, latenciesMs, done: resolve };
    const run = this.#run;
    const startedAt = performance.now();
    for (let i = 0; i < concurrency; i++) this.#registerNext();
    const sweeper = setInterval(() => this.#resendLost(), RESEND_AFTER_MS / 4);
    await promise;
    clearInterval(sweeper);
    this.#run = undefined;
    const seconds = (performance.now() - startedAt) / 1000;
    return { registrations: latenciesMs.length, requests: run.requests, refused: run.refused, resent: run.resent, seconds, latenciesMs };
  }

  #registerNext(): void {
    const run = this.#run;
    const camera = run && this.#cameras[run.next++];
    if (camera === undefined) return;
    camera.startedAt = performance.now();
    this.#register(camera, undefined);
  }

  #register(camera: Camera, nonce: string | undefined): void {
    const { gateway } = this.#options;
    const uri = `sip:${gateway.id}@${this.#domain}`;
    const text = message([
      `REGISTER ${uri} SIP/2.0`,
      this.#via(),
      `From: <sip:${camera.id}@${this.#domain}>;tag=c${camera.serial}`,
      `To: <sip:${camera.id}@${this.#domain}>`,
      `Call-ID: r${camera.serial}@${this.#options.address}`,
      `CSeq: ${++camera.cseq} REGISTER`,
      `Contact: <sip:${camera.id}@${this.#options.address}:${this.#port}>`,
      'Max-Forwards: 70',
      'User-Agent: IP Camera',
      `Expires: ${EXPIRES_S}`,
      ...(nonce === undefined ? [] : [this.#authorization(camera, uri, nonce)]),
    ]);
    camera.awaited = { text, at: performance.now() };
    this.#run!.requests++;
    this.#send(text);
  }

  #authorization({ id, ha1, serial }: Camera, uri: string, nonce: string): string {
    const cnonce = `c${serial}`;
    const response = md5(`${ha1}:${nonce}:00000001:${cnonce}:auth:${this.#ha2}`);
    return `Authorization: Digest username="${id}", realm="${this.#domain}", nonce="${nonce}", uri="${uri}", response="${response}", algorithm=MD5, cnonce="${cnonce}", qop=auth, nc=00000001`;
  }

  #resendLost(): void {
    const now = performance.now();
    for (const { awaited } of this.#cameras) {
      if (awaited === undefined || now - awaited.at < RESEND_AFTER_MS) continue;
      awaited.at = now;
      if (this.#run !== undefined) this.#run.resent++;
      this.#send(awaited.text);
    }
  }

  /** One camera after another says that it lives, `perS` in a second. */
  async keepalives(perS: number, seconds: number): Promise<KeepaliveResult> {
    this.#keepalivesAnswered = 0;
    const startedAt = performance.now();
    let sent = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setInterval(() => {
      const elapsedS = (performance.now() - startedAt) / 1000;
      for (const due = Math.floor(Math.min(elapsedS, seconds) * perS); sent < due; sent++) this.#keepalive(this.#cameras[this.#keepalives++ % this.#cameras.length]!);
      const late = elapsedS >= seconds + LAST_ANSWERS_S;
      if (late || (elapsedS >= seconds && this.#keepalivesAnswered === sent)) resolve();
    }, TICK_MS);
    await promise;
    clearInterval(timer);
    return { sent, answered: this.#keepalivesAnswered, seconds: (performance.now() - startedAt) / 1000 };
  }

  #keepalive(camera: Camera): void {
    this.#message(camera, buildKeepalive({ sn: this.#keepalives, deviceId: camera.id }), 'k');
  }

  /** `kind` begins its Call-ID and tells its answer from others. */
  #message(camera: Camera, xml: string, kind: 'k' | 'm'): void {
    const { gateway, address } = this.#options;
    const lines = [
      `MESSAGE sip:${gateway.id}@${this.#domain} SIP/2.0`,
      this.#via(),
      `From: <sip:${camera.id}@${this.#domain}>;tag=c${camera.serial}`,
      `To: <sip:${gateway.id}@${this.#domain}>`,
      `Call-ID: ${kind}${camera.serial}-${this.#branch}@${address}`,
      'CSeq: 20 MESSAGE',
      'Max-Forwards: 70',
      'Content-Type: Application/MANSCDP+xml',
    ];
    this.#send(message(lines, toByteString(encodeBody(xml, 'gb2312'))));
  }

  #via(): string {
    return `Via: SIP/2.0/UDP ${this.#options.address}:${this.#port};rport;branch=z9hG4bKb${++this.#branch}`;
  }

  #receive(text: string): void {
    const status = statusOf(text);
    if (status > 0) return this.#onResponse(status, text);
    switch (methodOf(text)) {
      case 'MESSAGE':
        this.#send(answer(text, '200 OK'));
        return this.#onQuery(text);
      case 'INVITE':
        return this.#onInvite(text);
      case 'ACK':
        return this.#onAck(text);
      case 'BYE':
        this.#calls.delete(headerOf(text, 'Call-ID'));
        return this.#send(answer(text, '200 OK'));
    }
  }

  #onResponse(status: number, text: string): void {
    const callId = headerOf(text, 'Call-ID');
    if (callId.startsWith('k') && status === 200) this.#keepalivesAnswered++;
    const camera = callId.startsWith('r') ? this.#cameras[parseInt(callId.slice(1), 10)] : undefined;
    const run = this.#run;
    if (camera?.awaited === undefined || run === undefined || parseInt(headerOf(text, 'CSeq'), 10) !== camera.cseq) return;
    const nonce = status === 401 ? /nonce="([^"]+)"/.exec(text)?.[1] : undefined;
    if (nonce !== undefined) return this.#register(camera, nonce);
    camera.awaited = undefined;
    if (status === 200) run.latenciesMs.push(performance.now() - camera.startedAt);
    else run.refused++;
    run.left--;
    if (run.left === 0) run.done();
    else this.#registerNext();
  }

  #onQuery(text: string): void {
    const camera = this.#byId.get(requestUser(text));
    if (camera === undefined) return;
    const head = { sn: Number(elementOf(text, 'SN')), deviceId: camera.id };
    const device = { id: camera.id, name: `NVR ${camera.serial}`, manufacturer: 'ViewLink', model: 'BENCH', firmware: '1.0', version: '2016' as const };
    if (text.includes('<CmdType>DeviceInfo')) {
      const { name: deviceName, manufacturer, model, firmware } = device;
      this.#message(camera, buildDeviceInfoResponse(head, { deviceName, manufacturer, model, firmware, channel: this.#channels }), 'm');
    } else if (text.includes('<CmdType>Catalog')) {
      const channels = channelsOf(camera.id, this.#channels, 1 + camera.serial * this.#channels);
      for (const page of catalogPages(device, channels, head.sn, ITEMS_PER_MESSAGE, NO_QUIRKS)) this.#message(camera, page, 'm');
    } else this.#message(camera, buildManscdp('Response', elementOf(text, 'CmdType'), head), 'm');
  }

  /** Answers at once. */
  #onInvite(text: string): void {
    const arrivedAt = performance.now();
    const channelId = requestUser(text);
    const ssrc = /y=(\d+)/.exec(text)?.[1] ?? '0000000000';
    this.#offers.set(headerOf(text, 'Call-ID'), { port: Number(/m=video (\d+)/.exec(text)?.[1]), ssrc: Number(ssrc) });
    const { address } = this.#options;
    const body = ['v=0', `o=${channelId} 0 0 IN IP4 ${address}`, 's=Play', `c=IN IP4 ${address}`, 't=0 0', `m=video ${this.#media.address().port} RTP/AVP 96`, 'a=sendonly', 'a=rtpmap:96 PS/90000', `y=${ssrc}`, ''].join('\r\n');
    this.#send(answer(text, '200 OK', [`Contact: <sip:${channelId}@${address}:${this.#port}>`, 'Content-Type: application/sdp'], body));
    this.answers.set(channelId, { arrivedAt, answeredAt: performance.now() });
  }

  /** One packet: the gateway sees that media flows, and what is measured stays the way of the INVITE. */
  #onAck(text: string): void {
    const callId = headerOf(text, 'Call-ID');
    const offer = this.#offers.get(callId);
    if (offer === undefined) return;
    this.#offers.delete(callId);
    if ((this.#options.mediaPerS ?? 0) > 0) this.#calls.set(callId, offer);
    this.#sendMedia(offer, 0, RTP_HEADER_BYTES + PACK_HEADER.length);
  }

  /** A packet of every call, again and again. */
  #startMedia(perS: number): void {
    let sequence = 0;
    setInterval(() => {
      sequence += 1;
      for (const offer of this.#calls.values()) this.#sendMedia(offer, sequence, MEDIA_PACKET_BYTES);
    }, 1000 / perS);
  }

  #sendMedia({ ssrc, port }: Offer, sequence: number, bytes: number): void {
    const packet = Buffer.alloc(bytes);
    packet.writeUInt16BE(RTP_PS, 0);
    packet.writeUInt16BE(sequence & 0xffff, 2);
    packet.writeUInt32BE((sequence * 3600) >>> 0, 4);
    packet.writeUInt32BE(ssrc, 8);
    packet.set(PACK_HEADER, RTP_HEADER_BYTES);
    this.#media.send(packet, port, this.#options.gateway.address);
  }

  #send(text: string): void {
    this.#socket.send(Buffer.from(text, 'latin1'), this.#options.gateway.port, this.#options.gateway.address);
  }
}
