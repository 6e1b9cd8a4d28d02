/**
 * Raw sockets that speak SIP by hand, and the endpoint under test beside them. Every wait has a bound and a name.
 */
import { spawn } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Server, type Socket as TcpSocket } from 'node:net';
import { header, tagOf, type SipMessage, type SipRequest, type SipResponse } from '#core/sip/message.ts';
import { StreamFramer } from '#core/sip/framer.ts';
import { nameAddr } from '#core/sip/headers.ts';
import { parseMessage } from '#core/sip/parse.ts';
import { sipUri } from '#core/sip/uri.ts';
import { systemClock } from '#kit/clock.ts';
import { systemHashes } from '#kit/hashes.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import { type SipEndpoint, type SipEndpointOptions, type SipTransport, openSipEndpoint } from '#kit/sip-endpoint.ts';

export const PATIENCE_MS = 8000;
/** Quick enough to see whole retransmission schedules. */
export const BRISK = { t1Ms: 40, t2Ms: 320, t4Ms: 400 };

export const openEndpoint = (options: Partial<SipEndpointOptions> = {}, address = '127.0.0.1'): Promise<SipEndpoint> =>
  openSipEndpoint({
    listen: [{ transport: 'udp', address, port: 0 }, { transport: 'tcp', address, port: 0 }],
    userAgent: 'wire test', clock: systemClock, random: systemRandom, hashes: systemHashes, log: createLog('test', 'silent'),
    ...options,
  });

export const portOf = (endpoint: SipEndpoint, transport: SipTransport, address?: string): number => {
  const found = endpoint.bound.find(bound => bound.transport === transport && (address === undefined || bound.address === address));
  if (found === undefined) throw new Error(`no ${transport} port`);
  return found.port;
};

