/**
 * Questions of upstreams that only a camera can answer, and controls that want a Response: passed on under an SN of ours and
 * answered under theirs (gb28181.md 8.2, A.7). One question:
 *
 *     ask --RecordInfo while the device answers another--> QUEUED --its turn--> ASKED
 *     ask --------------------------------------------------------------------> ASKED
 *     ASKED --part--> COLLECTING --all parts--> done          QUEUED --30 s--> failed
 *       | 10 s, refused,   | quiet 10 s, 30 s in all, device gone
 *       v device gone      v
 *     failed            done with what came
 *
 * Answers of one part go on as they come; recordings are put together first, because devices repeat and miscount them.
 * Parallel RecordInfo on one device mixes its answers (quirk 36): the others wait.
 */
import { Deadlines } from '../deadlines.ts';
import type { Manscdp } from './manscdp.ts';
import { RecordList, readRecordPart } from './record-info.ts';
import { partOf } from './relayed-content.ts';
import { type Ms, addMs, earliest } from '../units.ts';

export const QUIET_MS = 10_000;
export const TOTAL_MS = 30_000;
/** A device that counts per message goes on after its SumNum. */
export const SETTLE_MS = 200;
/** More parts of an answer that does not say how many it has. */
export const LINGER_MS = 2_000;
export const MAX_PER_UPSTREAM = 256;
export const MAX_QUEUED_PER_DEVICE = 16;
const MAX_SN = 0x7fff_fffe;

export interface Question {
  readonly upstream: string;
  /** As the upstream asked. */
  readonly sn: number;
  readonly askedId: string;
  /** As the device knows it. */
  readonly deviceId: string;
  readonly channelId: string;
  readonly root: 'Query' | 'Control';
  readonly cmdType: string;
  /** What stands behind DeviceID. */
  readonly content: string;
  /** Blocks that ConfigDownload asks for. */
  readonly parts?: number;
  /** How long the first answer may take; default QUIET_MS. */
  readonly patienceMs?: number;
  /** Whoever asks wants to be told that nothing more comes. */
  readonly tellsEnd?: boolean;
}

export type QuestionInput =
  | { readonly type: 'ask'; readonly question: Question }
  /** A Response of this device, to whatever. */
  | { readonly type: 'response'; readonly deviceId: string; readonly message: Manscdp }
  /** The device did not take the message with our `sn`. */
  | { readonly type: 'refused'; readonly sn: number }
  | { readonly type: 'device-gone'; readonly deviceId: string }
  | { readonly type: 'upstream-gone'; readonly upstream: string }
  | { readonly type: 'tick' };

export type QuestionOutput =
  | { readonly type: 'send'; readonly sn: number; readonly question: Question }
  | { readonly type: 'relay'; readonly question: Question; readonly message: Manscdp }
  | { readonly type: 'records'; readonly question: Question; readonly list: RecordList; readonly complete: boolean }
  | { readonly type: 'failed'; readonly question: Question; readonly why: string }
  /** All parts were relayed; only for who `tellsEnd`. */
  | { readonly type: 'done'; readonly question: Question }
  /** A response that belongs to none. */
  | { readonly type: 'unasked'; readonly deviceId: string; readonly cmdType: string };

interface Running {
  readonly sn: number;
  readonly question: Question;
  phase: 'queued' | 'asked' | 'collecting' | 'settling';
  /** When it ends at the latest. */
  endsAt: Ms;
  readonly records: RecordList | undefined;
  /** Items of its list, or blocks. */
  items: number;
}

/** Answers that may come in several messages without saying so. */
const OPEN_ENDED: ReadonlySet<string> = new Set(['ConfigDownload', 'PresetQuery', 'CruiseTrackListQuery', 'CruiseTrackQuery', 'SDCardStatus', 'Alarm']);

export class ForwardedQuestions {
  readonly #running = new Map<number, Running>();
  readonly #deadlines = new Deadlines<number>();
  /** Our SNs of RecordInfo by device: the first is asked, the others wait. */
  readonly #records = new Map<string, number[]>();
  readonly #perUpstream = new Map<string, number>();
  #sn: number;

  /** `firstSn`: a late answer from before a restart must not meet a question of today. */
  constructor(firstSn: number) {
    this.#sn = firstSn % MAX_SN;
  }

  get deadline(): Ms {
    return this.#deadlines.next;
  }

  get size(): number {
    return this.#running.size;
  }

  handle(input: QuestionInput, now: Ms): QuestionOutput[] {
    switch (input.type) {
      case 'ask':
        return this.#ask(input.question, now);
      case 'response':
        return this.#response(input.deviceId, input.message, now);
      case 'refused': {
        const running = this.#running.get(input.sn);
        return running === undefined ? [] : this.#end(running, 'the device refused it', now);
      }
      case 'device-gone':
        return this.#endAll(({ question }) => question.deviceId === input.deviceId, 'the device is offline', now);
      case 'upstream-gone':
        return this.#endAll(({ question }) => question.upstream === input.upstream, 'the upstream is gone', now).filter(({ type }) => type === 'send');
      case 'tick':
        return this.#tick(now);
    }
  }

