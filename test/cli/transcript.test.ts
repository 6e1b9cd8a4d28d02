/** A recorded session, from the factory to a playing channel: transcript.txt is the document, this plays it. As root, as CI is. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import type { Played } from './transcript-stage.ts';

const HERE = import.meta.dirname;

t.test('transcript.txt', async t => {
  const scratch = mkdtempSync(join(tmpdir(), 'vl-transcript-'));
  t.teardown(() => rmSync(scratch, { recursive: true, force: true }));
  const { stdout } = await promisify(execFile)('unshare', ['-m', '-n', 'sh', join(HERE, 'machine.sh'), scratch, process.execPath, join(HERE, 'transcript-stage.ts'), join(HERE, 'transcript.txt')], { timeout: 160_000, maxBuffer: 16 * 1024 * 1024 });
  const played = stdout.trimEnd().split('\n').map(line => JSON.parse(line) as Played);
  t.ok(played.length > 20, `${played.length} commands`);
  for (const { command, expected, got, fits } of played) t.ok(fits, command, { expected, got });
});
