/** A password that is typed without echo, or the first line of what is piped in: never an argument, which others on this machine could read. */
import { GatewayError } from '#core/result.ts';
import type { Context } from '../command.ts';

const MAX_CHARS = 256;

export async function readSecret({ terminal, signal }: Context, prompt: string): Promise<string> {
  return terminal === null ? firstLine() : await typed(terminal, prompt, signal);
}

async function firstLine(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.includes('\n') || text.length > MAX_CHARS) break;
  }
  return checked(text.split(/\r?\n/)[0]!);
}

function typed(terminal: NonNullable<Context['terminal']>, prompt: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const end = (settle: () => void): void => {
      keys[Symbol.dispose]();
      signal.removeEventListener('abort', onAbort);
      terminal.write('\n');
      settle();
    };
    const onAbort = (): void => end(() => reject(new GatewayError('BAD_REQUEST', { why: 'interrupted' })));
    const keys = terminal.keys(key => {
      if (key === 'enter') end(() => resolve(checked(text)));
      else if (key === 'ctrl-c' || key === 'ctrl-d') onAbort();
      else if (key === 'backspace') text = text.slice(0, -1);
      else if (key === 'space') text += ' ';
      else if (key.length <= 2 && text.length < MAX_CHARS) text += key;
    });
    signal.addEventListener('abort', onAbort);
    // Asked when keys are taken already: what is typed at once shows on the screen otherwise.
    terminal.write(prompt);
  });
}

function checked(text: string): string {
  if (text === '' || text.length > MAX_CHARS) throw new GatewayError('BAD_REQUEST', { why: 'no password was given' });
  return text;
}
