/**
 * Heartbeats over one TCP connection on the service network: a filter that drops our datagrams and VRRP leaves it alone. The
 * first node by name dials; a connection on which nothing comes is dialled anew, so that nothing old waits in it for long.
 *
 *   CLOSED --dial, or accept--> OPEN --end, error, a second without a beat, nonsense--> CLOSED (the dialler tries again)
 */
import { type Server, type Socket, connect, createServer } from 'node:net';
import { BeatFramer, frameBeat } from '#core/cluster/beat-stream.ts';
import { addMs } from '#core/units.ts';
import { plainAddress } from '#kit/net.ts';
import { type BeatPath, type BeatPathOptions, Binding } from './beat-path.ts';

const DIAL_AGAIN_MS = 250;
const SILENT_MS = 1000;
/** Half a second of beats: who takes no more than that is not there. */
const MAX_WAITING_BYTES = 2048;

export interface StreamPathOptions extends BeatPathOptions {
  readonly dials: boolean;
}

export class StreamPath implements BeatPath {
  readonly #options: StreamPathOptions;
  readonly #server: Binding<Server> | undefined;
  #socket: Socket | undefined;
  #silence: Disposable | undefined;
  #again: Disposable | undefined;
  #framer = new BeatFramer();
  #closed = false;

  constructor(options: StreamPathOptions) {
    this.#options = options;
    if (options.dials) this.#dial();
    else this.#server = new Binding(options, () => this.#listen(), server => new Promise(resolve => server.close(() => resolve())));
  }

  send(bytes: Uint8Array): boolean {
    const socket = this.#socket;
    if (socket === undefined || socket.connecting) return false;
    if (socket.writableLength > MAX_WAITING_BYTES) {
      this.#drop(socket);
      return false;
    }
    socket.write(frameBeat(bytes));
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#again?.[Symbol.dispose]();
    if (this.#socket !== undefined) this.#drop(this.#socket);
    await this.#server?.[Symbol.asyncDispose]();
  }

  #listen(): Promise<Server> {
    const { local, remote, port, onForeign } = this.#options;
    return new Promise((resolve, reject) => {
      const server = createServer(socket => {
        if (plainAddress(socket.remoteAddress ?? '') === remote) return this.#take(socket);
        onForeign();
        socket.destroy();
      });
      server.once('error', reject);
      server.listen(port, local, () => resolve(server));
    });
  }

  #dial(): void {
    const { local, remote, port } = this.#options;
    this.#take(connect({ host: remote, port, localAddress: local }));
  }

  /** The newest connection is the one; a second of silence ends it. */
  #take(socket: Socket): void {
    const before = this.#socket;
    this.#socket = socket;
    before?.destroy();
    this.#framer = new BeatFramer();
    socket.setNoDelay(true);
    socket.on('data', (bytes: Buffer) => this.#receive(socket, bytes));
    socket.on('error', () => this.#options.onFailure());
    socket.once('close', () => this.#drop(socket));
    this.#listenFor(socket);
  }

  #listenFor(socket: Socket): void {
    const { clock } = this.#options;
    this.#silence?.[Symbol.dispose]();
    this.#silence = clock.schedule(addMs(clock.now(), SILENT_MS), () => this.#drop(socket));
  }

  #drop(socket: Socket): void {
    socket.destroy();
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#silence?.[Symbol.dispose]();
    const { clock, dials } = this.#options;
    this.#again?.[Symbol.dispose]();
    if (dials && !this.#closed) this.#again = clock.schedule(addMs(clock.now(), DIAL_AGAIN_MS), () => this.#dial());
  }

  #receive(socket: Socket, bytes: Uint8Array): void {
    if (this.#socket !== socket) return;
    const beats = this.#framer.push(bytes);
    if (beats === undefined) {
      this.#options.onForeign();
      return this.#drop(socket);
    }
    for (const beat of beats) this.#options.onBytes(beat);
    this.#listenFor(socket);
  }
}
