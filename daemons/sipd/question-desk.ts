/** Questions to cameras under SNs of ours, whoever asks: IO around core/gb/forwarded-questions. */
import { ForwardedQuestions, type Question, type QuestionInput, type QuestionOutput } from '#core/gb/forwarded-questions.ts';
import { buildManscdp } from '#core/gb/manscdp-write.ts';
import { Alarm, type Clock } from '#kit/clock.ts';
import type { Random } from '#kit/random.ts';
import type { Catalogs } from './catalogs.ts';
import type { Counters } from '#kit/counters.ts';

const MAX_FIRST_SN = 1_000_000_000;

export type QuestionAnswer = QuestionOutput & { readonly type: 'relay' | 'records' | 'failed' | 'done' };

export interface QuestionDeskDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: Counters;
  readonly catalogs: Catalogs;
  /** To whom asked: `question.upstream` says who. */
  give(answer: QuestionAnswer): void;
}

export class QuestionDesk implements Disposable {
  readonly #deps: QuestionDeskDeps;
  readonly #questions: ForwardedQuestions;
  readonly #alarm: Alarm;
  #closed = false;

  constructor(deps: QuestionDeskDeps) {
    this.#deps = deps;
    this.#questions = new ForwardedQuestions(deps.random.int(MAX_FIRST_SN));
    this.#alarm = new Alarm(deps.clock, () => this.feed({ type: 'tick' }));
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#alarm[Symbol.dispose]();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** For commands of ours that nobody answers. */
  nextSn(): number {
    return this.#questions.nextSn();
  }

  ask(question: Question): void {
    this.feed({ type: 'ask', question });
  }

  feed(input: QuestionInput): void {
    if (this.#closed) return;
    for (const output of this.#questions.handle(input, this.#deps.clock.now())) this.#carryOut(output);
    this.#alarm.arm(this.#questions.deadline);
  }

  #carryOut(output: QuestionOutput): void {
    if (output.type === 'unasked') return this.#deps.counters.add(`device.unasked.${output.cmdType}`);
    if (output.type !== 'send') return this.#deps.give(output);
    const { sn, question } = output;
    const { root, cmdType, deviceId, channelId, content } = question;
    void this.#deps.catalogs.ask(deviceId, buildManscdp(root, cmdType, { sn, deviceId: channelId }, content)).then(accepted => {
      if (!accepted) this.feed({ type: 'refused', sn });
    });
  }
}
