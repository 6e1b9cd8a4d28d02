import t from 'tap';
import { endedInstead, spanMs, type UnitFacts, unitFacts } from '#core/config/comeback.ts';

const facts = (change: Partial<UnitFacts> = {}): UnitFacts => ({ state: 'activating', result: 'success', hasJob: false, restarts: 3, startLimitMs: 120_000, ...change });

t.test('whether a unit is on its way', async t => {
  const before = facts({ state: 'active' });
  const cases: readonly (readonly [string, Partial<UnitFacts>, RegExp | null])[] = [
    ['still ending', { state: 'active' }, null],
    ['ended, and about to start', { state: 'activating', restarts: 3 }, null],
    ['starts', { restarts: 4 }, null],
    ['ended in that, and starts again', { restarts: 5 }, /^ended as it started, and is tried again$/],
    ['its configuration is wrong', { state: 'failed', result: 'exit-code', restarts: 4 }, /^ended as it started \(exit-code\)$/],
    ['tried too often', { state: 'failed', result: 'start-limit-hit', restarts: 4 }, /start-limit-hit/],
    ['between its end and its start', { state: 'inactive', hasJob: true, restarts: 4 }, null],
    ['stopped by somebody', { state: 'inactive', restarts: 0 }, /^was stopped$/],
  ];
  for (const [name, change, why] of cases) {
    const said = endedInstead(before, facts(change));
    if (why === null) t.equal(said, null, name);
    else t.match(said, why, name);
  }
});

t.test('what systemctl prints', async t => {
  for (const [text, expected] of [['2min', 120_000], ['1min 30s', 90_000], ['15s 500ms', 15_500], ['1d 2h', 93_600_000], ['infinity', null], ['', null], ['7 parsecs', null]] as const) t.equal(spanMs(text), expected, text);
  const shown = (load: string): string => `NRestarts=2\nResult=exit-code\nTimeoutStartUSec=2min\nLoadState=${load}\nActiveState=failed\n`;
  t.same(unitFacts(shown('loaded')), { state: 'failed', result: 'exit-code', hasJob: false, restarts: 2, startLimitMs: 120_000 });
  t.equal(unitFacts(`${shown('loaded')}Job=412\n`)?.hasJob, true);
  t.equal(unitFacts(`${shown('loaded')}Job=\n`)?.hasJob, false);
  t.equal(unitFacts(shown('not-found')), null);
  t.equal(unitFacts(''), null);
});
