/** Attributes of one /sys/class/hwmon/hwmonN or thermal zone, given by file name (Documentation/hwmon/sysfs-interface.rst). */
import { numberOf } from './text.ts';

const MAX_SENSORS = 64;

export interface Sensor {
  /** `coretemp Package id 0`, `nct6775 fan2`. */
  readonly name: string;
  readonly kind: 'temperature' | 'fan' | 'power' | 'voltage';
  /** Degrees Celsius, turns a minute, watts, volts. */
  readonly value: number;
  /** From where the maker calls it critical; null: he does not say. */
  readonly critical: number | null;
  readonly lowest: number | null;
  /** The chip itself says that it is wrong; null: it has no such bit. */
  readonly alarm: boolean | null;
}

const KINDS: readonly (readonly [RegExp, Sensor['kind'], divisor: number])[] = [
  [/^(temp\d{1,3})_input$/, 'temperature', 1000],
  [/^(fan\d{1,3})_input$/, 'fan', 1],
  [/^(power\d{1,3})_(?:input|average)$/, 'power', 1_000_000],
  [/^(in\d{1,3})_input$/, 'voltage', 1000],
];

/** Names that `parseHwmon` would like to have of a directory that holds these. */
export function hwmonFiles(names: readonly string[]): readonly string[] {
  return names.filter(name => name === 'name' || /^(temp|fan|power|in)\d{1,3}_(input|average|label|crit|min|alarm|fault)$/.test(name)).slice(0, MAX_SENSORS * 8);
}

/** What cannot be read of a sensor leaves it out: a fan that is not plugged in gives an error, not zero. */
export function parseHwmon(files: ReadonlyMap<string, string>): readonly Sensor[] {
  const chip = (files.get('name') ?? 'hwmon').trim().slice(0, 32);
  const sensors: Sensor[] = [];
  for (const [file, text] of files) {
    for (const [pattern, kind, divisor] of KINDS) {
      const stem = pattern.exec(file)?.[1];
      const value = numberOf(text.trim());
      if (stem === undefined || value === undefined || sensors.length >= MAX_SENSORS) continue;
      sensors.push({ name: `${chip} ${files.get(`${stem}_label`)?.trim().slice(0, 48) || stem}`, kind, value: value / divisor, critical: scaled(files, `${stem}_crit`, divisor), lowest: scaled(files, `${stem}_min`, divisor), alarm: flag(files, stem) });
    }
  }
  return sensors;
}

function scaled(files: ReadonlyMap<string, string>, file: string, divisor: number): number | null {
  const value = numberOf(files.get(file)?.trim());
  // Zero and absurd limits are what a maker leaves in place of none.
  return value === undefined || value <= 0 || value / divisor > 1_000_000 ? null : value / divisor;
}

function flag(files: ReadonlyMap<string, string>, stem: string): boolean | null {
  const bits = ['alarm', 'fault'].map(kind => files.get(`${stem}_${kind}`)?.trim()).filter(text => text === '0' || text === '1');
  return bits.length === 0 ? null : bits.includes('1');
}
