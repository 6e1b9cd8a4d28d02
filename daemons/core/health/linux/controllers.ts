/** RAID controllers and service processors by their own tools: `storcli /call/vall show J` (perccli is the same), `ssacli ctrl all show config`, `ipmitool sdr`. */
import { at, jsonOf, textAt } from './smart.ts';
import { linesOf } from './text.ts';

const MAX_UNITS = 256;

/** A logical drive or a member of one. */
export interface RaidUnit {
  readonly name: string;
  readonly good: boolean;
  /** In the words of the tool. */
  readonly state: string;
}

/** `Optl`: optimal; drives are `Onln` or a spare. Whatever else it says is not good. */
const STORCLI_GOOD = new Set(['Optl', 'Onln', 'GHS', 'DHS', 'UGood', 'JBOD']);

export function parseStorcli(text: string): readonly RaidUnit[] {
  const controllers = at(jsonOf(text), 'Controllers');
  if (!Array.isArray(controllers)) return [];
  const units: RaidUnit[] = [];
  controllers.slice(0, 16).forEach((controller, index) => {
    const data = at(controller as never, 'Response Data');
    for (const [list, key] of [['Virtual Drives', 'DG/VD'], ['VD LIST', 'DG/VD'], ['PD LIST', 'EID:Slt'], ['Drive Information', 'EID:Slt']] as const) {
      const rows = at(data, list);
      if (!Array.isArray(rows)) continue;
      for (const row of rows.slice(0, MAX_UNITS)) {
        const [name, state] = [textAt(row as never, key), textAt(row as never, 'State')];
        if (name !== null && state !== null && units.length < MAX_UNITS) units.push({ name: `c${index} ${name}`, good: STORCLI_GOOD.has(state), state });
      }
    }
  });
  return units;
}

/** `logicaldrive 1 (558.7 GB, RAID 1, OK)`, `physicaldrive 1I:1:2 (port 1I:box 1:bay 2, SAS HDD, 600 GB, Predictive Failure)`. */
export function parseSsacli(text: string): readonly RaidUnit[] {
  const units: RaidUnit[] = [];
  for (const line of linesOf(text)) {
    const found = /^\s*((?:logical|physical)drive \S{1,32}) \(([^()]{1,256})\)\s*$/.exec(line);
    if (found === null || units.length >= MAX_UNITS) continue;
    const words = found[2]!.split(', ');
    const state = (words.at(-1) === 'spare' ? words.at(-2) : words.at(-1)) ?? '';
    units.push({ name: found[1]!, good: state === 'OK', state });
  }
  return units;
}

export interface IpmiSensor {
  readonly name: string;
  readonly value: string;
  /** `ok`, `ns` (nothing there), `nc`, `cr`, `nr`. */
  readonly status: string;
}

/** `Fan1 RPM | 5880 RPM | ok`. */
export function parseIpmiSdr(text: string): readonly IpmiSensor[] {
  const sensors: IpmiSensor[] = [];
  for (const line of linesOf(text)) {
    const [name, value, status, more] = line.split('|', 4).map(part => part.trim());
    if (name === undefined || value === undefined || status === undefined || more !== undefined || name === '' || !/^[a-z]{2}$/.test(status) || sensors.length >= MAX_UNITS) continue;
    sensors.push({ name: name.slice(0, 64), value: value.slice(0, 64), status });
  }
  return sensors;
}
