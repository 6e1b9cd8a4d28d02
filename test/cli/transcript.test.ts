/** A recorded session, from the factory to a playing channel: transcript.txt is the document, this plays it. As root, as CI is. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type { PtyOutcome } from '../rig/pty-session.ts';
import type { Played } from './transcript-stage.ts';

const HERE = import.meta.dirname;

/** Output of one of our programs on a machine of its own. */
async function onMachine(test: Test, ...argv: readonly string[]): Promise<string> {
  const scratch = mkdtempSync(join(tmpdir(), 'vl-machine-'));
  test.teardown(() => rmSync(scratch, { recursive: true, force: true }));
  const { stdout } = await promisify(execFile)('unshare', ['-m', '-n', 'sh', join(HERE, 'machine.sh'), scratch, process.execPath, ...argv], { timeout: 160_000, maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

t.test('vlink configure at a terminal', async t => {
  const { steps, code, history, leaked } = JSON.parse(await onMachine(t, join(HERE, 'configure-stage.ts'))) as PtyOutcome & { readonly history: string; readonly leaked: string };
  t.notMatch(steps.at(-1), /not seen\]/, 'every step came to its end');
  t.equal(code, 0);
  t.notMatch(steps.join(''), 'CANARY', 'a secret is not echoed');
  t.equal(leaked, '', 'nor is it left anywhere');
  t.equal(history, 'set log level debug\ncompare\nexit\ncommit confirm 5 comment first try\nrun config history | include first\nconfirm\nexit\n');
});

t.test('transcript.txt', async t => {
  const stdout = await onMachine(t, join(HERE, 'transcript-stage.ts'), join(HERE, 'transcript.txt'));
  const played = stdout.trimEnd().split('\n').map(line => JSON.parse(line) as Played);
  t.ok(played.length > 20, `${played.length} commands`);
  for (const { command, expected, got, fits } of played) t.ok(fits, command, { expected, got });
});
