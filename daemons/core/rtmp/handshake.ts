/**
 * Handshake of RTMP (Adobe RTMP 1.0, 5.2), the plain one: what every client falls back to when our version octets are zero.
 *
 *   hello ──C0 C1 (S0 S1)──► echo ──C2 (S2)──► done
 */
import { concatBytes } from '../bytes.ts';

const VERSION = 3;
const PACKET_BYTES = 1536;
export const HANDSHAKE_RANDOM_BYTES = PACKET_BYTES - 8;

export interface HandshakeStep {
  readonly send: Uint8Array | undefined;
  /** Behind the handshake; undefined while it is not done. */
  readonly rest: Uint8Array | undefined;
}

export class Handshake {
  readonly #role: 'client' | 'server';
  readonly #hello: Uint8Array;
  #state: 'hello' | 'echo' | 'done' = 'hello';
  #held: Uint8Array = new Uint8Array(0);
  broken: string | undefined;

  /** `random`: HANDSHAKE_RANDOM_BYTES. */
  constructor(role: 'client' | 'server', random: Uint8Array) {
    this.#role = role;
    this.#hello = concatBytes(Uint8Array.of(VERSION, 0, 0, 0, 0, 0, 0, 0, 0), random);
  }

  /** What a client says first. */
  get hello(): Uint8Array {
    return this.#hello;
  }

  push(bytes: Uint8Array): HandshakeStep {
    this.#held = concatBytes(this.#held, bytes);
    if (this.#held.length > 0 && this.#state === 'hello' && this.#held[0] !== VERSION) this.broken = `version ${this.#held[0]}`;
    if (this.broken !== undefined) return { send: undefined, rest: undefined };
    let send: Uint8Array | undefined;
    if (this.#state === 'hello' && this.#held.length > PACKET_BYTES) {
      const echo = this.#held.subarray(1, 1 + PACKET_BYTES);
      send = this.#role === 'server' ? concatBytes(this.#hello, echo) : echo;
      this.#held = this.#held.slice(1 + PACKET_BYTES);
      this.#state = 'echo';
    }
    if (this.#state !== 'echo' || this.#held.length < PACKET_BYTES) return { send, rest: undefined };
    this.#state = 'done';
    return { send, rest: this.#held.slice(PACKET_BYTES) };
  }
}
