/**
 * Answers to catalogue queries of platforms above us: IO around core/gb/catalog-pages, a few answers of one platform at a time, so
 * that a platform which asks for everything again and again costs us no more than these.
 */
import { CatalogPager, MAX_UDP_MESSAGE_BYTES, type PagerInput, type PagerOptions, SIP_OVERHEAD_BYTES, fitsOnePage } from '#core/gb/catalog-pages.ts';
import type { Manscdp } from '#core/gb/manscdp.ts';
import { buildResult } from '#core/gb/manscdp-write.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Log } from '#kit/log.ts';
import type { Counters } from '#kit/counters.ts';
import type { UpstreamLink } from './upstream-link.ts';
import type { Views } from './views.ts';

/** Answers to one platform that are under way: a slow one keeps no small one waiting. */
const MAX_RUNNING = 4;
/** Queries of one platform that wait; one more is answered with Result ERROR. */
const MAX_WAITING = 32;

export interface CatalogAnswersDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: Counters;
  readonly views: Views;
}

type Query = Pick<Manscdp, 'sn' | 'deviceId'>;

interface Running {
  readonly query: Query;
  alarm: Alarm | undefined;
}

interface Line {
  readonly running: Set<Running>;
  readonly waiting: Query[];
}

export class CatalogAnswers implements Disposable {
  readonly #deps: CatalogAnswersDeps;
  readonly #lines = new Map<string, Line>();

  constructor(deps: CatalogAnswersDeps) {
    this.#deps = deps;
  }

  [Symbol.dispose](): void {
    for (const name of [...this.#lines.keys()]) this.drop(name);
  }

  query(link: UpstreamLink, { sn, deviceId }: Query): void {
    const { name } = link.config;
    const line = this.#lines.get(name) ?? { running: new Set(), waiting: [] };
    this.#lines.set(name, line);
    // Asked again while the answer is on its way: that one is meant.
    if ([...[...line.running].map(({ query }) => query), ...line.waiting].some(each => each.sn === sn && each.deviceId === deviceId)) return this.#deps.counters.add('upstream.catalog-repeated');
    if (line.running.size < MAX_RUNNING) return this.#start(link, line, { sn, deviceId });
    if (line.waiting.length < MAX_WAITING) return void line.waiting.push({ sn, deviceId });
    this.#deps.counters.add('upstream.catalog-refused');
    void link.message(buildResult('Catalog', { sn, deviceId }, 'ERROR'));
  }

  /** No longer configured: nobody waits for the rest. */
  drop(upstream: string): void {
    for (const { alarm } of this.#lines.get(upstream)?.running ?? []) alarm?.[Symbol.dispose]();
    this.#lines.delete(upstream);
  }

  #start(link: UpstreamLink, line: Line, query: Query): void {
    const { config, dialect } = link;
    const options: PagerOptions = {
      head: query,
      items: this.#deps.views.tree(config)?.select(query.deviceId) ?? [],
      version: dialect.version,
      charset: config.charset,
      itemsPerMessage: config.catalog.itemsPerMessage,
      bodyBudget: config.transport === 'udp' ? MAX_UDP_MESSAGE_BYTES - SIP_OVERHEAD_BYTES : undefined,
      pauseMs: config.catalog.pauseMs,
    };
    const overTcp = config.transport === 'udp' && config.catalog.large === 'tcp' && !fitsOnePage(options);
    this.#send(link, line, query, options, overTcp);
  }

  /** Pages go out one after another, each when the one before was accepted. Where nobody listens over TCP, in datagrams all the same. */
  #send(link: UpstreamLink, line: Line, query: Query, options: PagerOptions, overTcp: boolean): void {
    const { clock, log } = this.#deps;
    const { name } = link.config;
    const pager = new CatalogPager(overTcp ? { ...options, bodyBudget: undefined } : options);
    const running: Running = { query, alarm: undefined };
    line.running.add(running);
    const isOver = (): boolean => this.#lines.get(name) !== line || !line.running.has(running);
    const settled = (page: number, status: number | undefined): void => {
      if (!overTcp || page > 1 || status !== undefined || isOver()) return feed({ type: status !== undefined && status < 300 ? 'accepted' : 'failed', page });
      this.#end(line, running);
      this.#deps.counters.add('upstream.catalog-no-tcp');
      log.warn({ upstream: name }, 'upstream.catalog-no-tcp');
      this.#send(link, line, query, options, false);
    };
    const feed = (input: PagerInput): void => {
      if (isOver()) return;
      for (const output of pager.handle(input, clock.now())) {
        if (output.type === 'send') void link.message(output.body, overTcp ? 'TCP' : undefined).then(status => settled(output.page, status));
        else return this.#done(link, line, running, { items: options.items.length, ...output });
      }
      running.alarm!.arm(pager.deadline);
    };
    running.alarm = new Alarm(clock, () => feed({ type: 'tick' }));
    feed({ type: 'start' });
  }

  #end(line: Line, running: Running): void {
    running.alarm?.[Symbol.dispose]();
    line.running.delete(running);
  }

  #done(link: UpstreamLink, line: Line, running: Running, { items, pages, accepted, gaveUp }: { readonly items: number; readonly pages: number; readonly accepted: number; readonly gaveUp: boolean }): void {
    const { name } = link.config;
    this.#end(line, running);
    this.#deps.counters.add('upstream.catalog-items', items);
    if (gaveUp) this.#deps.counters.add('upstream.catalog-given-up');
    this.#deps.log.info({ upstream: name, deviceId: running.query.deviceId, items, pages, accepted, gaveUp }, 'upstream.catalog-sent');
    const next = line.waiting.shift();
    if (next !== undefined) this.#start(link, line, next);
    else if (line.running.size === 0) this.#lines.delete(name);
  }
}
