/** Events to the webhooks of the configuration, signed: IO around core/api/webhook-line. */
import type { WebhookRow } from '#contracts/apid.ts';
import type { WebhookConfig } from '#core/config/api-schema.ts';
import { WebhookLine, type WebhookInput, type WebhookOutput } from '#core/api/webhook-line.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Counters } from '#kit/counters.ts';
import type { Hashes } from '#kit/hashes.ts';
import { CountedLog, type Log } from '#kit/log.ts';
import type { EventHub, KeptEvent } from './event-hub.ts';
import type { WebhookStore } from './webhook-store.ts';
import { post } from './webhook-post.ts';

/** Like one that was taken. */
const GONE = 299;

export interface WebhooksDeps {
  readonly clock: Clock;
  readonly hashes: Hashes;
  readonly log: Log;
  readonly counters: Counters;
  readonly events: EventHub;
  readonly store: WebhookStore;
  node(): string;
}

interface Hook {
  readonly config: WebhookConfig;
  readonly key: Uint8Array;
  /** What it waits for under in the store. */
  readonly target: string;
  /** Of numbers in the store. */
  readonly line: WebhookLine<number>;
  readonly alarm: Alarm;
  sending: boolean;
  delivered: number;
  dropped: number;
  lastDropWallMs: number | null;
  why: string | null;
}

export class Webhooks implements Disposable {
  readonly #deps: WebhooksDeps;
  readonly #hooks = new Map<string, Hook>();
  readonly #listening: Disposable;
  readonly #droppedLog: CountedLog;

  constructor(deps: WebhooksDeps) {
    this.#deps = deps;
    this.#droppedLog = new CountedLog(deps.log, deps.clock, 'webhook.dropped');
    this.#listening = deps.events.listen(event => this.#put(event));
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
    for (const { alarm } of this.#hooks.values()) alarm[Symbol.dispose]();
    this.#hooks.clear();
  }

  /** What waits for one that is the same as before is kept, and so is what waits for its place: events go to no other one. */
  configure(webhooks: readonly WebhookConfig[]): void {
    const wanted = new Map(webhooks.map(each => [each.name, each]));
    for (const [name, { config, alarm }] of this.#hooks) {
      if (JSON.stringify(wanted.get(name)) === JSON.stringify(config)) continue;
      alarm[Symbol.dispose]();
      this.#hooks.delete(name);
    }
    this.#deps.store.keepOnly(webhooks.map(each => this.#targetOf(each)));
    for (const [name, config] of wanted) if (!this.#hooks.has(name)) this.#hooks.set(name, this.#make(config));
  }

  get rows(): WebhookRow[] {
    return [...this.#hooks.values()].map(({ config: { name, url }, line, sending, delivered, dropped, lastDropWallMs, why }) => ({
      name,
      target: new URL(url).origin,
      state: sending ? 'sending' : line.queued > 0 ? 'waiting' : 'idle',
      queued: line.queued,
      delivered,
      dropped,
      lastDropWallMs,
      failures: line.failures,
      why,
    }));
  }

  #make(config: WebhookConfig): Hook {
    const { clock, store } = this.#deps;
    const target = this.#targetOf(config);
    const line = new WebhookLine<number>(store.numbersOf(target), clock.now());
    const hook: Hook = { config, key: Buffer.from(config.secret, 'latin1'), target, line, alarm: new Alarm(clock, () => this.#feed(hook, { type: 'tick' })), sending: false, delivered: 0, dropped: 0, lastDropWallMs: null, why: null };
    hook.alarm.arm(line.deadline);
    return hook;
  }

  /** The same place, whatever its secret is. */
  #targetOf({ name, url, local }: WebhookConfig): string {
    return `${name} ${this.#deps.hashes.sha256(JSON.stringify([url, local]))}`;
  }

  #put(event: KeptEvent): void {
    for (const hook of this.#hooks.values()) if (hook.config.events.length === 0 || hook.config.events.includes(event.event.type)) this.#queue(hook, event);
  }

  #queue(hook: Hook, event: KeptEvent): void {
    const number = this.#deps.store.put(hook.target, event);
    if (number === undefined) this.#drop(hook, 'not-kept');
    else this.#feed(hook, { type: 'put', item: number });
  }

  #feed(hook: Hook, input: WebhookInput<number>): void {
    for (const output of hook.line.handle(input, this.#deps.clock.now())) this.#carryOut(hook, output);
    hook.alarm.arm(hook.line.deadline);
  }

  #carryOut(hook: Hook, output: WebhookOutput<number>): void {
    if (output.type === 'send') return void this.#send(hook, output.item);
    this.#deps.store.delete(output.item);
    this.#drop(hook, output.why);
  }

  #drop(hook: Hook, why: 'overflow' | 'refused' | 'not-kept'): void {
    hook.dropped += 1;
    hook.lastDropWallMs = this.#deps.clock.wall();
    this.#deps.counters.add(`webhook.dropped.${why}`);
    this.#droppedLog.count({ webhook: hook.config.name, why });
  }

  async #send(hook: Hook, number: number): Promise<void> {
    const event = this.#deps.store.read(number);
    // What the disk lost is over for everybody.
    const answer = event === undefined ? GONE : await this.#post(hook, event);
    if (this.#hooks.get(hook.config.name) !== hook) return;
    hook.sending = false;
    const isTaken = typeof answer === 'number' && answer >= 200 && answer < 300;
    if (isTaken) this.#deps.store.delete(number);
    if (isTaken && answer !== GONE) hook.delivered += 1;
    hook.why = isTaken ? null : typeof answer === 'number' ? `status ${answer}` : answer;
    this.#deps.counters.add(isTaken ? 'webhook.delivered' : 'webhook.failed');
    this.#feed(hook, { type: 'answer', status: typeof answer === 'number' ? answer : undefined });
  }

  /** Status, or why there was none. */
  #post(hook: Hook, { id, event: { type, atWallMs, data } }: KeptEvent): Promise<number | string> {
    const { clock, hashes, node } = this.#deps;
    const { url, local } = hook.config;
    const body = JSON.stringify({ id, type, node: node(), atWallMs, data });
    const timestamp = String(Math.floor(clock.wall() / 1000));
    // The octets that are sent, one character each.
    const signature = hashes.hmacSha256(hook.key, `${timestamp}.${Buffer.from(body).toString('latin1')}`);
    hook.sending = true;
    const headers = { 'User-Agent': 'ViewLink-Webhook', 'X-ViewLink-Event': type, 'X-ViewLink-Delivery': id, 'X-ViewLink-Timestamp': timestamp, 'X-ViewLink-Signature': `v1=${signature}` };
    return post({ url, local, headers, body, clock });
  }
}