  #ask(question: Question, now: Ms): QuestionOutput[] {
    const count = this.#perUpstream.get(question.upstream) ?? 0;
    const waiting = question.cmdType === 'RecordInfo' ? (this.#records.get(question.deviceId) ?? []) : undefined;
    if (count >= MAX_PER_UPSTREAM || (waiting !== undefined && waiting.length > MAX_QUEUED_PER_DEVICE)) return [{ type: 'failed', question, why: 'too many questions at once' }];
    this.#perUpstream.set(question.upstream, count + 1);
    const sn = this.nextSn();
    const running: Running = { sn, question, phase: 'queued', endsAt: addMs(now, TOTAL_MS), records: waiting && new RecordList(), items: 0 };
    this.#running.set(sn, running);
    this.#deadlines.set(sn, running.endsAt);
    if (waiting === undefined) return this.#send(running, now);
    this.#records.set(question.deviceId, [...waiting, sn]);
    return waiting.length === 0 ? this.#send(running, now) : [];
  }

  #send(running: Running, now: Ms): QuestionOutput[] {
    running.phase = 'asked';
    running.endsAt = addMs(now, TOTAL_MS);
    this.#deadlines.set(running.sn, addMs(now, running.question.patienceMs ?? QUIET_MS));
    return [{ type: 'send', sn: running.sn, question: running.question }];
  }

  #response(deviceId: string, message: Manscdp, now: Ms): QuestionOutput[] {
    const running = this.#running.get(message.sn);
    // Its DeviceID may be that of the channel or of the device (quirk 37).
    if (running === undefined || running.phase === 'queued' || running.question.deviceId !== deviceId || running.question.cmdType !== message.cmdType) return [{ type: 'unasked', deviceId, cmdType: message.cmdType }];
    if (running.records !== undefined) return this.#takeRecords(running, running.records, message, now);
    const relay: QuestionOutput = { type: 'relay', question: running.question, message };
    const { items, sumNum } = partOf(message);
    running.phase = 'collecting';
    running.items += items;
    const all = sumNum ?? running.question.parts;
    if (!OPEN_ENDED.has(message.cmdType) || (all !== undefined && running.items >= all)) return [relay, ...this.#end(running, undefined, now)];
    this.#deadlines.set(running.sn, earliest(running.endsAt, addMs(now, sumNum === undefined ? LINGER_MS : QUIET_MS)));
    return [relay];
  }

  #takeRecords(running: Running, list: RecordList, message: Manscdp, now: Ms): QuestionOutput[] {
    list.add(readRecordPart(message.element));
    if (list.complete && list.records.length === 0) return this.#end(running, undefined, now);
    running.phase = list.complete ? 'settling' : 'collecting';
    this.#deadlines.set(running.sn, earliest(running.endsAt, addMs(now, list.complete ? SETTLE_MS : QUIET_MS)));
    return [];
  }

  #tick(now: Ms): QuestionOutput[] {
    const outputs: QuestionOutput[] = [];
    for (let sn = this.#deadlines.takeDue(now); sn !== undefined; sn = this.#deadlines.takeDue(now)) {
      const running = this.#running.get(sn);
      if (running !== undefined) outputs.push(...this.#end(running, running.phase === 'queued' ? 'the device is busy with others' : 'the device gave no answer', now));
    }
    return outputs;
  }

  #endAll(which: (running: Running) => boolean, why: string, now: Ms): QuestionOutput[] {
    const outputs: QuestionOutput[] = [];
    // Newest first: none of them is sent because another one ended.
    for (const running of [...this.#running.values()].filter(which).reverse()) outputs.push(...this.#end(running, why, now));
    return outputs;
  }

  /** `why` counts only where nothing has come. */
  #end(running: Running, why: string | undefined, now: Ms): QuestionOutput[] {
    const { sn, question, phase, records } = running;
    this.#running.delete(sn);
    this.#deadlines.delete(sn);
    const left = (this.#perUpstream.get(question.upstream) ?? 1) - 1;
    if (left > 0) this.#perUpstream.set(question.upstream, left);
    else this.#perUpstream.delete(question.upstream);
    const answered = why === undefined || phase === 'collecting' || phase === 'settling';
    const outcome = answered ? outcomeOf(question, records) : [{ type: 'failed', question, why } as const];
    return records === undefined ? outcome : [...outcome, ...this.#nextRecords(question.deviceId, sn, now)];
  }

  /** Takes one out of the line of its device; if it was being asked, the next one is. */
  #nextRecords(deviceId: string, sn: number, now: Ms): QuestionOutput[] {
    const waiting = this.#records.get(deviceId) ?? [];
    const left = waiting.filter(each => each !== sn);
    if (left.length === 0) {
      this.#records.delete(deviceId);
      return [];
    }
    this.#records.set(deviceId, left);
    const next = this.#running.get(left[0]!);
    return waiting[0] === sn && next !== undefined ? this.#send(next, now) : [];
  }

  /** For commands of ours that nobody answers. */
  nextSn(): number {
    this.#sn = (this.#sn % MAX_SN) + 1;
    return this.#sn;
  }
}

function outcomeOf(question: Question, records: RecordList | undefined): QuestionOutput[] {
  if (records !== undefined) return [{ type: 'records', question, list: records, complete: records.complete }];
  return question.tellsEnd === true ? [{ type: 'done', question }] : [];
}
