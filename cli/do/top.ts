import { EXIT_CODE } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { systemClock } from '#kit/clock.ts';
import { type Context, defineCommand, JSON_FLAG } from '../command.ts';
import { ALTERNATE_SCREEN, CLEAR_BELOW, HOME, MAIN_SCREEN, type Terminal } from '../terminal.ts';
import { figuresOf, type TopFigures } from '../top/figures.ts';
import { lookAround } from '../top/look.ts';
import { afterKey, screenLines, type ScreenState } from '../top/screen.ts';
import { wallText } from '../values.ts';

const EVERY_MS = 1000;
const ERASE_TO_END = '\x1b[K';
const WITHOUT_TERMINAL = { columns: 200, rows: Infinity };
const FIRST: ScreenState = { sort: 'traffic', filter: '', typing: null };

const clockText = (): string => wallText(systemClock.wall())!.slice(-8);

export default defineCommand({
  path: 'top',
  access: 'read',
  help: 'what runs now: sessions, traffic, loss, frozen pictures, daemons, alarms; every second, until q',
  live: true,
  args: { once: { type: 'flag', help: 'look twice, a second apart, and print what was between' }, json: JSON_FLAG },
  async run(context, { once, json }) {
    if (once || json || context.terminal === null) return printOnce(context, json);
    await new Screen(context, context.terminal).run();
    return 0;
  },
});

async function printOnce(context: Context, json: boolean): Promise<number> {
  const before = await lookAround(context);
  await until(context.signal, EVERY_MS);
  const figures = figuresOf(before, await lookAround(context));
  context.print(figures, json, () => screenLines(figures, FIRST, WITHOUT_TERMINAL, clockText()).join('\n'));
  return figures.daemons.some(({ answers }) => answers) ? 0 : EXIT_CODE.DAEMON_UNREACHABLE;
}

/** Resolves after so long, or when it is interrupted. */
function until(signal: AbortSignal, delayMs: number): Promise<void> {
  return new Promise(resolve => {
    const timer = systemClock.schedule(addMs(systemClock.now(), delayMs), resolve);
    signal.addEventListener('abort', () => (timer[Symbol.dispose](), resolve()), { once: true });
  });
}

class Screen {
  readonly #context: Context;
  readonly #terminal: Terminal;
  readonly #ended = new AbortController();
  #state: ScreenState = FIRST;
  #figures: TopFigures | null = null;

  constructor(context: Context, terminal: Terminal) {
    this.#context = context;
    this.#terminal = terminal;
    context.signal.addEventListener('abort', () => this.#ended.abort(), { once: true });
  }

  async run(): Promise<void> {
    using _keys = this.#terminal.keys(key => this.#onKey(key));
    using _size = this.#terminal.resized(() => this.#draw());
    this.#terminal.write(ALTERNATE_SCREEN);
    try {
      let before = null;
      while (!this.#ended.signal.aborted) {
        const now = await lookAround(this.#context);
        this.#figures = figuresOf(before, now);
        before = now;
        this.#draw();
        await until(this.#ended.signal, EVERY_MS);
      }
    } finally {
      this.#terminal.write(MAIN_SCREEN);
    }
  }

  #onKey(key: string): void {
    const next = afterKey(this.#state, key);
    if (next === null) return this.#ended.abort();
    this.#state = next;
    this.#draw();
  }

  #draw(): void {
    if (this.#figures === null || this.#ended.signal.aborted) return;
    const { columns, rows } = this.#terminal;
    const lines = screenLines(this.#figures, this.#state, { columns, rows }, clockText());
    this.#terminal.write(`${HOME}${lines.map(line => `${line}${ERASE_TO_END}`).join('\r\n')}${CLEAR_BELOW}`);
  }
}
