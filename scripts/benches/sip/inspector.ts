/** The inspector of a running daemon: a full collection before its memory is looked at, a profile of a stretch of work. */
import { readFile } from 'node:fs/promises';

const ANSWER_LIMIT_MS = 60_000;
const LISTENING = /Debugger listening on (ws:\/\/\S+)/g;
const LISTENING_LIMIT_MS = 5000;
const LOOK_EVERY_MS = 50;

export interface HeapUsage {
  readonly usedSize: number;
  readonly totalSize: number;
  /** Outside of the heap: buffers. */
  readonly backingStorageSize?: number;
}

export class Inspector implements Disposable {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: { result?: unknown; error?: { message: string } }) => void>();
  #calls = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', event => {
      const answer = JSON.parse(String(event.data)) as { id?: number; result?: unknown; error?: { message: string } };
      if (answer.id !== undefined) this.#waiting.get(answer.id)?.(answer);
    });
  }

  /** `daemon` runs with --inspect-port=0; SIGUSR1 opens its inspector, whose address comes on stderr and so into the log. */
  static async open(daemon: { signal(name: NodeJS.Signals): void }, logPath: string): Promise<Inspector> {
    daemon.signal('SIGUSR1');
    const socket = new WebSocket(await addressIn(logPath));
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener('open', () => resolve());
      socket.addEventListener('error', () => reject(new Error('the inspector does not answer')));
    });
    return new Inspector(socket);
  }

  async #call<T>(method: string, params: object = {}): Promise<T> {
    const id = ++this.#calls;
    const answer = await new Promise<{ result?: unknown; error?: { message: string } }>(resolve => {
      const late = setTimeout(() => resolve({ error: { message: 'no answer' } }), ANSWER_LIMIT_MS);
      this.#waiting.set(id, given => {
        clearTimeout(late);
        resolve(given);
      });
      this.#socket.send(JSON.stringify({ id, method, params }));
    });
    this.#waiting.delete(id);
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result as T;
  }

  /** Everything that nobody holds is freed, and the pages given back. */
  async collectGarbage(): Promise<HeapUsage> {
    await this.#call('HeapProfiler.collectGarbage');
    return this.#call<HeapUsage>('Runtime.getHeapUsage');
  }

  async startProfile(): Promise<void> {
    await this.#call('Profiler.enable');
    await this.#call('Profiler.setSamplingInterval', { interval: 500 });
    await this.#call('Profiler.start');
  }

  /** What Chrome and `speedscope` open as .cpuprofile. */
  async stopProfile(): Promise<unknown> {
    return (await this.#call<{ profile: unknown }>('Profiler.stop')).profile;
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }
}

async function addressIn(logPath: string): Promise<string> {
  for (const until = performance.now() + LISTENING_LIMIT_MS; ; ) {
    const address = [...(await readFile(logPath, 'utf8')).matchAll(LISTENING)].at(-1)?.[1];
    if (address !== undefined) return address;
    if (performance.now() > until) throw new Error('no inspector in the log');
    await new Promise(resolve => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
