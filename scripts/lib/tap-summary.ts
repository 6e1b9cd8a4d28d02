/**
 * TAP from `tap --reporter=tap` on stdin -> one line a test file, what failed in full, and `N passed, N failed` at the end. Exit code 1
 * when something failed.
 *
 * LEDGER, the argument: a file that keeps the counts by test file. When it has some already, the files of this run take the place of
 * those, so that the last line counts each file once.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { Parser, type Result } from 'tap-parser';

interface Count {
  passed: number;
  failed: number;
}

const [ledgerPath] = process.argv.slice(2);
if (ledgerPath === undefined) throw new Error('usage: tap-summary LEDGER < TAP');
const ledger: Record<string, Count> = existsSync(ledgerPath) ? (JSON.parse(readFileSync(ledgerPath, 'utf8')) as Record<string, Count>) : {};

function diagnosis({ diag }: Result): string {
  if (diag === undefined || diag === null) return '';
  const text = JSON.stringify(diag, null, 2).replaceAll(String.raw`\n`, '\n').trimEnd();
  return text.split('\n').map(line => `    ${line}\n`).join('');
}

/** Counts the assertions of one test and of all below it; a test that only failed as a whole (time limit, plan, crash) counts as one failure. */
function count(parser: Parser, depth: number): Count {
  const own: Count = { passed: 0, failed: 0 };
  let child: Count | undefined;
  parser.on('child', (sub: Parser) => (child = count(sub, depth + 1)));
  parser.on('assert', (result: Result) => {
    const below = child;
    child = undefined;
    const failedHere = !result.ok && (below === undefined || below.failed === 0);
    const file: Count = { passed: below?.passed ?? (result.ok ? 1 : 0), failed: (below?.failed ?? 0) + (failedHere ? 1 : 0) };
    own.passed += file.passed;
    own.failed += file.failed;
    if (failedHere) process.stdout.write(`not ok: ${result.fullname}\n${diagnosis(result)}`);
    if (depth > 0) return;
    ledger[result.name] = file;
    const seconds = result.time === null || result.time === undefined ? '' : `, ${(result.time / 1000).toFixed(1)} s`;
    process.stdout.write(`${result.ok ? 'ok  ' : 'FAIL'} ${result.name}: ${file.passed} passed, ${file.failed} failed${seconds}\n`);
  });
  return own;
}

function finish(ok: boolean, here: Count): void {
  // The run as a whole: cut off, or with nothing in it.
  if (!ok && here.failed === 0) ledger['the run'] = { passed: 0, failed: 1 };
  writeFileSync(ledgerPath!, JSON.stringify(ledger));
  const files = Object.values(ledger);
  const passed = files.reduce((sum, file) => sum + file.passed, 0);
  const failed = files.reduce((sum, file) => sum + file.failed, Number(process.env['VIEWLINK_FAILED_STEPS'] ?? 0));
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

const parser = new Parser();
const here = count(parser, 0);
parser.on('complete', ({ ok }: { ok: boolean }) => finish(ok, here));
process.stdin.pipe(parser);
