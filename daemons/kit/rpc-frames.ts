/**
 * Frames of the local RPC on a unix socket: `Content-Length: N CRLF CRLF` and N bytes of JSON, as vscode-jsonrpc speaks
 * them, but bounded in both directions: a peer that sends nonsense or never reads loses its connection, nobody else does.
 */
import type { Socket } from 'node:net';
import { AbstractMessageReader, AbstractMessageWriter, type DataCallback, type Disposable, type Message, type MessageReader, type MessageWriter } from 'vscode-jsonrpc/node';

const MAX_HEADER_BYTES = 1024;
/** What may wait in our memory for a peer that does not read. */
const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
const HEADER_END = '\r\n\r\n';
const CONTENT_LENGTH = /^content-length: *(\d{1,10}) *$/im;

/** Whole messages out of a socket; the first malformed frame destroys the socket with the reason. */
export class FrameReader extends AbstractMessageReader implements MessageReader {
  readonly #socket: Socket;
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #length = 0;
  /** Bytes needed before looking again: a large body is not re-joined at every chunk. */
  #needed = 1;

  constructor(socket: Socket, maxBytes: number) {
    super();
    this.#socket = socket;
    this.#maxBytes = maxBytes;
  }

  listen(callback: DataCallback): Disposable {
    const onData = (chunk: Buffer): void => this.#feed(chunk, callback);
    const onClose = (): void => this.fireClose();
    this.#socket.on('data', onData).on('close', onClose);
    return { dispose: () => void this.#socket.off('data', onData).off('close', onClose) };
  }

  #feed(chunk: Buffer, callback: DataCallback): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < this.#needed) return;
    let rest = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks, this.#length);
    for (;;) {
      const frame = this.#frameIn(rest);
      if (frame === 'malformed') return;
      if (typeof frame === 'number') {
        this.#needed = frame;
        break;
      }
      rest = rest.subarray(frame.end);
      if (!this.#deliver(frame.body, callback)) return;
    }
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#length = rest.length;
  }

  /** The first frame of `bytes`, or how many bytes are needed to know more. */
  #frameIn(bytes: Buffer): { readonly body: Buffer; readonly end: number } | number | 'malformed' {
    const headerEnd = bytes.subarray(0, MAX_HEADER_BYTES).indexOf(HEADER_END);
    if (headerEnd < 0) return bytes.length < MAX_HEADER_BYTES ? bytes.length + 1 : this.#refuse('header without an end');
    const length = CONTENT_LENGTH.exec(bytes.toString('latin1', 0, headerEnd))?.[1];
    if (length === undefined) return this.#refuse('no Content-Length');
    if (Number(length) > this.#maxBytes) return this.#refuse(`message of ${length} bytes, ${this.#maxBytes} allowed`);
    const start = headerEnd + HEADER_END.length;
    const end = start + Number(length);
    return bytes.length < end ? end : { body: bytes.subarray(start, end), end };
  }

  #deliver(body: Buffer, callback: DataCallback): boolean {
    let message: unknown;
    try {
      message = JSON.parse(body.toString('utf8'));
    } catch {
      this.#refuse('not JSON');
      return false;
    }
    if (!isRpcMessage(message)) {
      this.#refuse('not a JSON-RPC 2.0 message');
      return false;
    }
    callback(message);
    return !this.#socket.destroyed;
  }

  #refuse(why: string): 'malformed' {
    this.#chunks = [];
    this.#length = 0;
    this.#socket.destroy(new Error(why));
    return 'malformed';
  }
}

/** The protocol's own `$/` notifications (cancel, trace, progress) have no place in our contracts. */
function isRpcMessage(value: unknown): value is Message {
  if (typeof value !== 'object' || value === null || !('jsonrpc' in value) || value.jsonrpc !== '2.0') return false;
  const id = 'id' in value ? value.id : undefined;
  if (id !== undefined && typeof id !== 'number' && typeof id !== 'string') return false;
  if ('method' in value) return typeof value.method === 'string' && !value.method.startsWith('$/');
  return id !== undefined && ('result' in value || 'error' in value);
}

/** Messages into a socket, in order. A peer that lets more than MAX_QUEUED_BYTES pile up is disconnected. */
export class FrameWriter extends AbstractMessageWriter implements MessageWriter {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
  }

  write(message: Message): Promise<void> {
    if (!this.#socket.writable) return Promise.reject(new Error('connection is closed'));
    const body = JSON.stringify(message);
    this.#socket.write(`Content-Length: ${Buffer.byteLength(body)}${HEADER_END}${body}`);
    if (this.#socket.writableLength > MAX_QUEUED_BYTES) this.#socket.destroy(new Error('peer does not read'));
    return Promise.resolve();
  }

  end(): void {
    this.#socket.end();
  }
}
