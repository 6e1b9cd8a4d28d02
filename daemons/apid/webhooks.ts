/** Events to the webhooks of the configuration, signed: IO around core/api/webhook-line. */
import type { WebhookRow } from '#contracts/apid.ts';
import type { WebhookConfig } from '#core/config/api-schema.ts';
import { WebhookLine, type WebhookInput, type WebhookOutput } from '#core/api/webhook-line.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Counters } from '#kit/counters.ts';
import type { Hashes } from '#kit/hashes.ts';
import { CountedLog, type Log } from '#kit/log.ts';
import type { EventHub, KeptEvent } from './event-hub.ts';
import { post } from './webhook-post.ts';

export interface WebhooksDeps {
  readonly clock: Clock;
  readonly hashes: Hashes;
  readonly log: Log;
  readonly counters: Counters;
  readonly events: EventHub;
  node(): string;
}

interface Hook {
  readonly config: WebhookConfig;
  readonly key: Uint8Array;
  readonly line: WebhookLine<KeptEvent>;
  readonly alarm: Alarm;
  sending: boolean;
  delivered: number;
  dropped: number;
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

  /** What waits for one that is the same as before is kept. */
  configure(webhooks: readonly WebhookConfig[]): void {
    const wanted = new Map(webhooks.map(each => [each.name, each]));
    for (const [name, { config, alarm }] of this.#hooks) {
      if (JSON.stringify(wanted.get(name)) === JSON.stringify(config)) continue;
      alarm[Symbol.dispose]();
      this.#hooks.delete(name);
    }
    for (const [name, config] of wanted) if (!this.#hooks.has(name)) this.#hooks.set(name, this.#make(config));
  }

  get rows(): WebhookRow[] {
    return [...this.#hooks.values()].map(({ config: { name, url }, line, sending, delivered, dropped, why }) => ({
      name,
      target: new URL(url).origin,
      state: sending ? 'sending' : line.queued > 0 ? 'waiting' : 'idle',
      queued: line.queued,
      delivered,
      dropped,
      failures: line.failures,
      why,
    }));
  }

  #make(config: WebhookConfig): Hook {
    const line = new WebhookLine<KeptEvent>();
    const hook: Hook = { config, key: Buffer.from(config.secret, 'latin1'), line, alarm: new Alarm(this.#deps.clock, () => this.#feed(hook, { type: 'tick' })), sending: false, delivered: 0, dropped: 0, why: null };
    return hook;
  }

  #put(event: KeptEvent): void {
    for (const hook of this.#hooks.values()) if (hook.config.events.length === 0 || hook.config.events.includes(event.event.type)) this.#feed(hook, { type: 'put', item: event });
  }

  #feed(hook: Hook, input: WebhookInput<KeptEvent>): void {
    for (const output of hook.line.handle(input, this.#deps.clock.now())) this.#carryOut(hook, output);
    hook.alarm.arm(hook.line.deadline);
  }

  #carryOut(hook: Hook, output: WebhookOutput<KeptEvent>): void {
    if (output.type === 'send') return void this.#send(hook, output.item);
    hook.dropped += 1;
    this.#deps.counters.add(`webhook.dropped.${output.why}`);
    this.#droppedLog.count({ webhook: hook.config.name, why: output.why });
  }

  async #send(hook: Hook, { id, event: { type, atWallMs, data } }: KeptEvent): Promise<void> {
    const { clock, hashes, counters, node } = this.#deps;
    const { name, url, local } = hook.config;
    const body = JSON.stringify({ id, type, node: node(), atWallMs, data });
    const timestamp = String(Math.floor(clock.wall() / 1000));
    // The octets that are sent, one character each.
    const signature = hashes.hmacSha256(hook.key, `${timestamp}.${Buffer.from(body).toString('latin1')}`);
    hook.sending = true;
    const headers = { 'User-Agent': 'ViewLink-Webhook', 'X-ViewLink-Event': type, 'X-ViewLink-Delivery': id, 'X-ViewLink-Timestamp': timestamp, 'X-ViewLink-Signature': `v1=${signature}` };
    const answer = await post({ url, local, headers, body, clock });
    if (this.#hooks.get(name) !== hook) return;
    hook.sending = false;
    const isTaken = typeof answer === 'number' && answer >= 200 && answer < 300;
    if (isTaken) hook.delivered += 1;
    hook.why = isTaken ? null : typeof answer === 'number' ? `status ${answer}` : answer;
    counters.add(isTaken ? 'webhook.delivered' : 'webhook.failed');
    this.#feed(hook, { type: 'answer', status: typeof answer === 'number' ? answer : undefined });
  }
}
