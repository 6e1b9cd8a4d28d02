/** A platform turns a camera, stops it, and asks for its presets and recordings: what came of it, in one line. */
import { childOf, textOf } from '#core/gb/xml.ts';
import { LENS_STOP, PTZ_STOP, formatPtz } from '#core/gb/ptz.ts';
import { systemClock as clock } from '#kit/clock.ts';
import type { CameraDevice } from '../simulators/camera/device.ts';
import { pause } from '../simulators/common/names.ts';
import type { Platform } from '../simulators/platform/platform.ts';

const LIMIT_MS = 5000;
const LOOK_MS = 20;
const COMMANDS = [{ ...PTZ_STOP, pan: 'left', panSpeed: 64 }, PTZ_STOP, { ...LENS_STOP, focus: 'far', focusSpeed: 32 }, LENS_STOP, { kind: 'preset-set', preset: 9 }] as const;

export interface ControlScene {
  readonly upstream: string;
  readonly platform: Platform;
  readonly camera: CameraDevice;
  /** By which the platform knows the first channel of the camera. */
  readonly channelId: string;
}

/** `ok`: everything reached the camera under its own ID, and every answer came back under that of the platform. */
export async function controlOnce({ upstream, platform, camera, channelId }: ControlScene): Promise<{ readonly ok: boolean; readonly says: string }> {
  const own = camera.channels[0]!.id;
  const sent = COMMANDS.map(command => formatPtz({ command, address: 1 }));
  const arrived = (): string[] => camera.controls.filter(control => control.channelId === own).map(control => control.value);
  for (const [index, command] of sent.entries()) {
    await platform.control(channelId, `<PTZCmd>${command}</PTZCmd>`);
    // As an operator does: what comes faster than the camera takes it is put together.
    for (const limit = clock.now() + LIMIT_MS; arrived().length <= index && clock.now() < limit; ) await pause(clock, LOOK_MS);
  }
  const presets = childOf((await platform.ask('Query', 'PresetQuery', channelId)).element, 'presetlist')?.children ?? [];
  const records = await platform.records(channelId, '2026-03-10T00:00:00', '2026-03-10T12:00:00');
  const ok = arrived().join() === sent.join() && presets.some(item => textOf(item, 'presetid') === '9') && records.complete && records.items.every(item => textOf(item, 'deviceid') === channelId);
  return { ok, says: `${upstream} turned and focused ${channelId} (${own} at ${camera.id}): ${arrived().length} of ${sent.length} commands; ${presets.length} presets; ${records.items.length} recordings in ${records.parts.length} messages${ok ? '' : ' - NOT AS IT SHOULD BE'}` };
}
