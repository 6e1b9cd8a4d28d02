/** The dialects, and which of them a peer speaks. */
import { dahua } from './dahua.ts';
import { db33 } from './db33-629.ts';
import type { DialectFile } from './dialect-file.ts';
import { hikvision, hikvisionPlatform, hikvisionRecorder } from './hikvision.ts';
import { keda } from './keda.ts';
import { standard } from './standard.ts';
import { DEVICE_DEFAULTS, type DeviceSwitches, type EffectiveDeviceSwitches } from './switches.ts';
import { tplink } from './tplink.ts';
import { uniview } from './uniview.ts';
import { wvp } from './wvp.ts';

export type { DialectFile } from './dialect-file.ts';

export const DIALECT_FILES: readonly DialectFile[] = [standard, hikvision, hikvisionPlatform, hikvisionRecorder, dahua, uniview, keda, tplink, wvp, db33];

const BY_NAME: ReadonlyMap<string, DialectFile> = new Map(DIALECT_FILES.map(file => [file.name, file]));
/** For the schema of the configuration. */
export const DIALECT_NAMES = ['auto', ...BY_NAME.keys()] as readonly string[] as readonly [string, ...string[]];
/** Longer words of a peer about itself are not looked at. */
const MAX_CLAIM_CHARS = 256;

/** What a peer says of itself; undefined: it has not yet. */
export interface PeerClaims {
  readonly userAgent: string | undefined;
  readonly manufacturer: string | undefined;
}

export interface ChosenDialect {
  readonly file: DialectFile;
  /** Why: `configured`, or the words by which it was recognized. */
  readonly by: string;
  readonly byName: boolean;
}

/** `configured`: a name, or `auto`. A name that nobody knows is as `auto`: the schema has refused it before. */
export function chooseDialect(configured: string, { userAgent, manufacturer }: PeerClaims): ChosenDialect {
  const named = BY_NAME.get(configured);
  if (named !== undefined) return { file: named, by: 'configured', byName: true };
  const fits = (pattern: RegExp | undefined, text: string | undefined): boolean => pattern !== undefined && text !== undefined && pattern.test(text.slice(0, MAX_CLAIM_CHARS));
  const byAgent = DIALECT_FILES.find(file => fits(file.userAgent, userAgent));
  if (byAgent !== undefined) return { file: byAgent, by: `User-Agent ${userAgent!.slice(0, MAX_CLAIM_CHARS)}`, byName: false };
  const byMaker = DIALECT_FILES.find(file => fits(file.manufacturer, manufacturer));
  if (byMaker !== undefined) return { file: byMaker, by: `Manufacturer ${manufacturer!.slice(0, MAX_CLAIM_CHARS)}`, byName: false };
  return { file: standard, by: 'nothing known of it', byName: false };
}

/** Configuration goes before the dialect, the dialect before the defaults. A switch that none of them sets is absent. */
export function deviceSwitchesOf(configured: DeviceSwitches, { file, byName }: ChosenDialect): EffectiveDeviceSwitches {
  return { ...DEVICE_DEFAULTS, ...file.device, ...(byName ? file.deviceByName : {}), ...present(configured) };
}

const present = <T extends object>(value: T): Partial<T> => Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as Partial<T>;
