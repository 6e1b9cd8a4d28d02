/** One line of the shell without a shell: what `ssh gateway 'show devices | include offline'` asks for. */
import { EXIT_CODE } from '#core/result.ts';
import type { Output } from '../context.ts';
import { GRAMMAR } from '../program.ts';
import { inertLines } from '../render.ts';
import { type Desk, runArgv, sayFailure } from '../run.ts';
import { applyFilters } from './filters.ts';
import { readLine } from './operational-mode.ts';

/** Exit code. */
export async function runLine(line: string, desk: Desk, output: Output): Promise<number> {
  const reading = readLine(GRAMMAR, line);
  if (reading.kind === 'refused') {
    sayFailure(output, false, 'BAD_REQUEST', inertLines(reading.why));
    return EXIT_CODE.BAD_REQUEST;
  }
  if (reading.kind !== 'run') return 0;
  if (reading.filters.length === 0) return runArgv(reading.argv, desk, output);
  let text = '';
  const code = await runArgv(reading.argv, desk, { err: words => output.err(words), out: words => void (text += words), terminal: null });
  output.out(applyFilters(text, reading.filters));
  return code;
}
