/** Chinese help of every key of the configuration, by its place in the schema; test/house holds both lists together. */
import { DEVICES_ZH } from './help-zh/devices.ts';
import { MEDIA_ZH } from './help-zh/media.ts';
import { SYSTEM_ZH } from './help-zh/system.ts';
import { UPSTREAMS_ZH } from './help-zh/upstreams.ts';

export type HelpLanguage = 'en' | 'zh';

export const HELP_ZH: Readonly<Record<string, string>> = { ...DEVICES_ZH, ...UPSTREAMS_ZH, ...MEDIA_ZH, ...SYSTEM_ZH };

/** Undefined: there is none. */
export const zhHelpOf = (at: string): string | undefined => (Object.hasOwn(HELP_ZH, at) ? HELP_ZH[at] : undefined);
