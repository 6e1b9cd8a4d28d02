/** What was acknowledged to somebody while power cuts came, and whether a disk after a cut still knows it. */
import { readAlarm } from '#core/gb/alarm.ts';
import { systemClock as clock } from '#kit/clock.ts';
import type { CameraSimulator } from '../simulators/camera/simulator.ts';
import { pause } from '../simulators/common/names.ts';
import type { Platform } from '../simulators/platform/platform.ts';
import type { Found } from './after-cut.ts';
import type { CaseContext } from './case.ts';

/** Of priority 1: none of these is ever pushed out of the queue. */
const ALARM = { priority: 1, method: '5', time: '2026-03-10T08:14:02', longitude: undefined, latitude: undefined, type: '6', eventType: undefined } as const;

export interface Told {
  revision: number;
  /** Alarms of healthd that somebody has seen. */
  readonly seen: Set<number>;
  /** Descriptions of alarms that cameras know to be taken. */
  readonly alarms: Set<string>;
  catalogueChanges: number;
}

export const nothingTold = (): Told => ({ revision: 0, seen: new Set(), alarms: new Set(), catalogueChanges: 0 });
export const copyOf = (told: Told): Told => ({ ...told, seen: new Set(told.seen), alarms: new Set(told.alarms) });

/** Alarms and changes of the catalogue, one after another, until it is told to end. */
export async function writeFromOutside({ device }: CameraSimulator, told: Told, ending: AbortSignal, everyMs: number): Promise<void> {
  for (let n = told.alarms.size; !ending.aborted; n++) {
    const description = `alarm ${n} at ${clock.now()}`;
    if ((await device.sendAlarm({ alarm: { ...ALARM, description } })) === 200) told.alarms.add(description);
    const channel = device.channels[n % device.channels.length]!;
    if (!ending.aborted && (await device.notifyCatalog({ events: [{ id: channel.id, event: n % (2 * device.channels.length) < device.channels.length ? 'OFF' : 'ON' }] })) === 200) told.catalogueChanges += 1;
    await pause(clock, everyMs);
  }
}

/** A line on what is there; the case fails when something is missing. */
export function judge(told: Told, found: Found, platform: Platform, { check }: CaseContext): string {
  const { databases, broken, revision, audit, seen, waiting } = found;
  if (broken.length > 0 || databases === 0) check(false, `${databases} databases, damaged: ${broken.join('; ')}`);
  if (audit !== null) check(false, `audit log: ${audit}`);
  if (revision < told.revision) check(false, `revision ${told.revision} was acknowledged, ${revision} is there`);
  const unseen = [...told.seen].filter(id => !seen.includes(id));
  if (unseen.length > 0) check(false, `marks of the operator lost: ${unseen.join(' ')}`);
  const missing = missingFrom(told.alarms, [...waiting, ...heardBy(platform)]);
  if (missing.length > 0) check(false, `alarms lost: ${missing.join(', ')}`);
  return `${databases} databases whole; acknowledged and there: revision ${told.revision} (${revision}), ${told.alarms.size} alarms (${waiting.length} wait), ${told.seen.size} marks; ${told.catalogueChanges} catalogue changes`;
}

export function missingFrom(alarms: ReadonlySet<string>, there: readonly (string | undefined)[]): readonly string[] {
  const known = new Set(there);
  return [...alarms].filter(text => !known.has(text));
}

export const heardBy = (platform: Platform): readonly (string | undefined)[] => platform.notices.map(({ element }) => readAlarm(element).description);

/** Those that the platform has not heard at the limit. */
export async function untilHeard(platform: Platform, alarms: ReadonlySet<string>, limitMs: number): Promise<readonly string[]> {
  for (const limit = clock.now() + limitMs; ; await pause(clock, 100)) {
    const missing = missingFrom(alarms, heardBy(platform));
    if (missing.length === 0 || clock.now() > limit) return missing;
  }
}
