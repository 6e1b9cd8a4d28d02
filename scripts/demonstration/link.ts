/** The same loss between two gateways of ours, which ask each other again for what did not come. */
import { gatewayLeg } from '../benches/loss/gateway-leg.ts';
import { ROWS } from '../benches/loss/rows.ts';
import type { CleanPictures } from '../media/picture-meter.ts';
import type { Shown } from './events.ts';

const ROW = '5 %';
const PICTURES = 150;
/** Nothing is frozen on a machine that has nothing else to do. */
const MOST_FROZEN_PERCENT = 5;

export async function linkOnce(clean: CleanPictures, directory: string): Promise<Shown> {
  const [outcome] = await gatewayLeg({ rows: ROWS.filter(({ name }) => name === ROW), pictures: PICTURES, directory, clean });
  const { sent, shown, damaged, decoderErrors, frozenPercent, lost } = outcome!;
  const ok = damaged === 0 && decoderErrors === 0 && shown > 0 && frozenPercent <= MOST_FROZEN_PERCENT;
  return { ok, says: `between two gateways ${ROW} are lost, 40 ms there and back, and asked for again: ${shown} of ${sent} pictures shown, ${damaged} damaged, frozen ${frozenPercent.toFixed(0)} % of the time, ${lost} packets lost after repair${ok ? '' : ' - NOT AS IT SHOULD BE'}` };
}
