/** What was done over the API, into the audit log of configd. What cannot be written down is not done. */
import type { AuditEntry, Json } from '#contracts/configd.ts';
import { RepeatLog } from '#core/api/repeat-log.ts';
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import { type Caller, authorOf } from './caller.ts';
import type { Ms } from '#core/units.ts';
import type { Counters } from '#kit/counters.ts';
import type { Daemons } from './daemons.ts';

export interface AuditFacts {
  readonly action: string;
  readonly target: string;
  readonly before?: Json;
  readonly after?: Json;
  readonly result: AuditEntry['result'];
  readonly detail?: string;
}

const MAX_DETAIL = 500;

export class Audit {
  readonly #daemons: Daemons;
  readonly #counters: Counters;
  readonly #log: Log;
  readonly #repeats = new RepeatLog();

  constructor(daemons: Daemons, counters: Counters, log: Log) {
    this.#daemons = daemons;
    this.#counters = counters;
    this.#log = log;
  }

  /** DAEMON_UNREACHABLE: nothing can be written down now, so nothing is done. */
  demand(): void {
    if (this.#daemons.configd.up) return;
    this.#counters.add('audit.unreachable');
    throw new GatewayError('DAEMON_UNREACHABLE', { daemon: 'configd' });
  }

  /** As `write`, of what may come a thousand times a minute: once, then once a minute with how many there were. */
  async writeRepeated(who: Pick<Caller, 'user' | 'address'>, facts: AuditFacts, now: Ms): Promise<void> {
    const unsaid = this.#repeats.take(`${facts.action} ${who.user} ${who.address}`, now);
    if (unsaid === undefined) return this.#counters.add('audit.repeated');
    await this.write(who, unsaid === 0 ? facts : { ...facts, detail: `${facts.detail ?? ''}; ${unsaid} more since the last line` });
  }

  /** On the disk when it returns. */
  async write(who: Pick<Caller, 'user' | 'address'>, { action, target, before = null, after = null, result, detail = '' }: AuditFacts): Promise<void> {
    const entry = { author: authorOf(who), action, target, before, after, result, detail: detail.slice(0, MAX_DETAIL) };
    try {
      await this.#daemons.configd.call('audit', entry);
      this.#counters.add('audit.written');
    } catch (error) {
      // It was done already: the journal at least has it.
      this.#counters.add('audit.lost');
      this.#log.error({ entry, err: error }, 'audit.lost');
      throw error;
    }
  }
}
