/** The way to one viewer over HTTP: a response without end, or a WebSocket. */
import type { ServerResponse } from 'node:http';
import type { WebSocket } from 'ws';

export interface ViewerPipe {
  /** Given to the connection and not taken by the far end yet. */
  readonly waitingBytes: number;
  readonly sentBytes: number;
  /** One piece for a WebSocket is one message; the parts are joined. */
  write(parts: readonly Uint8Array[]): void;
  /** Text for the program at the far end; where there is no place for it nothing is sent. */
  tell(text: string): void;
  end(): void;
  destroy(): void;
}

export interface PipeOptions {
  readonly contentType: string;
  /** The far end has gone, or we ended it. Runs once. */
  readonly onGone: () => void;
}

/** Headers go with the first piece. */
export class ResponsePipe implements ViewerPipe {
  readonly #response: ServerResponse;
  sentBytes = 0;

  constructor(response: ServerResponse, { contentType, onGone }: PipeOptions) {
    this.#response = response;
    // No keep-alive behind a stream that ends with its source.
    response.shouldKeepAlive = false;
    response.setHeader('Content-Type', contentType);
    response.setHeader('Cache-Control', 'no-store');
    response.once('close', onGone);
    response.on('error', () => undefined);
  }

  get waitingBytes(): number {
    return this.#response.writableLength;
  }

  write(parts: readonly Uint8Array[]): void {
    const whole = Buffer.concat(parts);
    this.sentBytes += whole.length;
    this.#response.write(whole);
  }

  tell(): void {
    // A player of a plain response takes media only.
  }

  end(): void {
    this.#response.end();
  }

  destroy(): void {
    this.#response.destroy();
  }
}

const GOING_AWAY = 1001;

export class SocketPipe implements ViewerPipe {
  readonly #socket: WebSocket;
  sentBytes = 0;

  constructor(socket: WebSocket, onGone: () => void) {
    this.#socket = socket;
    socket.once('close', onGone);
    // What a viewer says is not asked for; too long a message closes it (maxPayload of the server).
    socket.on('error', () => undefined);
  }

  get waitingBytes(): number {
    return this.#socket.bufferedAmount;
  }

  write(parts: readonly Uint8Array[]): void {
    const whole = Buffer.concat(parts);
    this.sentBytes += whole.length;
    this.#socket.send(whole, () => undefined);
  }

  tell(text: string): void {
    this.#socket.send(text, () => undefined);
  }

  end(): void {
    this.#socket.close(GOING_AWAY);
  }

  destroy(): void {
    this.#socket.terminate();
  }
}
