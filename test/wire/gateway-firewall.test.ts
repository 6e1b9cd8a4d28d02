/** The packet filter of a configuration between a real gateway and the world, in network namespaces (faults 23 and 25). Needs root. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { BanReport } from '#contracts/sipd.ts';
import { runTool } from '../rig/run-tool.ts';

interface Seen {
  readonly open: Readonly<Record<'undeclared' | 'ssh', string>>;
  readonly closed: Readonly<Record<'undeclared' | 'ssh' | 'management' | 'sip' | 'media', string>>;
  readonly undeclared: number;
  readonly ban: BanReport;
  readonly during: Readonly<Record<'heard' | 'dropped' | 'asked' | 'answered', number>>;
  readonly shown: Readonly<Record<'bans' | 'removed' | 'again' | 'none', string>>;
  readonly flood: Readonly<Record<'passed' | 'dropped', number>>;
  readonly off: string;
}

t.test('what is declared passes, what is not does not, and who scans is shut out before he reaches a process', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vl-firewall-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const { code, stdout, stderr } = await runTool('unshare', ['--net', '--mount', process.execPath, 'test/rig/firewall-scenario.ts', directory], 90_000);
  t.equal(code, 0, stderr);
  const seen = JSON.parse(stdout) as Seen;
  t.same(seen.open, { undeclared: 'answered', ssh: 'answered' }, 'without it everything is answered');
  t.same(seen.closed, { undeclared: 'silence', ssh: 'silence', management: 'answered', sip: 'answered', media: 'answered' });
  t.ok(seen.undeclared >= 2, `${seen.undeclared} were counted`);
  t.match(seen.ban, { site: '203.0.113.7', reason: 'scanner', count: 2, times: 1, first: /^OPTIONS sip:34020000002000000001@3402000000 SIP\/2\.0$/ });
  t.match(seen.during, { heard: 0, asked: 100, answered: 100 }, 'the process hears nothing of it, and the camera loses nothing');
  t.equal(seen.during.dropped, 500);
  t.match(seen.shown, { bans: /^0\nADDRESS +WHY[^]*203\.0\.113\.7 +scans/, removed: /^0\n[^]*203\.0\.113\.7 is let in again/, again: /^1\n[^]*203\.0\.113\.7 was not shut out/, none: /^0\nnobody is shut out/ });
  // Two seconds' worth at once, and what comes on top while it lasts.
  t.ok(seen.flood.passed >= 400 && seen.flood.passed < 1500, `${seen.flood.passed} of 3000 passed`);
  t.ok(seen.flood.dropped > 1500, `${seen.flood.dropped} were dropped`);
  t.equal(seen.off, '', 'switched off, nothing of it is left');
});
