/** Answers to forwarded questions on their way up: under the upstream's SN, with its IDs, in messages that it can take. */
import { MAX_UDP_MESSAGE_BYTES, SIP_OVERHEAD_BYTES } from '#core/gb/catalog-pages.ts';
import { PROLOGUE_BYTES, encodedLength } from '#core/gb/dialect.ts';
import type { Question, QuestionOutput } from '#core/gb/forwarded-questions.ts';
import { buildManscdp, buildResult } from '#core/gb/manscdp-write.ts';
import { type RecordItem, recordPages } from '#core/gb/record-info.ts';
import { relayResponse } from '#core/gb/relayed-content.ts';
import type { Log } from '#kit/log.ts';
import type { Catalogs } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';
import type { UpstreamLink } from './upstream-link.ts';
import type { Upstreams } from './upstreams.ts';
import type { Views } from './views.ts';

const BODY_BUDGET = MAX_UDP_MESSAGE_BYTES - SIP_OVERHEAD_BYTES;
/** A part that is not accepted is sent once more; then the upstream is not listening. */
const TRIES = 2;
/** A day of recordings of 50 cameras; what is asked beyond that at once stays without answer. */
const MAX_UNDER_WAY_CHARS = 4 * 1024 * 1024;
/** Lists of which there are none (3.2). */
const LISTS: ReadonlySet<string> = new Set(['PresetQuery', 'CruiseTrackListQuery', 'CruiseTrackQuery', 'SDCardStatus']);

export interface AnswersDeps {
  readonly log: Log;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  readonly upstreams: Upstreams;
  readonly views: Views;
}

type Unanswered = Pick<Question, 'upstream' | 'sn' | 'askedId' | 'root' | 'cmdType'>;

export class Answers {
  readonly #deps: AnswersDeps;
  /** Characters of answers that wait for their turn, by upstream. */
  readonly #underWay = new Map<string, number>();

  constructor(deps: AnswersDeps) {
    this.#deps = deps;
  }

  give(output: QuestionOutput & { readonly type: 'relay' | 'records' | 'failed' }): void {
    const { log, counters } = this.#deps;
    const { question } = output;
    const { upstream, askedId, deviceId, channelId, cmdType } = question;
    counters.add(`question.${output.type}.${cmdType}`);
    switch (output.type) {
      case 'relay':
        return this.#relay(question, output.message);
      case 'records': {
        const { list } = output;
        const records = list.records;
        log.info({ upstream, askedId, deviceId, channelId, records: records.length, missing: list.missing, complete: output.complete }, 'question.records');
        return this.#records(question, list.name ?? this.#nameOf(question), records);
      }
      case 'failed':
        log.info({ upstream, askedId, deviceId, channelId, cmdType, why: output.why }, 'question.failed');
        return this.fail(question);
    }
  }

  /** So that the wait of whoever asked ends: Result ERROR, of lists with nothing in them; of a status what we know ourselves. */
  fail(question: Unanswered): void {
    const link = this.#deps.upstreams.link(question.upstream);
    if (link === undefined) return;
    const head = headOf(question);
    if (question.root === 'Query' && question.cmdType === 'RecordInfo') return this.#records(question, undefined, []);
    if (question.root === 'Query' && question.cmdType === 'DeviceStatus') return this.#say(link, [this.#deps.upstreams.deviceStatus(link, head)]);
    const isList = question.root === 'Query' && LISTS.has(question.cmdType);
    this.#say(link, [isList ? buildManscdp('Response', question.cmdType, head, '<Result>ERROR</Result>\r\n<SumNum>0</SumNum>\r\n') : buildResult(question.cmdType, head, 'ERROR')]);
  }

  #relay(question: Question, message: Parameters<typeof relayResponse>[0]): void {
    const { upstreams, views } = this.#deps;
    const link = upstreams.link(question.upstream);
    if (link === undefined) return;
    const { upstream, deviceId, channelId, askedId } = question;
    const mapId = (id: string): string | undefined => (id === channelId || id === deviceId ? askedId : views.idOf(upstream, { deviceId, channelId: id }));
    const { config } = link;
    const fits = (body: string): boolean => config.transport === 'tcp' || PROLOGUE_BYTES + encodedLength(body, config.charset) <= BODY_BUDGET;
    this.#say(link, relayResponse(message, headOf(question), mapId, fits, link.config.gap.unknownElements));
  }

  #records(question: Unanswered, name: string | undefined, records: readonly RecordItem[]): void {
    const link = this.#deps.upstreams.link(question.upstream);
    if (link === undefined) return;
    const { charset, transport, catalog } = link.config;
    this.#say(link, recordPages({ head: headOf(question), name, records, charset, itemsPerMessage: catalog.itemsPerMessage, bodyBudget: transport === 'udp' ? BODY_BUDGET : undefined }));
  }

  #nameOf = ({ upstream, deviceId, channelId }: Question): string | undefined => this.#deps.views.of(upstream)?.see({ deviceId, channelId })?.seen.name;

  /** One after another, each when the one before was accepted; nothing for a platform that asks faster than it listens. */
  #say(link: UpstreamLink, bodies: readonly string[]): void {
    const { name } = link.config;
    const chars = bodies.reduce((sum, body) => sum + body.length, 0);
    const before = this.#underWay.get(name) ?? 0;
    if (before > 0 && before + chars > MAX_UNDER_WAY_CHARS) return this.#deps.counters.add('upstream.answer-dropped');
    this.#underWay.set(name, before + chars);
    void this.#sayAll(link, bodies).finally(() => {
      const left = (this.#underWay.get(name) ?? 0) - chars;
      if (left > 0) this.#underWay.set(name, left);
      else this.#underWay.delete(name);
    });
  }

  async #sayAll(link: UpstreamLink, bodies: readonly string[]): Promise<void> {
    for (const [index, body] of bodies.entries()) {
      if (this.#deps.upstreams.link(link.config.name) !== link) return;
      if (await accepted(link, body)) continue;
      this.#deps.log.info({ upstream: link.config.name, parts: bodies.length, accepted: index }, 'upstream.answer-unaccepted');
      return;
    }
  }
}

const headOf = ({ sn, askedId }: Unanswered): { readonly sn: number; readonly deviceId: string } => ({ sn, deviceId: askedId });

async function accepted(link: UpstreamLink, body: string): Promise<boolean> {
  for (let tries = 0; tries < TRIES; tries++) {
    const status = await link.message(body);
    if (status !== undefined && status < 300) return true;
  }
  return false;
}
