/** Presets of a camera as its answers to PresetQuery list them (gb28181.md 3.2). */
import { type XmlElement, childOf, textOf } from './xml.ts';

export const MAX_PRESETS = 255;
const MAX_NAME = 128;

export interface Preset {
  /** 1 to 255. */
  readonly preset: number;
  /** Empty: it has none. */
  readonly name: string;
}

/** Of one part of the answer. Total: what is no preset is left out. */
export function readPresetList(element: XmlElement): Preset[] {
  const items = (childOf(element, 'presetlist')?.children ?? []).filter(({ key }) => key === 'item');
  return items.slice(0, MAX_PRESETS).flatMap(item => {
    const id = textOf(item, 'presetid') ?? '';
    const preset = /^\d{1,3}$/.test(id) ? Number(id) : 0;
    return preset >= 1 && preset <= MAX_PRESETS ? [{ preset, name: (textOf(item, 'presetname') ?? '').slice(0, MAX_NAME) }] : [];
  });
}
