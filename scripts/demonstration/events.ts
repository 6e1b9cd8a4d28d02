/** What a platform hears without asking: changes of the catalogue and alarms, in one line each. */
import { readAlarm } from '#core/gb/alarm.ts';
import { systemClock as clock } from '#kit/clock.ts';
import type { CameraDevice } from '../simulators/camera/device.ts';
import { pause } from '../simulators/common/names.ts';
import type { Platform } from '../simulators/platform/platform.ts';

const LIMIT_MS = 10_000;
const LOOK_MS = 20;

export interface EventScene {
  readonly upstream: string;
  readonly platform: Platform;
  /** A platform that subscribes nothing. */
  readonly other: { readonly upstream: string; readonly platform: Platform };
  readonly camera: CameraDevice;
  /** By which the platforms know the channels of the camera, in its order. */
  readonly channelIds: readonly string[];
  readonly otherChannelIds: readonly string[];
  /** Until the gateway has the camera's catalogue again. */
  catalogued(): Promise<void>;
}

export interface Shown {
  readonly ok: boolean;
  readonly says: string;
}

async function until(holds: () => boolean): Promise<boolean> {
  for (const limit = clock.now() + LIMIT_MS; !holds(); await pause(clock, LOOK_MS)) if (clock.now() > limit) return false;
  return true;
}

const verdict = (ok: boolean): string => (ok ? '' : ' - NOT AS IT SHOULD BE');

/** An NVR goes and comes back: a subscriber hears OFF and ON of each of its channels, in order, and asks for nothing. */
export async function subscriptionOnce({ upstream, platform, camera, channelIds, catalogued }: EventScene): Promise<Shown> {
  const subscription = platform.subscribe('Catalog', { expiresS: 600 });
  const granted = await until(() => subscription.granted !== undefined && subscription.notifications.length > 0);
  const before = subscription.events.length;
  await camera.registration.stop(true);
  await until(() => subscription.events.length >= before + channelIds.length);
  const back = catalogued();
  camera.registration.start();
  await until(() => subscription.events.length >= before + 2 * channelIds.length);
  await back;
  const heard = subscription.events.slice(before);
  const expected = [...channelIds.map(id => `OFF ${id}`), ...channelIds.map(id => `ON ${id}`)];
  const ended = (await subscription.unsubscribe()) === 200;
  const ok = granted && ended && heard.join() === expected.join();
  return { ok, says: `${upstream} subscribed the catalogue; ${camera.id} went and came back: ${heard.filter(event => event.startsWith('OFF')).length} OFF, ${heard.filter(event => event.startsWith('ON')).length} ON in ${subscription.notifications.length} NOTIFY${verdict(ok)}` };
}

const ALARM = { priority: 2, method: '5', time: '2026-03-10T08:14:02', description: '越界 tripwire', longitude: undefined, latitude: undefined, type: '6', eventType: undefined };

/** One alarm: by NOTIFY to the platform that subscribed, by MESSAGE to the other one, and a Response to the camera. */
export async function alarmOnce({ upstream, platform, other, camera, channelIds, otherChannelIds }: EventScene): Promise<Shown> {
  const subscription = platform.subscribe('Alarm', { content: '<StartAlarmPriority>1</StartAlarmPriority><EndAlarmPriority>4</EndAlarmPriority><AlarmMethod>0</AlarmMethod>' });
  await until(() => subscription.granted !== undefined);
  const [before, messages] = [other.platform.notices.length, platform.notices.length];
  const status = await camera.sendAlarm({ alarm: ALARM });
  const arrived = await until(() => subscription.notifications.length === 1 && other.platform.notices.length === before + 1 && camera.alarmResponses.length > 0);
  const byNotify = subscription.notifications[0]?.message;
  const byMessage = other.platform.notices[before];
  const right = [byNotify, byMessage].every(each => each !== undefined && readAlarm(each.element).description === ALARM.description) && byNotify?.deviceId === channelIds[0] && byMessage?.deviceId === otherChannelIds[0];
  await subscription.unsubscribe();
  const ok = arrived && right && status === 200 && platform.notices.length === messages;
  return { ok, says: `${camera.channels[0]!.id} reported ${ALARM.description}: ${upstream}, which subscribed, got a NOTIFY for ${byNotify?.deviceId ?? '-'}; ${other.upstream} got a MESSAGE for ${byMessage?.deviceId ?? '-'}; the camera got its Response${verdict(ok)}` };
}
