/** /sys/class/hwmon and, where that says nothing of temperature, thermal zones. Which files there are is looked up once a minute. */
import { type Sensor, hwmonFiles, parseHwmon } from '#core/health/linux/hwmon.ts';
import { measureSensors } from '#core/health/measure/hardware.ts';
import type { Measured } from '#core/health/model.ts';
import type { Sysroot } from './sysroot.ts';

const MAX_CHIPS = 32;
/** Readings between two looks at the directories. */
const LOOK_EVERY = 6;

export class SensorReader {
  readonly #sysroot: Sysroot;
  /** Files by directory. */
  #chips: ReadonlyMap<string, readonly string[]> = new Map();
  #readings = 0;
  readonly #turned = new Set<string>();

  constructor(sysroot: Sysroot) {
    this.#sysroot = sysroot;
  }

  read(): Measured {
    if (this.#readings++ % LOOK_EVERY === 0) this.#look();
    const sensors = [...this.#chips].flatMap(([directory, names]) => parseHwmon(this.#files(directory, names)));
    if (!sensors.some(({ kind }) => kind === 'temperature')) sensors.push(...this.#zones());
    for (const { kind, name, value } of sensors) if (kind === 'fan' && value > 0) this.#turned.add(name);
    return measureSensors(sensors, this.#turned);
  }

  #look(): void {
    const chips = this.#sysroot.list('/sys/class/hwmon').slice(0, MAX_CHIPS);
    this.#chips = new Map(chips.map(chip => [`/sys/class/hwmon/${chip}`, hwmonFiles(this.#sysroot.list(`/sys/class/hwmon/${chip}`))]));
  }

  #files(directory: string, names: readonly string[]): ReadonlyMap<string, string> {
    return new Map(names.flatMap(name => {
      const text = this.#sysroot.text(`${directory}/${name}`);
      return text === undefined ? [] : [[name, text] as const];
    }));
  }

  #zones(): Sensor[] {
    const zones = this.#sysroot.list('/sys/class/thermal').filter(name => name.startsWith('thermal_zone')).slice(0, MAX_CHIPS);
    return zones.flatMap(zone => {
      const [type, temperature] = [this.#sysroot.text(`/sys/class/thermal/${zone}/type`), this.#sysroot.text(`/sys/class/thermal/${zone}/temp`)];
      return temperature === undefined ? [] : parseHwmon(new Map([['name', zone], ['temp1_input', temperature], ['temp1_label', type ?? '']]));
    });
  }
}
