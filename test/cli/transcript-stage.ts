/**
 * Plays a transcript (transcript.txt) on a machine of its own: starts the daemons as systemd would, types what stands behind
 * `$`, and compares what comes with what stands below. `transcript-stage.ts FILE` prints one line of JSON a command.
 *
 *     $ command           run by bash; `vlink` is ours
 *     $? command          again and again, until what comes fits
 *     $& command          goes on beside the others until the end
 *     ...                 any number of lines; within a line anything
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { DaemonProcess } from '../../scripts/lab/daemon-process.ts';

const ROOT = join(import.meta.dirname, '../..');
const CONFIG = '/etc/viewlink/gateway.yaml';
const UNTIL_S = 30;

export interface Played {
  readonly command: string;
  readonly expected: string;
  readonly got: string;
  readonly fits: boolean;
}

interface Line {
  readonly mark: '$' | '$?' | '$&';
  readonly command: string;
  readonly expected: readonly string[];
}

function linesOf(document: string): readonly Line[] {
  const lines: { mark: Line['mark']; command: string; expected: string[] }[] = [];
  for (const line of document.split('\n')) {
    const typed = /^(\$[?&]?) (.*)$/.exec(line);
    if (typed !== null) lines.push({ mark: typed[1] as Line['mark'], command: typed[2]!, expected: [] });
    else if (line !== '' && !line.startsWith('#')) lines.at(-1)?.expected.push(line);
  }
  return lines;
}

const escape = (part: string): string => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

function patternOf(expected: readonly string[]): RegExp {
  const rows = expected.map(line => (line === '...' ? '(?:.*\\n)*?' : `${line.split('...').map(escape).join('.*')}\\n`));
  return new RegExp(`^${rows.join('')}$`);
}

const env = { ...process.env, PATH: `${join(ROOT, 'cli')}:${process.env['PATH'] ?? ''}`, LANG: 'C.UTF-8' };

async function typed(command: string): Promise<string> {
  const child = spawn('bash', ['-c', command], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  // Columns of tables end where the longest value does; blanks there say nothing.
  return `${out}${err}`.split('\n').map(line => line.replace(/ {2,}/g, '  ').trimEnd()).filter(line => line !== '').map(line => `${line}\n`).join('');
}

async function play({ mark, command, expected }: Line, beside: ChildProcess[]): Promise<Played> {
  const pattern = patternOf(expected);
  if (mark === '$&') {
    beside.push(spawn('bash', ['-c', `exec ${command}`], { env, stdio: 'ignore' }));
    return { command, expected: '', got: '', fits: true };
  }
  const until = Date.now() + (mark === '$?' ? UNTIL_S * 1000 : 0);
  let got = await typed(command);
  while (!pattern.test(got) && Date.now() < until) got = await typed(command);
  return { command, expected: expected.join('\n'), got, fits: pattern.test(got) };
}

const daemon = (name: string, ...args: readonly string[]) => DaemonProcess.start({ name, entry: `daemons/${name}/main.ts`, args: ['--config', CONFIG, ...args], readyEvent: `${name}.ready`, logPath: `/run/${name}.log`, env: { NODE_COMPILE_CACHE: '/run/modules' } });

const beside: ChildProcess[] = [];
await using configd = await daemon('configd');
await using mediad = await daemon('mediad', '--instance', '1');
await using sipd = await daemon('sipd');
for (const line of linesOf(readFileSync(process.argv[2]!, 'utf8'))) process.stdout.write(`${JSON.stringify(await play(line, beside))}\n`);
for (const child of beside) {
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}
void [configd, mediad, sipd];
