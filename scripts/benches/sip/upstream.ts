/** Load: one upstream platform over TCP. It takes the gateway's registration, asks for its catalogue, and invites channels. */
import { once } from 'node:events';
import { type Socket, createServer } from 'node:net';
import { buildCatalogQuery } from '#core/gb/manscdp-write.ts';
import type { CameraAnswer } from './cameras.ts';
import { TextFramer, answer, elementOf, headerOf, message, methodOf, statusOf } from './sip-text.ts';
import { waitedSeconds } from './usage.ts';

export interface UpstreamOptions {
  readonly id: string;
  readonly address: string;
  readonly port: number;
  /** The gateway's ID toward it, and where it listens. */
  readonly gateway: { readonly id: string; readonly address: string; readonly port: number };
}

export interface CatalogueResult {
  readonly items: number;
  readonly messages: number;
  readonly bytes: number;
  readonly seconds: number;
}

export interface InvitesOptions {
  readonly channelIds: readonly string[];
  readonly perS: number;
  readonly holdMs: number;
  /** Whose waiting for a core is told. */
  readonly pids: readonly number[];
}

/** One call, in milliseconds: from the upstream's INVITE to the camera's, and from the camera's 200 to the upstream's. */
export interface Added {
  readonly downMs: number;
  readonly upMs: number;
  /** Of both, while the processes had no core. */
  readonly waitedMs: number;
}

export interface InvitesResult {
  readonly calls: number;
  readonly failures: readonly string[];
  readonly added: readonly Added[];
}

export const MEDIA_PORT = 42000;
const CALL_TIMEOUT_MS = 5000;

