/** Output of one command in the shell: as it comes while it fits the screen, page by page when it does not. */
import type { Output } from '../context.ts';
import type { Terminal } from '../terminal.ts';
import { applyFilters, type Filter } from './filters.ts';
import type { IdleWatch } from './idle-watch.ts';
import { Pager, rowsOf } from './pager.ts';

/** What is kept of a command that never ends. */
const MAX_HELD_LINES = 200_000;

export class PagedOutput implements Output {
  readonly #output: Output;
  readonly #filters: readonly Filter[];
  readonly #paged: boolean;
  #rowsLeft: number;
  #rest = '';
  #held: string[] = [];
  #muted = false;

  /** `paged` is false for what draws by itself. */
  constructor(output: Output, filters: readonly Filter[], paged: boolean) {
    this.#output = output;
    this.#filters = filters;
    this.#paged = paged && this.terminal !== null && !filters.some(({ kind }) => kind === 'no-more');
    this.#rowsLeft = (this.terminal?.rows ?? 0) - 1;
  }

  get terminal(): Terminal | null {
    return this.#output.terminal ?? null;
  }

  /** A command that was given up says nothing more. */
  mute(): void {
    this.#muted = true;
  }

  err(text: string): void {
    if (!this.#muted) this.#output.err(text);
  }

  out(text: string): void {
    if (this.#muted) return;
    if (!this.#paged && this.#filters.length === 0) return this.#output.out(text);
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) this.#line(line);
  }

  #line(line: string): void {
    const rows = this.terminal === null ? 1 : rowsOf(line, this.terminal.columns);
    if (this.#filters.length === 0 && this.#held.length === 0 && rows <= this.#rowsLeft) {
      this.#rowsLeft -= rows;
      this.#output.out(`${line}\n`);
    } else if (this.#held.length < MAX_HELD_LINES) {
      this.#held.push(line);
    }
  }

  /** After the command: what has not been seen yet. Resolves when the reader has had enough. */
  async finish(idle: IdleWatch): Promise<void> {
    if (this.#rest !== '') this.out('\n');
    const filtered = this.#filters.length > 0;
    const text = filtered ? applyFilters(this.#held.map(line => `${line}\n`).join(''), this.#filters) : '';
    const lines = filtered ? text.split('\n').slice(0, -1) : this.#held;
    if (lines.length === 0 || this.#muted) return;
    const terminal = this.terminal;
    if (!this.#paged || terminal === null || (filtered && fits(lines, terminal))) return this.#output.out(lines.map(line => `${line}\n`).join(''));
    await turnPages(new Pager(lines, () => terminal), terminal, !filtered, idle);
  }
}

const fits = (lines: readonly string[], { rows, columns }: Terminal): boolean => lines.reduce((sum, line) => sum + rowsOf(line, columns), 0) < rows;

async function turnPages(pager: Pager, terminal: Terminal, screenIsFull: boolean, idle: IdleWatch): Promise<void> {
  const first = pager.start(screenIsFull);
  terminal.write(first.write);
  if (first.done) return;
  const enough = Promise.withResolvers<void>();
  using _keys = terminal.keys(key => {
    idle.touch();
    const step = pager.key(key);
    terminal.write(step.write);
    if (step.done) enough.resolve();
  });
  await Promise.race([enough.promise, idle.over]);
}