/** Until `holds`, or an error that says what never came. */
export async function until(what: string, holds: () => boolean, patienceMs = PATIENCE_MS): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`never came: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 2));
  }
}

/** Everything a peer received, with waiting for what is still to come. */
abstract class Peer implements AsyncDisposable {
  readonly received: SipMessage[] = [];
  readonly raw: Buffer[] = [];
  #taken = 0;

  abstract send(text: string | Uint8Array): void;
  abstract [Symbol.asyncDispose](): Promise<void>;

  /** The next message that nobody took yet. */
  async next(patienceMs = PATIENCE_MS): Promise<SipMessage> {
    await until(`message ${this.#taken + 1}`, () => this.received.length > this.#taken, patienceMs);
    return this.received[this.#taken++]!;
  }

  async response(status: number): Promise<SipResponse> {
    const message = await this.next();
    if (message.type !== 'response' || message.status !== status) throw new Error(`expected ${status}, got ${describe(message)}`);
    return message;
  }

  async request(method: string): Promise<SipRequest> {
    const message = await this.next();
    if (message.type !== 'request' || message.method !== method) throw new Error(`expected ${method}, got ${describe(message)}`);
    return message;
  }

  /** What came and nobody took; after a sign of life of the endpoint that is all there is. */
  get untaken(): string[] {
    return this.received.slice(this.#taken).map(describe);
  }

  protected take(bytes: Uint8Array, mode: 'datagram' | 'stream-frame'): void {
    this.raw.push(Buffer.from(bytes));
    const parsed = parseMessage(bytes, mode);
    // An answer to a broken message repeats what was broken; its start line is what counts then.
    this.received.push(parsed.ok ? parsed.value : brokenEcho(bytes));
  }
}

export const describe = (message: SipMessage): string => (message.type === 'request' ? message.method : `${message.status} ${message.cseq.method}`);

function brokenEcho(bytes: Uint8Array): SipMessage {
  const status = Number(/^SIP\/2\.0 (\d{3}) /.exec(Buffer.from(bytes).toString('latin1'))?.[1] ?? NaN);
  if (Number.isNaN(status)) throw new Error(`neither SIP nor an answer: ${Buffer.from(bytes).toString('latin1').slice(0, 80)}`);
  const nobody = nameAddr(sipUri(undefined, 'invalid'));
  return { type: 'response', status, reason: '', via: [], from: nobody, to: nobody, callId: '', cseq: { seq: 0, method: '?' }, contact: [], route: [], recordRoute: [], expires: undefined, contentType: undefined, headers: [], body: new Uint8Array(0) };
}

export class UdpPeer extends Peer {
  readonly socket: UdpSocket;
  readonly #to: { readonly port: number; readonly address: string };

  private constructor(socket: UdpSocket, port: number, address: string) {
    super();
    this.socket = socket;
    this.#to = { port, address };
    socket.on('message', bytes => this.take(bytes, 'datagram'));
  }

  static async open(port: number, address = '127.0.0.1', from = address): Promise<UdpPeer> {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    await new Promise<void>((resolve, reject) => socket.once('error', reject).bind(0, from, resolve));
    return new UdpPeer(socket, port, address);
  }

  get port(): number {
    return this.socket.address().port;
  }

  send(text: string | Uint8Array): void {
    this.socket.send(octets(text), this.#to.port, this.#to.address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>(resolve => this.socket.close(() => resolve()));
  }
}

export class TcpPeer extends Peer {
  readonly socket: TcpSocket;
  readonly #framer = new StreamFramer();
  closed = false;
  pings = 0;

  constructor(socket: TcpSocket) {
    super();
    this.socket = socket;
    socket.on('data', chunk => {
      if (chunk.equals(Buffer.from('\r\n'))) this.pings++;
      for (const output of this.#framer.push(chunk)) if (output.type === 'message') this.take(output.bytes, 'stream-frame');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => (this.closed = true));
  }

  static async open(port: number, address = '127.0.0.1', from?: string): Promise<TcpPeer> {
    const socket = connect({ host: address, port, noDelay: true, ...(from === undefined ? {} : { localAddress: from }) });
    await new Promise<void>((resolve, reject) => socket.once('error', reject).once('connect', resolve));
    return new TcpPeer(socket);
  }

  send(text: string | Uint8Array): void {
    this.socket.write(octets(text));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    await until('the end of a connection', () => this.closed);
  }
}

/** Waits for connections as a device does that cannot be called back otherwise. */
export class TcpHost implements AsyncDisposable {
  readonly server: Server;
  readonly peers: TcpPeer[] = [];

  private constructor(server: Server) {
    this.server = server;
    server.on('connection', socket => this.peers.push(new TcpPeer(socket)));
  }

  static async open(address = '127.0.0.1'): Promise<TcpHost> {
    const server = createServer({ noDelay: true });
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, address, resolve));
    return new TcpHost(server);
  }

  get port(): number {
    const bound = this.server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.peers) peer.socket.destroy();
    await new Promise<void>(resolve => this.server.close(() => resolve()));
  }
}

const octets = (text: string | Uint8Array): Uint8Array => (typeof text === 'string' ? Buffer.from(text.replace(/\r?\n/g, '\r\n'), 'latin1') : text);

export interface Written {
  readonly method?: string;
  readonly branch?: string;
  readonly transport?: SipTransport;
  readonly host?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly fromTag?: string;
  readonly toTag?: string | undefined;
  readonly headers?: string;
  readonly body?: string;
}

let written = 0;
/** A request by hand, with `rport` over UDP. */
export function write(parts: Written = {}): string {
  const { method = 'OPTIONS', transport = 'UDP', host = '127.0.0.1:5999', cseq = 1, headers = '', body = '' } = parts;
  const name = `${process.pid}-${++written}`;
  const via = `Via: SIP/2.0/${transport} ${host};branch=${parts.branch ?? `z9hG4bK${name}`}${transport === 'UDP' ? ';rport' : ''}`;
  const to = `To: <sip:34020000002000000001@3402000000>${parts.toTag === undefined ? '' : `;tag=${parts.toTag}`}`;
  return `${method} sip:34020000002000000001@3402000000 SIP/2.0\n${via}\nFrom: <sip:34020000001320000001@3402000000>;tag=${parts.fromTag ?? 'hand'}\n${to}\nCall-ID: ${parts.callId ?? name}\nCSeq: ${cseq} ${method}\nMax-Forwards: 70\n${headers}Content-Length: ${Buffer.byteLength(body, 'latin1')}\n\n`.replaceAll('\n', '\r\n') + body;
}

/** An answer by hand to what the endpoint sent. */
export function answer(request: SipRequest, status: number, more = '', toTag = 'peer', body = ''): string {
  const lines = request.via.map(via => `Via: SIP/2.0/${via.transport} ${via.host}:${via.port ?? 5060};branch=${via.params.get('branch') ?? ''}`);
  const to = tagOf(request.to) ?? toTag;
  return `SIP/2.0 ${status} X\n${lines.join('\n')}\nFrom: <sip:f@x>;tag=${tagOf(request.from) ?? ''}\nTo: <sip:t@x>;tag=${to}\nCall-ID: ${request.callId}\nCSeq: ${request.cseq.seq} ${request.cseq.method}\n${more}Content-Length: ${body.length}\n\n${body}`;
}

export const asks = (method: string, address: string, port: number) => ({
  method,
  uri: sipUri('34020000001320000001', address, port),
  from: nameAddr(sipUri('34020000002000000001', '3402000000')),
  to: nameAddr(sipUri('34020000001320000001', '3402000000')),
});

export const headerOf = (message: SipMessage, name: string): string | undefined => header(message, name);

export interface Ran {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a foreign program to its end; kills it when it never ends. */
export function run(program: string, args: readonly string[], patienceMs = 30_000): { readonly done: Promise<Ran>; stop(signal?: NodeJS.Signals): void } {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', chunk => (output += String(chunk)));
  child.stderr.on('data', chunk => (output += String(chunk)));
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  const done = new Promise<Ran>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', code => {
      clearTimeout(timer);
      resolve({ code, output });
    });
  });
  return { done, stop: (signal = 'SIGINT') => void child.kill(signal) };
}
