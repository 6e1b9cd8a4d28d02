/** What both ends of an RTMP connection do alike: handshake, chunks, acknowledgements, pings. */
import { type AmfValue, parseAmf0 } from './amf0.ts';
import { ChunkReader } from './chunk-reader.ts';
import { ChunkWriter } from './chunk-writer.ts';
import { Handshake } from './handshake.ts';
import { MESSAGE, type RtmpMessage, USER_EVENT, acknowledgement, amf0Body, readUint32, userControl } from './messages.ts';

export const WINDOW_BYTES = 2_500_000;
/** Below this the far end would be busy with acknowledgements only. */
const LEAST_WINDOW_BYTES = 4096;

export type LinkEvent =
  | { readonly type: 'ready' }
  | { readonly type: 'command'; readonly streamId: number; readonly name: string; readonly transaction: number; readonly values: readonly AmfValue[] }
  | { readonly type: 'data'; readonly values: readonly AmfValue[] }
  | { readonly type: 'media'; readonly message: RtmpMessage };

export class RtmpLink {
  readonly #handshake: Handshake;
  readonly #reader = new ChunkReader();
  readonly #writer = new ChunkWriter();
  #out: Uint8Array[] = [];
  #open = false;
  #received = 0;
  #acknowledged = 0;
  #window = WINDOW_BYTES;
  #broken: string | undefined;

  /** `random`: HANDSHAKE_RANDOM_BYTES of it. A client speaks first. */
  constructor(role: 'client' | 'server', random: Uint8Array) {
    this.#handshake = new Handshake(role, random);
    if (role === 'client') this.#out.push(this.#handshake.hello);
  }

  /** Why this connection is at its end; undefined while it is not. */
  get broken(): string | undefined {
    return this.#broken ?? this.#handshake.broken ?? this.#reader.broken;
  }

  push(bytes: Uint8Array): LinkEvent[] {
    if (this.broken !== undefined) return [];
    this.#received += bytes.length;
    const events: LinkEvent[] = [];
    let rest: Uint8Array | undefined = bytes;
    if (!this.#open) {
      const step = this.#handshake.push(bytes);
      if (step.send !== undefined) this.#out.push(step.send);
      rest = step.rest;
      if (rest === undefined) return [];
      this.#open = true;
      this.#out.push(...this.#writer.enlarge());
      events.push({ type: 'ready' });
    }
    this.#reader.push(rest);
    for (let message = this.#reader.next(); message !== undefined && this.broken === undefined; message = this.#reader.next()) events.push(...this.#take(message));
    this.#acknowledge();
    return events;
  }

  send(message: RtmpMessage): void {
    this.#out.push(...this.#writer.write(message));
  }

  /** What is to be sent now, in order. */
  drain(): readonly Uint8Array[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  #take(message: RtmpMessage): LinkEvent[] {
    switch (message.type) {
      case MESSAGE.audio:
      case MESSAGE.video:
        return [{ type: 'media', message }];
      case MESSAGE.windowAckSize:
        this.#window = Math.max(LEAST_WINDOW_BYTES, readUint32(message.body, 0) ?? WINDOW_BYTES);
        return [];
      case MESSAGE.userControl:
        this.#answerPing(message.body);
        return [];
      default:
        return this.#takeValues(message);
    }
  }

  #takeValues(message: RtmpMessage): LinkEvent[] {
    const body = amf0Body(message);
    if (body === undefined) return [];
    const parsed = parseAmf0(body);
    if (!parsed.ok) {
      this.#broken = `message ${message.type}: ${parsed.error.why}`;
      return [];
    }
    const [name, transaction] = parsed.value;
    if (message.type === MESSAGE.dataAmf0 || message.type === MESSAGE.dataAmf3) return [{ type: 'data', values: parsed.value }];
    if (typeof name !== 'string') return [];
    return [{ type: 'command', streamId: message.streamId, name, transaction: typeof transaction === 'number' ? transaction : 0, values: parsed.value.slice(2) }];
  }

  #answerPing(body: Uint8Array): void {
    const value = readUint32(body, 2);
    if (body[0] === 0 && body[1] === USER_EVENT.pingRequest && value !== undefined) this.send(userControl(USER_EVENT.pingResponse, value));
  }

  /** 5.4.3, 5.4.4. */
  #acknowledge(): void {
    if (this.#received - this.#acknowledged < this.#window) return;
    this.#acknowledged = this.#received;
    this.send(acknowledgement(this.#received));
  }
}
