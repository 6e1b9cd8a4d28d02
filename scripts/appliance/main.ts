/** image/test: the built image in virtual machines, without the processor's help, so a start takes minutes. See image/test --help. */
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '#kit/clock.ts';
import { enterWorld } from '../lab/pair.ts';
import type { Case } from './case.ts';
import boot from './case-boot.ts';
import cuts from './case-cuts.ts';
import hardware from './case-hardware.ts';
import install from './case-install.ts';
import pair from './case-pair.ts';
import power from './case-power.ts';
import update from './case-update.ts';

const CASES: readonly Case[] = [boot, update, hardware, install, pair, power, cuts];
const USAGE = `image/test [--built FOLDER] [--cuts N] [--starts N] [--keep] [CASE...]
${CASES.map(({ name, help }) => `  ${name.padEnd(10)} ${help}`).join('\n')}
What was seen goes to FOLDER/transcript.txt too (FOLDER: .cache/image when left out). --keep: the machines of a case that went well stay.
`;

const { values, positionals } = parseArgs({
  options: { built: { type: 'string', default: '.cache/image' }, cuts: { type: 'string', default: '20' }, starts: { type: 'string', default: '3' }, keep: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } },
  allowPositionals: true,
});
const wanted = CASES.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
const needsImage = wanted.some(({ withoutImage = false }) => !withoutImage);
if (!needsImage) mkdirSync(values.built, { recursive: true });
const disk = join(values.built, 'disk.img');
if (values.help || wanted.length < positionals.length) {
  process.stdout.write(USAGE);
  process.exitCode = values.help ? 0 : 64;
} else if (needsImage && !existsSync(disk)) {
  process.stderr.write(`${disk} is not there: image/build first\n`);
  process.exitCode = 66;
} else if (!needsImage || enterWorld({ beside: true })) {
  let failed = 0;
  for (const one of wanted) if (!(await holds(one))) failed++;
  process.stdout.write(`${wanted.length - failed} passed, ${failed} failed\n`);
  process.exit(failed === 0 ? 0 : 1);
}

async function holds(one: Case): Promise<boolean> {
  const built = realpathSync(values.built);
  const work = mkdtempSync(`/var/tmp/viewlink-${one.name}-`);
  const began = clock.now();
  const say = (text: string): void => {
    const line = `${one.name} ${((clock.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}\n`;
    process.stdout.write(line);
    appendFileSync(join(built, 'transcript.txt'), line);
  };
  const check = (isSo: boolean, text: string): void => {
    say(`${isSo ? 'ok' : 'NOT OK'}  ${text}`);
    if (!isSo) throw new Error(text);
  };
  try {
    await one.run({ work, disk: needsImage ? realpathSync(disk) : disk, built, cuts: Number(values.cuts), starts: Number(values.starts), say, check });
    say('passed');
    if (!values.keep) rmSync(work, { recursive: true });
    return true;
  } catch (error) {
    say(`FAILED: ${why(error)}\nleft for a look: ${work}`);
    return false;
  }
}

/** First what went wrong, then what went wrong because of that. */
function why(error: unknown): string {
  if (error instanceof SuppressedError) return `${why(error.suppressed)}; then ${why(error.error)}`;
  return error instanceof Error ? error.message : String(error);
}
