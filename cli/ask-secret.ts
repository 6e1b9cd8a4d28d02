/** A secret: typed without echo, or the first line of what is piped in. Never an argument: others see those. */
import { GatewayError } from '#core/result.ts';
import type { Context } from './command.ts';
import { Interrupted } from './interrupted.ts';
import type { Terminal } from './terminal.ts';

const MAX_SECRET = 4096;

/** BAD_REQUEST: nothing was given. `twice`: typed again, for nobody sees what he types. */
export async function askSecret(context: Context, what: string, twice = false): Promise<string> {
  const { terminal } = context;
  const secret = terminal === null ? await readPiped() : await typed(terminal, what);
  if (secret === '') throw new GatewayError('BAD_REQUEST', { why: `${what}: nothing was given` });
  if (terminal !== null && twice && (await typed(terminal, `${what}, again`)) !== secret) throw new GatewayError('BAD_REQUEST', { why: 'these were not the same' });
  return secret;
}

async function typed(terminal: Terminal, what: string): Promise<string> {
  const done = Promise.withResolvers<string>();
  let secret = '';
  using _keys = terminal.keys(key => {
    if (key === 'enter') done.resolve(secret);
    else if (key === 'ctrl-c' || key === 'ctrl-d' || key === 'escape') done.reject(new Interrupted());
    else if (key === 'backspace') secret = secret.slice(0, -1);
    else if (key === 'space') secret += ' ';
    else if ([...key].length === 1 && secret.length < MAX_SECRET) secret += key;
  });
  // Asked when keys are taken already: what is typed at once shows on the screen otherwise.
  terminal.write(`${what}: `);
  try {
    return await done.promise;
  } finally {
    terminal.write('\n');
  }
}

async function readPiped(): Promise<string> {
  let text = '';
  process.stdin.setEncoding('utf8');
  for await (const chunk of process.stdin) {
    text += chunk as string;
    if (text.includes('\n') || text.length > MAX_SECRET) break;
  }
  return text.split(/\r?\n/, 1)[0]!.slice(0, MAX_SECRET);
}
