/** image/test: the built image in virtual machines, without the processor's help, so a start takes a minute. See image/test --help. */
import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock as clock } from '#kit/clock.ts';
import type { Case } from './case.ts';
import boot from './case-boot.ts';
import hardware from './case-hardware.ts';
import power from './case-power.ts';
import update from './case-update.ts';

const CASES: readonly Case[] = [boot, hardware, update, power];

const { values, positionals } = parseArgs({ options: { built: { type: 'string', default: '.cache/image' }, keep: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } }, allowPositionals: true });
const wanted = CASES.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
if (values.help || wanted.length < positionals.length) {
  process.stdout.write(`image/test [--built FOLDER] [--keep] [CASE...]\n${CASES.map(({ name, help }) => `  ${name.padEnd(10)} ${help}`).join('\n')}\n`);
  process.exit(values.help ? 0 : 64);
}
const disk = join(values.built, 'disk.img');
if (!existsSync(disk)) {
  process.stderr.write(`${disk} is not there: image/build first\n`);
  process.exit(66);
}

let failed = 0;
for (const one of wanted) {
  const work = mkdtempSync(`/var/tmp/viewlink-${one.name}-`);
  const began = clock.now();
  const say = (text: string): void => void process.stdout.write(`${one.name} ${((clock.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}\n`);
  const check = (holds: boolean, text: string): void => {
    say(`${holds ? 'ok' : 'NOT OK'}  ${text}`);
    if (!holds) throw new Error(text);
  };
  try {
    await one.run({ work, disk: realpathSync(disk), built: realpathSync(values.built), say, check });
    say('passed');
    if (!values.keep) rmSync(work, { recursive: true });
  } catch (error) {
    failed++;
    say(`FAILED: ${error instanceof Error ? error.message : String(error)}\nleft for a look: ${work}`);
  }
}
process.stdout.write(`${wanted.length - failed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