export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #cameraAnswers: Map<string, CameraAnswer>;
  readonly #registered = Promise.withResolvers<void>();
  /** Who waits for the final answer of which transaction. */
  readonly #answers = new Map<string, (text: string, at: number) => void>();
  #socket: Socket | undefined;
  #branch = 0;
  #catalogue: { sn: number; items: number; messages: number; bytes: number; readonly done: () => void } | undefined;

  private constructor(options: UpstreamOptions, cameraAnswers: Map<string, CameraAnswer>) {
    this.#options = options;
    this.#cameraAnswers = cameraAnswers;
  }

  static async open(options: UpstreamOptions, cameraAnswers: Map<string, CameraAnswer>): Promise<Upstream> {
    const upstream = new Upstream(options, cameraAnswers);
    const server = createServer({ noDelay: true }, socket => upstream.#accept(socket));
    server.listen(options.port, options.address);
    await once(server, 'listening');
    return upstream;
  }

  /** Settles when the gateway has registered. */
  get registered(): Promise<void> {
    return this.#registered.promise;
  }

  #accept(socket: Socket): void {
    this.#socket = socket;
    const framer = new TextFramer(text => this.#receive(text));
    socket.on('data', chunk => framer.push(chunk));
    socket.on('error', () => socket.destroy());
  }

  #receive(text: string): void {
    if (statusOf(text) > 0) return this.#onResponse(text);
    switch (methodOf(text)) {
      case 'REGISTER':
        this.#send(answer(text, '200 OK', ['Expires: 3600']));
        return this.#registered.resolve();
      case 'MESSAGE':
        this.#send(answer(text, '200 OK'));
        return this.#onMessage(text);
      case 'BYE':
        return this.#send(answer(text, '200 OK'));
    }
  }

  /** From the query to the last item. */
  async catalogue(): Promise<CatalogueResult> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const catalogue = { sn: ++this.#branch, items: 0, messages: 0, bytes: 0, done: resolve };
    this.#catalogue = catalogue;
    const startedAt = performance.now();
    const { gateway } = this.#options;
    const head = this.#head('MESSAGE', gateway.id, `catalogue${catalogue.sn}`, 1);
    this.#send(message([...head, 'Content-Type: Application/MANSCDP+xml'], `<?xml version="1.0"?>\r\n${buildCatalogQuery({ sn: catalogue.sn, deviceId: gateway.id })}`));
    await promise;
    const { items, messages, bytes } = catalogue;
    return { items, messages, bytes, seconds: (performance.now() - startedAt) / 1000 };
  }

  #onMessage(text: string): void {
    const catalogue = this.#catalogue;
    if (catalogue === undefined || !text.includes('<CmdType>Catalog<') || Number(elementOf(text, 'SN')) !== catalogue.sn) return;
    catalogue.messages++;
    catalogue.bytes += text.length;
    catalogue.items += text.split('<Item>').length - 1;
    if (catalogue.items < Number(elementOf(text, 'SumNum'))) return;
    this.#catalogue = undefined;
    catalogue.done();
  }

  /** Calls one channel after another, `perS` in a second whatever becomes of the earlier ones; each is held and then ended with BYE. */
  async invites({ channelIds, perS, holdMs, pids }: InvitesOptions): Promise<InvitesResult> {
    const added: Added[] = [];
    const failures: string[] = [];
    const running: Promise<void>[] = [];
    const startedAt = performance.now();
    for (const [index, channelId] of channelIds.entries()) {
      const waitMs = startedAt + (index * 1000) / perS - performance.now();
      if (waitMs > 0) await new Promise(resolve => setTimeout(resolve, waitMs));
      running.push(this.#call(channelId, holdMs, pids, each => added.push(each)).catch((error: unknown) => void failures.push(String(error))));
    }
    await Promise.all(running);
    return { calls: channelIds.length, failures, added };
  }

  async #call(channelId: string, holdMs: number, pids: readonly number[], onAdded: (added: Added) => void): Promise<void> {
    const callId = `i${++this.#branch}@bench`;
    const to = await this.#invite(callId, channelId, pids, onAdded);
    const names = (method: string, cseq: number): string[] => this.#head(method, channelId, callId, cseq, to);
    this.#send(message(names('ACK', 1)));
    await new Promise(resolve => setTimeout(resolve, holdMs));
    await this.#transaction(`${callId} BYE`, channelId, () => this.#send(message(names('BYE', 2))));
  }

  /** The To of the 200. */
  async #invite(callId: string, channelId: string, pids: readonly number[], onAdded: (added: Added) => void): Promise<string> {
    const { address, id } = this.#options;
    const ssrc = String(this.#branch).padStart(10, '0');
    const body = ['v=0', `o=${id} 0 0 IN IP4 ${address}`, 's=Play', `c=IN IP4 ${address}`, 't=0 0', `m=video ${MEDIA_PORT} RTP/AVP 96`, 'a=recvonly', 'a=rtpmap:96 PS/90000', `y=${ssrc}`, ''].join('\r\n');
    const head = [...this.#head('INVITE', channelId, callId, 1), `Subject: ${channelId}:${ssrc},${id}:0`, `Contact: <sip:${id}@${address}:${this.#options.port};transport=tcp>`, 'Content-Type: application/sdp'];
    const waitedBefore = waitedSeconds(pids);
    const startedAt = performance.now();
    const { text, at } = await this.#transaction(`${callId} INVITE`, channelId, () => this.#send(message(head, body)));
    const waitedS = waitedSeconds(pids) - waitedBefore;
    const camera = this.#cameraAnswers.get(channelId);
    if (camera === undefined) throw new Error(`${channelId} was answered and its camera never asked`);
    this.#cameraAnswers.delete(channelId);
    onAdded({ downMs: camera.arrivedAt - startedAt, upMs: at - camera.answeredAt, waitedMs: 1000 * waitedS });
    return headerOf(text, 'To');
  }

  /** The 2xx and when it came. Rejects with any other final status, and when none comes. */
  #transaction(key: string, what: string, send: () => void): Promise<{ readonly text: string; readonly at: number }> {
    return new Promise((resolve, reject) => {
      const finish = (text: string | undefined, at: number): void => {
        clearTimeout(late);
        this.#answers.delete(key);
        if (text === undefined) reject(new Error(`${what}: no answer to ${key}`));
        else if (statusOf(text) >= 300) reject(new Error(`${what}: ${text.slice(8, text.indexOf('\r\n'))} to ${key}`));
        else resolve({ text, at });
      };
      const late = setTimeout(() => finish(undefined, 0), CALL_TIMEOUT_MS);
      this.#answers.set(key, finish);
      send();
    });
  }

  #onResponse(text: string): void {
    const at = performance.now();
    if (statusOf(text) < 200) return;
    const method = headerOf(text, 'CSeq').split(' ')[1] ?? '';
    this.#answers.get(`${headerOf(text, 'Call-ID')} ${method}`)?.(text, at);
  }

  #head(method: string, user: string, callId: string, cseq: number, to?: string): string[] {
    const { id, address, port, gateway } = this.#options;
    return [
      `${method} sip:${user}@${gateway.address}:${gateway.port} SIP/2.0`,
      `Via: SIP/2.0/TCP ${address}:${port};branch=z9hG4bKu${callId.split('@')[0]}-${method}`,
      `From: <sip:${id}@${id.slice(0, 10)}>;tag=bench`,
      `To: ${to ?? `<sip:${user}@${gateway.address}:${gateway.port}>`}`,
      `Call-ID: ${callId}`,
      `CSeq: ${cseq} ${method}`,
      'Max-Forwards: 70',
    ];
  }

  #send(text: string): void {
    this.#socket?.write(text, 'latin1');
  }
}
