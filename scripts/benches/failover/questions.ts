/** Asks the SIP address of the pair again and again; what counts is the longest time without an answer. */
import { type Socket, createSocket } from 'node:dgram';
import { systemClock as clock } from '#kit/clock.ts';
import { SIP_ADDRESS, WORLD } from '../../lab/pair.ts';

export const ASK_EVERY_MS = 20;

export class Questions implements Disposable {
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;
  #asked = 0;
  #answers: number[] = [clock.now()];

  constructor() {
    this.#socket = createSocket('udp4').bind(0, WORLD);
    this.#socket.on('message', () => void this.#answers.push(clock.now()));
    this.#timer = setInterval(() => this.#ask(), ASK_EVERY_MS);
  }

  /** Since the last call. */
  longestMs(): number {
    const times = [...this.#answers, clock.now()];
    this.#answers = [times.at(-1)!];
    return Math.max(...times.map((at, i) => (i === 0 ? 0 : at - times[i - 1]!)));
  }

  answeredSince(atMs: number): boolean {
    return (this.#answers.at(-1) ?? 0) > atMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#socket.close();
  }

  #ask(): void {
    const n = (this.#asked += 1);
    const text = `OPTIONS sip:${SIP_ADDRESS} SIP/2.0\r\nVia: SIP/2.0/UDP ${WORLD}:${this.#socket.address().port};branch=z9hG4bKbench${n}\r\nFrom: <sip:bench@${WORLD}>;tag=b\r\nTo: <sip:${SIP_ADDRESS}>\r\nCall-ID: bench${n}@${WORLD}\r\nCSeq: ${n} OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n`;
    this.#socket.send(text, 5060, SIP_ADDRESS, () => undefined);
  }
}
