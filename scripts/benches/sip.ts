/**
 * scripts/bench sip [--json] [--profile DIRECTORY]: what the signalling daemon bears, measured from outside on real sockets.
 * The load runs in processes of its own; reference loops run in the same minute. Exit code 1 when a limit is missed.
 */
import { mkdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { channelFigures } from './sip/channels-part.ts';
import { changeFigures } from './sip/changes-part.ts';
import { deviceFigures } from './sip/devices-part.ts';
import { isMet, machine, printFigures } from './common/figures.ts';

const { values } = parseArgs({ options: { json: { type: 'boolean', default: false }, profile: { type: 'string' } } });
if (values.profile !== undefined) mkdirSync(values.profile, { recursive: true });

const figures = [...(await deviceFigures(values.profile)), ...(await channelFigures(values.profile)), ...(await changeFigures())];
const met = figures.every(isMet);
if (values.json) console.log(JSON.stringify({ bench: 'sip', machine: machine(), met, figures: figures.map(figure => ({ ...figure, met: isMet(figure) })) }, undefined, 2));
else printFigures('sip', figures);
process.exitCode = met ? 0 : 1;
