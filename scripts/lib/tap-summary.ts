/** TAP from `tap --reporter=tap` on stdin -> one line a test file, what failed in full, and `N passed, N failed` at the end. Exit code 1 when something failed. */
import { Parser, type Result } from 'tap-parser';

let passed = 0;
let failed = Number(process.env['VIEWLINK_FAILED_STEPS'] ?? 0);

interface Count {
  passed: number;
  failed: number;
}

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
    own.passed += below?.passed ?? (result.ok ? 1 : 0);
    own.failed += (below?.failed ?? 0) + (failedHere ? 1 : 0);
    if (failedHere) process.stdout.write(`not ok: ${result.fullname}\n${diagnosis(result)}`);
    if (depth > 0) return;
    const seconds = result.time === null || result.time === undefined ? '' : `, ${(result.time / 1000).toFixed(1)} s`;
    process.stdout.write(`${result.ok ? 'ok  ' : 'FAIL'} ${result.name}: ${below?.passed ?? 0} passed, ${(below?.failed ?? 0) + (failedHere ? 1 : 0)} failed${seconds}\n`);
  });
  if (depth > 0) return own;
  parser.on('complete', ({ ok }: { ok: boolean }) => {
    passed += own.passed;
    failed += own.failed + (!ok && own.failed === 0 ? 1 : 0);
    process.stdout.write(`${passed} passed, ${failed} failed\n`);
    process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
  });
  return own;
}

const parser = new Parser();
count(parser, 0);
process.stdin.pipe(parser);
