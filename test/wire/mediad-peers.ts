/** Hand-made cameras and platforms for the media tests: RTP by the byte, over datagrams and streams. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import type { Endpoint, LegTransport, MediadEvent, OpenSinkParams, OpenSourceParams } from '#contracts/mediad.ts';
import { type Clock, systemClock } from '#kit/clock.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import { Bridges } from '../../daemons/mediad/bridges.ts';
import { FixedPorts } from '../../daemons/mediad/fixed-ports.ts';
import type { LossRules } from '../../daemons/mediad/leg.ts';
import { type MediaPorts, RangePorts } from '../../daemons/mediad/media-ports.ts';
import { Strays } from '../../daemons/mediad/strays.ts';

export const LOCAL = '127.0.0.1';
const WAIT_MS = 8000;

/** Waits for a condition, bounded; the name is what the failure says. */
export async function until(what: string, condition: () => boolean, limitMs = WAIT_MS): Promise<void> {
  const end = systemClock.now() + limitMs;
  while (!condition()) {
    if (systemClock.now() > end) throw new Error(`never: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

export interface RtpParts {
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Uint8Array;
  readonly marker?: boolean;
  readonly payloadType?: number;
}

export function rtp({ sequence, timestamp, ssrc, payload, marker = false, payloadType = 96 }: RtpParts): Buffer {
  const packet = Buffer.alloc(12 + payload.length);
  packet[0] = 0x80;
  packet[1] = (marker ? 0x80 : 0) | payloadType;
  packet.writeUInt16BE(sequence & 0xffff, 2);
  packet.writeUInt32BE(timestamp >>> 0, 4);
  packet.writeUInt32BE(ssrc >>> 0, 8);
  packet.set(payload, 12);
  return packet;
}

export interface Parsed {
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payloadType: number;
  readonly marker: boolean;
  readonly payload: Buffer;
}

export const parse = (packet: Buffer): Parsed => ({
  sequence: packet.readUInt16BE(2),
  timestamp: packet.readUInt32BE(4),
  ssrc: packet.readUInt32BE(8),
  payloadType: packet[1]! & 0x7f,
  marker: packet[1]! >= 0x80,
  payload: packet.subarray(12),
});

export const framed = (packet: Uint8Array): Buffer => Buffer.concat([Buffer.of(packet.length >> 8, packet.length & 0xff), packet]);

const PACK = Buffer.from('000001ba4400dddd0401005f6bf8', 'hex');
const SYSTEM_HEADER = Buffer.from('000001bb000c80ccf504e17fe0e190c0c020', 'hex');
const PSM = Buffer.from('000001bc0012e0ff000000081be0000090c00000fedfb1d7', 'hex');

/** One picture: pack, on key pictures system header and map, then filler that is different for every number. */
export function picture(number: number, bytes: number, key: boolean): Buffer {
  const head = key ? [PACK, SYSTEM_HEADER, PSM] : [PACK];
  const filler = Buffer.alloc(Math.max(0, bytes - Buffer.concat(head).length));
  for (let i = 0; i < filler.length; i++) filler[i] = 2 + ((i * 7 + number * 13) % 250);
  return Buffer.concat([...head, filler]);
}

export interface CameraStream {
  ssrc: number;
  sequence: number;
  timestamp: number;
  pictures: number;
  readonly sent: Buffer[];
}

export const cameraStream = (ssrc: number, sequence = 65_500): CameraStream => ({ ssrc, sequence, timestamp: 900_000, pictures: 0, sent: [] });

/** The packets of one picture, and a note of their payload. */
export function nextPicture(stream: CameraStream, { bytes = 4000, slice = 1400, key = stream.pictures % 10 === 0 } = {}): Buffer[] {
  const content = picture(stream.pictures++, bytes, key);
  stream.sent.push(content);
  stream.timestamp += 3600;
  const packets: Buffer[] = [];
  for (let at = 0; at < content.length; at += slice) {
    const payload = content.subarray(at, at + slice);
    packets.push(rtp({ sequence: stream.sequence++, timestamp: stream.timestamp, ssrc: stream.ssrc, payload, marker: at + slice >= content.length }));
  }
  return packets;
}

export class UdpPeer {
  readonly socket: UdpSocket;
  readonly packets: Parsed[] = [];
  readonly endpoint: Endpoint;

  private constructor(socket: UdpSocket) {
    this.socket = socket;
    const { address, port } = socket.address();
    this.endpoint = { address, port };
    socket.on('message', message => this.packets.push(parse(message)));
    socket.on('error', () => undefined);
  }

  static async open(address = LOCAL, port = 0): Promise<UdpPeer> {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.bind(port, address);
    await once(socket, 'listening');
    socket.setRecvBufferSize(4 * 1024 * 1024);
    return new UdpPeer(socket);
  }

  /** Sends, then lets the receivers of this process run: else they would never be polled. */
  async send(to: Endpoint, ...packets: readonly Uint8Array[]): Promise<void> {
    await Promise.all(packets.map(packet => new Promise(resolve => this.socket.send(packet, to.port, to.address, resolve))));
    await new Promise(resolve => setImmediate(resolve));
  }

  get payload(): Buffer {
    return Buffer.concat(this.packets.map(packet => packet.payload));
  }

  close(): Promise<void> {
    return new Promise(resolve => this.socket.close(() => resolve()));
  }
}

/** One end of a media connection: what came, cut into RTP packets (RFC 4571). */
export class TcpPeer {
  readonly socket: Socket;
  readonly packets: Parsed[] = [];
  closed = false;
  #rest: Buffer = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', chunk => this.#read(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => (this.closed = true));
  }

  static async connect(to: Endpoint, localAddress?: string): Promise<TcpPeer> {
    const socket = connect({ host: to.address, port: to.port, ...(localAddress === undefined ? {} : { localAddress }) });
    const peer = new TcpPeer(socket);
    await once(socket, 'connect');
    return peer;
  }

  #read(chunk: Buffer): void {
    let rest = Buffer.concat([this.#rest, chunk]);
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const length = rest.readUInt16BE(0);
      this.packets.push(parse(Buffer.from(rest.subarray(2, 2 + length))));
      rest = rest.subarray(2 + length);
    }
    this.#rest = rest;
  }

  send(...packets: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(packets.map(framed)));
  }

  get payload(): Buffer {
    return Buffer.concat(this.packets.map(packet => packet.payload));
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Listens; `peers` are those that connected. */
export class TcpHost {
  readonly server: Server;
  readonly peers: TcpPeer[] = [];
  readonly endpoint: Endpoint;

  private constructor(server: Server) {
    this.server = server;
    this.endpoint = { address: LOCAL, port: (server.address() as { port: number }).port };
    server.on('connection', socket => this.peers.push(new TcpPeer(socket)));
  }

  static async open(): Promise<TcpHost> {
    const server = createServer();
    server.listen(0, LOCAL);
    await once(server, 'listening');
    return new TcpHost(server);
  }

  async peer(index = 0): Promise<TcpPeer> {
    await until('connection', () => this.peers.length > index);
    return this.peers[index]!;
  }

  close(): void {
    for (const peer of this.peers) peer.close();
    this.server.close();
  }
}

export interface Rig {
  readonly bridges: Bridges;
  readonly events: MediadEvent[];
  event<Type extends MediadEvent['type']>(type: Type, count?: number): Promise<Extract<MediadEvent, { type: Type }>>;
}

export interface RigOptions {
  readonly fixed?: boolean;
  readonly range?: { first: number; last: number };
  readonly maxBridges?: number;
  readonly maxBitrateMbps?: number;
  readonly loss?: Partial<LossRules>;
  readonly clock?: Clock;
  readonly ports?: MediaPorts;
  readonly keyPictureBytes?: number;
}

export function openRig({ fixed = false, range = { first: 8_000, last: 8_999 }, maxBridges = 1000, maxBitrateMbps = 0, loss: rules, clock = systemClock, ports: given, keyPictureBytes }: RigOptions = {}): Rig {
  const loss = { minWaitMs: 50, maxWaitMs: 500, tcpAbovePercent: 0.5, nack: true, ...rules };
  const events: MediadEvent[] = [];
  const strays = new Strays();
  const common = { receiveBufferBytes: 4 * 1024 * 1024, clock, strays };
  const log = createLog('mediad', 'silent');
  const ports = given ?? (fixed ? new FixedPorts({ udp: range.first, tcp: range.first, log, ...common }) : new RangePorts(range, common));
  const bridges = new Bridges({ instance: '1', pid: process.pid, ports, strays, capacity: { maxBridges, maxBitrateMbps, maxCpuPercent: 0 }, loss, keyPictureBytes, clock, random: systemRandom, log, onEvent: event => events.push(event), cpuMs: () => 0 });
  return {
    bridges,
    events,
    async event(type, count = 1) {
      const found = (): MediadEvent[] => events.filter(event => event.type === type);
      await until(`event ${type}`, () => found().length >= count);
      return found()[count - 1] as never;
    },
  };
}

const PEER = { allowed: ['127.0.0.0/8', '::1'], latch: 'strict' } as const;

export const sourceParams = (bridgeId: string, more: Partial<OpenSourceParams> = {}): OpenSourceParams => ({
  bridgeId,
  transport: 'udp',
  localAddress: LOCAL,
  ssrc: 0x05f5e101,
  peer: PEER,
  silenceMs: 60_000,
  label: 'camera',
  ...more,
});

export const sinkParams = (bridgeId: string, remote: Endpoint, more: Partial<OpenSinkParams> = {}): OpenSinkParams => ({
  bridgeId,
  sinkId: 's1',
  transport: 'udp',
  localAddress: LOCAL,
  remote,
  ssrc: 0x11e1a307,
  payloadType: 96,
  peer: PEER,
  connectTimeoutMs: 5000,
  label: 'platform',
  ...more,
});

/** A camera that feeds one source leg. */
export interface Camera {
  readonly local: Endpoint;
  send(...packets: Buffer[]): Promise<unknown>;
  close(): void;
}

/** The camera of a leg that is open at `local`; `connectTo` tells mediad where the camera is, as SDP would have it. */
export async function joinCamera(transport: LegTransport, local: Endpoint, connectTo: (remote: Endpoint) => void): Promise<Camera> {
  if (transport === 'udp') {
    const camera = await UdpPeer.open();
    connectTo(camera.endpoint);
    return { local, send: (...packets) => camera.send(local, ...packets), close: () => void camera.close() };
  }
  if (transport === 'tcp-passive') {
    const camera = await TcpPeer.connect(local);
    connectTo({ address: LOCAL, port: camera.socket.localPort! });
    return { local, send: async (...packets) => camera.send(...packets), close: () => camera.close() };
  }
  const host = await TcpHost.open();
  connectTo(host.endpoint);
  const camera = await host.peer();
  return { local, send: async (...packets) => camera.send(...packets), close: () => host.close() };
}
