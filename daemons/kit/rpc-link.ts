/**
 * A connection to a daemon that comes and goes.
 *
 *            start          connected             closed
 *   (new) ---------> trying ----------> up ------------------+
 *                      ^  | refused      | dispose           |
 *                      |  v              v                   |
 *                      waiting <----- (closed)               |
 *                      ^       back-off doubles, and begins  |
 *                      |       anew after a steady connection|
 *                      +---------- closed, or `drop` --------+
 */
import { GatewayError } from '#core/result.ts';
import { type Ms, NEVER, addMs } from '#core/units.ts';
import { systemClock, type Clock } from './clock.ts';
import type { Log } from './log.ts';
import { connectRpc, type AnswerOf, type ParamsOf, type RpcClient } from './rpc.ts';

const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2000;
/** One that is closed earlier was never worth anything: something before the daemon took it. */
const STEADY_MS = 1000;

export interface RpcLinkOptions<Requests, Event> {
  readonly onEvent?: (event: Event) => void;
  /** Connected, first or again: re-attach here. Events of this connection may come before it has ended. A throw drops the connection, and it is tried again. */
  readonly onUp?: (client: RpcClient<Requests>) => void | Promise<void>;
  /** After an `onUp`, once for each. */
  readonly onDown?: () => void;
  readonly log: Log;
  readonly clock?: Clock;
}

export class RpcLink<Requests, Event = never> implements AsyncDisposable {
  readonly path: string;
  readonly #options: RpcLinkOptions<Requests, Event>;
  readonly #clock: Clock;
  #client: RpcClient<Requests> | undefined;
  #retry: Disposable | undefined;
  #trying: Promise<void> = Promise.resolve();
  #waitMs = FIRST_WAIT_MS;
  #upAt: Ms = NEVER;
  #closed = false;

  constructor(path: string, options: RpcLinkOptions<Requests, Event>) {
    this.path = path;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Returns after the first attempt, whatever it gave. */
  start(): Promise<void> {
    this.#trying = this.#try();
    return this.#trying;
  }

  get up(): boolean {
    return this.#client?.open === true;
  }

  /** As RpcClient.call; DAEMON_UNREACHABLE at once while down. */
  async call<Method extends keyof Requests & string>(method: Method, params: ParamsOf<Requests, Method>, options?: { readonly timeoutMs?: number }): Promise<AnswerOf<Requests, Method>> {
    if (this.#client === undefined) throw new GatewayError('DAEMON_UNREACHABLE', { socket: this.path, method });
    return this.#client.call(method, params, options);
  }

  /** Whoever is behind it is known to be gone: nobody waits for the connection to notice. */
  drop(): void {
    const client = this.#client;
    if (client === undefined) return;
    this.#onClose(client);
    void client[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#retry?.[Symbol.dispose]();
    await this.#trying;
    await this.#client?.[Symbol.asyncDispose]();
  }

  async #try(): Promise<void> {
    const { onEvent, onUp, log } = this.#options;
    let client: RpcClient<Requests> | undefined;
    try {
      client = await connectRpc<Requests, Event>(this.path, { ...(onEvent && { onEvent }), onClose: () => this.#onClose(client), clock: this.#clock });
      if (this.#closed) return void (await client[Symbol.asyncDispose]());
      this.#client = client;
      this.#upAt = this.#clock.now();
      log.info({ socket: this.path }, 'rpc.link-up');
      await onUp?.(client);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      log.debug({ socket: this.path, why: error.message }, 'rpc.link-failed');
      if (client === undefined) this.#retryLater();
      else await client[Symbol.asyncDispose]();
    }
  }

  #onClose(client: RpcClient<Requests> | undefined): void {
    if (client === undefined || this.#client !== client) return;
    this.#client = undefined;
    if (this.#closed) return;
    this.#options.log.warn({ socket: this.path }, 'rpc.link-down');
    this.#options.onDown?.();
    if (this.#clock.now() - this.#upAt >= STEADY_MS) this.#waitMs = FIRST_WAIT_MS;
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#closed) return;
    this.#retry = this.#clock.schedule(addMs(this.#clock.now(), this.#waitMs), () => void this.start());
    this.#waitMs = Math.min(this.#waitMs * 2, LONGEST_WAIT_MS);
  }
}
