/** Lines of text over a socket, for two that take turns. */
import type { TLSSocket } from 'node:tls';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import type { Clock } from '#kit/clock.ts';

export class LineChannel implements Disposable {
  readonly socket: TLSSocket;
  readonly #clock: Clock;
  #heard = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(socket: TLSSocket, clock: Clock) {
    this.socket = socket;
    this.#clock = clock;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      // One of the two is reading, or the other one talks out of turn.
      this.#heard = Buffer.concat([this.#heard, chunk]);
      socket.pause();
      this.#wake();
    });
    socket.on('close', () => this.#end()).on('end', () => this.#end());
  }

  /** Without its end. DAEMON_UNREACHABLE: nothing came, or more than a line may have. */
  async read(maxBytes: number, timeoutMs: number): Promise<string> {
    let late = false;
    using _limit = this.#clock.schedule(addMs(this.#clock.now(), timeoutMs), () => {
      late = true;
      this.#wake();
    });
    for (;;) {
      const end = this.#heard.indexOf(0x0a);
      if (end >= 0 && end <= maxBytes) {
        const line = this.#heard.toString('utf8', 0, end);
        this.#heard = this.#heard.subarray(end + 1);
        return line;
      }
      if (late) throw new GatewayError('DAEMON_UNREACHABLE', { why: `the other node said nothing within ${timeoutMs / 1000} s` });
      if (this.#ended) throw new GatewayError('DAEMON_UNREACHABLE', { why: 'the other node hung up' });
      if (this.#heard.length > maxBytes) throw new GatewayError('DAEMON_UNREACHABLE', { why: 'the other node says more than it should' });
      const more = Promise.withResolvers<void>();
      this.#wake = more.resolve;
      this.socket.resume();
      await more.promise;
    }
  }

  write(line: string): void {
    this.socket.write(line);
  }

  /** What was written still goes out. */
  [Symbol.dispose](): void {
    this.socket.resume();
    this.socket.destroySoon();
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }
}
