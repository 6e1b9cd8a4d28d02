/** Between two gateways what is lost is asked for again (faults.md 2.1): a camera below the one, a viewer above the other, a bad network between. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { gatewayLeg } from '../../scripts/benches/loss/gateway-leg.ts';
import { ROWS } from '../../scripts/benches/loss/rows.ts';
import { loadFootage } from '../../scripts/media/footage.ts';
import { cleanPictures } from '../../scripts/media/picture-meter.ts';

t.setTimeout(120_000);
const directory = mkdtempSync(join(tmpdir(), 'viewlink-repair-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

const PICTURES = 125;
/** Without repair a viewer sees next to nothing at 5 %: each key picture has 70 packets. */
const LOSSES = [['1 %', 0.01], ['5 %', 0.05], ['10 %', 0.1], ['1 % in bursts of 5', 0.01]] as const;
const names: readonly string[] = ['0 %', ...LOSSES.map(([name]) => name), 'reordered 20 deep'];

await t.test('nothing damaged is shown, and nearly all is shown', async t => {
  const clean = await cleanPictures((await loadFootage('h264')).videoPath);
  const outcomes = await gatewayLeg({ rows: ROWS.filter(({ name }) => names.includes(name)), pictures: PICTURES, directory, clean });
  const at = (row: string) => outcomes.find(outcome => outcome.row === row)!;
  for (const { row, shown, sent, damaged, decoderErrors, worstSsim, lost } of outcomes) t.same({ damaged, decoderErrors, worstSsim }, { damaged: 0, decoderErrors: 0, worstSsim: 1 }, `${row}: ${shown} of ${sent} shown, ${lost} lost after repair`);
  // What the network loses comes back; what a machine that stands still makes late is another matter.
  for (const [row, share] of LOSSES) {
    const { packets, lost, late, shown } = at(row);
    t.ok(lost - late <= (packets * share) / 10, `${row}: ${lost} of ${packets}, ${late} late`);
    t.ok(shown >= PICTURES / 2, `${row}: ${shown}`);
  }
  for (const row of ['0 %', 'reordered 20 deep']) t.equal(at(row).lost - at(row).late, 0, `${row}: all came`);
});
