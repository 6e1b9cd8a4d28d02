/**
 * vlink on a terminal: reads lines, completes words, keeps a history, shows long output page by page.
 *
 *               line              Ctrl-C: the command alone ends
 *   reading ----------> running ---------------------------------+
 *    ^  |                  | done                                |
 *    |  |                  v                                     |
 *    |  |               paging <---------------------------------+
 *    |  |                  | q, last line
 *    +--|------------------+
 *       | Ctrl-D, exit: the mode is left; the last one ends the shell
 *       v
 *     ended  <--- nobody pressed a key for too long
 */
import type { Completion, Context, ModeStep, ShellMode } from '../command.ts';
import { createContext, type Output, type Surroundings } from '../context.ts';
import { explain } from '../explain.ts';
import { Interrupted } from '../interrupted.ts';
import { say } from '../language.ts';
import { inertLines } from '../render.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { systemClock } from '#kit/clock.ts';
import type { History } from './history.ts';
import type { IdleWatch } from './idle-watch.ts';
import { LineReader } from './line-reader.ts';
import type { Standing } from './standing.ts';
import { completionText } from './operational-mode.ts';
import { PagedOutput } from './paged-output.ts';

/** A command that does not heed Ctrl-C is left behind after this. */
const GIVE_UP_MS = 500;

export interface ShellOptions {
  /** What commands print to, and where keys come from. */
  readonly output: Output;
  readonly surroundings: Omit<Surroundings, 'output' | 'signal'>;
  readonly history: History;
  readonly standing: Standing;
  /** Where `run` of another mode leads. */
  readonly top: ShellMode;
  readonly idle: IdleWatch;
  /** Told when a line begins, so that what runs prints where it is paged and stops when it is told to. */
  readonly onRun: (output: Output, signal: AbortSignal) => void;
}

export class Shell {
  readonly #options: ShellOptions;
  readonly #modes: ShellMode[];
  readonly #reader: LineReader;
  /** Of the line that runs. */
  #running: AbortController | null = null;

  constructor(first: ShellMode, options: ShellOptions) {
    this.#options = options;
    this.#modes = [first];
    this.#reader = new LineReader({ history: options.history, onKey: () => options.idle.touch() });
  }

  /** Until it is left. Ctrl-C never ends it, not even between two lines. */
  async run(): Promise<void> {
    const interrupt = (): void => this.#running?.abort();
    process.on('SIGINT', interrupt);
    try {
      await this.#readLines();
    } finally {
      process.off('SIGINT', interrupt);
    }
  }

  async #readLines(): Promise<void> {
    const { idle, history, output, standing } = this.#options;
    await standing.look();
    this.#tellWhatWaits();
    for (;;) {
      await standing.look();
      const mode = this.#modes.at(-1);
      if (mode === undefined) return this.#tellWhatWaits();
      idle.touch();
      const line = await Promise.race([this.#reader.read(standing.mark + mode.prompt(standing.node), before => this.#complete(mode, before), this.#explain), idle.over.then(() => 'idle' as const)]);
      if (line === 'idle') return this.#endIdle();
      if (line === null) {
        output.out('\n');
        this.#modes.pop();
        continue;
      }
      const stop = new AbortController();
      this.#running = stop;
      await history.add(line.text);
      if (line.interrupted) {
        this.#running = null;
        output.err('^C\n');
        continue;
      }
      this.#follow(await this.#runLine(mode, line.text, stop.signal));
    }
  }

  /** Whoever comes may not know of it, and whoever goes may have forgotten. */
  #tellWhatWaits(): void {
    const { output, standing } = this.#options;
    if (standing.sentence !== null) output.err(`${inertLines(standing.sentence)}\n`);
  }

  #follow(step: ModeStep): void {
    if (typeof step === 'object' && 'atTop' in step) return;
    if (step === 'leave') this.#modes.pop();
    else if (step !== 'stay') this.#modes.push(step);
  }

  async #complete(mode: ShellMode, before: string): Promise<Completion> {
    const { top } = this.#options;
    const behindRun = mode === top ? null : /^\s*run\s+(.*)$/s.exec(before);
    const completion = behindRun === null ? mode.complete(before) : top.complete(behindRun[1]!);
    return completion.catch(() => ({ partial: '', candidates: [], hints: [] }));
  }

  readonly #explain = (completion: Completion): void => this.#options.output.out(`${inertLines(completionText(completion))}\n`);

  async #runIn(mode: ShellMode, line: string, context: Context): Promise<ModeStep> {
    const step = await mode.run(line, context);
    if (typeof step !== 'object' || !('atTop' in step)) return step;
    await this.#options.top.run(step.atTop, context);
    return 'stay';
  }

  #endIdle(): void {
    this.#reader.close();
    this.#tellWhatWaits();
    this.#options.output.out(`\n${say('nobody is here: closed')}\n`);
  }

  async #runLine(mode: ShellMode, line: string, signal: AbortSignal): Promise<ModeStep> {
    const { output, surroundings, idle } = this.#options;
    const paged = new PagedOutput(output, [], true);
    this.#options.onRun(paged, signal);
    idle.rest();
    try {
      const context = createContext({ ...surroundings, output: paged, signal });
      return await Promise.race([this.#runIn(mode, line, context), givenUp(signal)]);
    } catch (error) {
      if (error instanceof Interrupted) output.err('^C\n');
      else if (error instanceof GatewayError) output.err(`${inertLines(explain(error))}\n`);
      else throw error;
      return 'stay';
    } finally {
      this.#running = null;
      if (signal.aborted) paged.mute();
      idle.touch();
      await paged.finish(idle);
    }
  }
}

/** Rejects a while after Ctrl-C, when the command has not ended by itself. */
function givenUp(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const giveUp = (): void => void systemClock.schedule(addMs(systemClock.now(), GIVE_UP_MS), () => reject(new Interrupted()));
    if (signal.aborted) giveUp();
    else signal.addEventListener('abort', giveUp, { once: true });
  });
}
