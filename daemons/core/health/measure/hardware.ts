/** Temperatures, fans, power supplies, the clock. */
import type { ClockState } from '../linux/clock.ts';
import type { IpmiSensor } from '../linux/controllers.ts';
import type { Sensor } from '../linux/hwmon.ts';
import { Gathering, type Measured, shown } from '../model.ts';

const METRIC_OF: Readonly<Record<Sensor['kind'], string>> = { temperature: 'viewlink_temperature_celsius', fan: 'viewlink_fan_rpm', power: 'viewlink_power_watts', voltage: 'viewlink_voltage_volts' };
/** What sensors say that are not connected. */
const COLDEST_C = -55;
const HOTTEST_C = 150;

/** `turned`: fans that were seen to turn, or that should by their lowest speed: another that stands still may not exist. */
export function measureSensors(sensors: readonly Sensor[], turned: ReadonlySet<string>): Measured {
  const found = new Gathering();
  for (const sensor of sensors) {
    const { name, kind, value } = sensor;
    if (kind === 'temperature' && (value <= COLDEST_C || value >= HOTTEST_C)) continue;
    found.sample(METRIC_OF[kind], { sensor: name }, value);
    if (kind === 'temperature') observeTemperature(found, sensor);
    else if (kind === 'fan') observeFan(found, sensor, turned.has(name));
    else if (sensor.alarm !== null) found.observe('power.failed', `power:${name}`, sensor.alarm ? 1 : 0, `${shown(value)} ${kind === 'power' ? 'W' : 'V'}${sensor.alarm ? ', out of its limits' : ''}`);
  }
  return found;
}

function observeTemperature(found: Gathering, { name, value, critical }: Sensor): void {
  const subject = `temperature:${name}`;
  if (critical === null || critical >= HOTTEST_C) return found.observe('temperature', subject, value, `${shown(value)} C`);
  found.observe('temperature.margin', subject, critical - value, `${shown(value)} C, critical at ${shown(critical)} C`);
}

function observeFan(found: Gathering, { name, value, lowest, alarm }: Sensor, turned: boolean): void {
  const stands = value === 0 && (turned || lowest !== null || alarm === true);
  if (value === 0 && !stands) return;
  found.observe('fan.stopped', `fan:${name}`, stands ? 1 : 0, stands ? 'stands still' : `${Math.round(value)} turns a minute`);
}

/** Only what is wrong of a long list, and how many are well. */
export function measureIpmi(sensors: readonly IpmiSensor[]): Measured {
  const found = new Gathering();
  const present = sensors.filter(({ status }) => status !== 'ns');
  for (const { name, value, status } of present) {
    if (status === 'ok') found.observe('power.failed', 'ipmi', 0, `${present.length} sensors read`);
    else found.observe('power.failed', `ipmi:${name}`, 1, `${value}, ${status}`);
  }
  return found;
}

/** Asked a few times a day at the least; chrony itself counts as synchronised to a source however long that is silent. */
const SILENT_MS = 6 * 3_600_000;
const HOUR_MS = 3_600_000;

export interface ClockFacts {
  readonly atWallMs: number;
  /** Undefined: nothing that keeps the clock could be asked. */
  readonly state: ClockState | undefined;
  /** By how much the clock was set lately, in ms; the largest of the last minutes. */
  readonly steppedMs: number;
  readonly steps: number;
}

export function measureClock({ atWallMs, state, steppedMs, steps }: ClockFacts): Measured {
  const found = new Gathering();
  found.sample('viewlink_clock_steps_total', {}, steps);
  found.observe('clock.stepped', 'clock', steppedMs / 1000, steppedMs === 0 ? '' : `it was set by ${shown(steppedMs / 1000)} s`);
  if (state === undefined) {
    found.observe('clock.unsynchronised', 'clock', null, 'nothing that keeps it right could be asked');
    return found;
  }
  const { source, offsetMs, heardAtWallMs } = state;
  const silentMs = heardAtWallMs === null ? 0 : atWallMs - heardAtWallMs;
  const synchronised = state.synchronised && silentMs < SILENT_MS;
  found.sample('viewlink_clock_synchronised', {}, synchronised ? 1 : 0);
  found.sample('viewlink_clock_offset_seconds', {}, offsetMs === null ? null : offsetMs / 1000);
  found.observe('clock.unsynchronised', 'clock', synchronised ? 0 : 1, synchronised ? `kept right by ${source ?? 'NTP'}` : state.synchronised ? `nothing keeps it right: ${source ?? 'NTP'} was heard ${Math.floor(silentMs / HOUR_MS)} h ago` : 'nothing keeps it right');
  if (offsetMs !== null) found.observe('clock.offset', 'clock', Math.abs(offsetMs), `off by ${shown(offsetMs)} ms`);
  return found;
}
