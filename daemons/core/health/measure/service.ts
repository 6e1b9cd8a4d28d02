/** What the gateway is there for: devices below, platforms above. */
import { formatGbTime } from '../../gb/gb-time.ts';
import { type WallMs, wallMs } from '../../units.ts';
import { Gathering, type Measured, percentOf, shown } from '../model.ts';

/** More than this at once is one alarm, not one each. */
const MAX_SINGLE = 20;
/** Of so many devices a share may always be off. */
const USUAL_PERCENT = 5;

export interface ServiceFacts {
  readonly devices: { readonly online: number; readonly offline: number; readonly neverRegistered: number };
  readonly gone: readonly { readonly id: string; readonly name: string | null; readonly reason: string; readonly lastSeenAgeMs: number }[];
  readonly channels: { readonly all: number; readonly online: number };
  readonly upstreams: readonly { readonly name: string; readonly state: string; readonly reason: string | null; readonly sessions: number }[];
  readonly sources: readonly unknown[];
  readonly store: { readonly state: string; readonly queued: number; readonly refused: number; readonly origin: string };
}

/** Until the next start of sipd. */
const ORIGINS: Readonly<Record<string, string>> = { whole: 'what was written is there', 'from-backup': 'damaged: its last backup is in use', anew: 'damaged, and there was no backup: begun anew' };

export function measureService({ devices, gone, channels, upstreams, sources, store }: ServiceFacts, now: WallMs): Measured {
  const found = new Gathering();
  for (const [state, count] of [['online', devices.online], ['offline', devices.offline], ['never-registered', devices.neverRegistered]] as const) found.sample('viewlink_devices', { state }, count);
  found.sample('viewlink_channels', { state: 'all' }, channels.all);
  found.sample('viewlink_channels', { state: 'online' }, channels.online);
  found.sample('viewlink_sources', {}, sources.length);
  found.sample('viewlink_store_queued', {}, store.queued);
  for (const { name, state, reason, sessions } of upstreams) {
    const labels = { upstream: name };
    found.sample('viewlink_upstream_up', labels, state === 'online' ? 1 : 0);
    found.sample('viewlink_sessions', labels, sessions);
    if (state !== 'disabled') found.observe('upstream.offline', `upstream:${name}`, state === 'online' ? 0 : 1, state === 'online' ? `registered, ${sessions} sessions` : `${state}${reason === null ? '' : `: ${reason}`}`);
  }
  found.observe('store.failing', 'store:sipd', store.state === 'ok' ? 0 : 1, store.state === 'ok' ? 'writes reach the disk' : `${store.state}, ${store.queued} writes wait, ${store.refused} given up`);
  observeOrigin(found, 'sipd', store.origin);
  found.complete.push('upstream.offline');
  observeDevices(found, devices, gone, now);
  return found;
}

/** What a database of ours was found to be at the last start. */
export function observeOrigin(found: Gathering, store: string, origin: string): void {
  found.observe('store.restored', `store:${store}`, origin === 'whole' ? 0 : 1, ORIGINS[origin] ?? origin);
}

/** Each that is gone, or all of them as one. */
function observeDevices(found: Gathering, { online, offline, neverRegistered }: ServiceFacts['devices'], gone: ServiceFacts['gone'], now: WallMs): void {
  const massive = offline >= MAX_SINGLE && percentOf(offline, online + offline) >= USUAL_PERCENT;
  const never = neverRegistered === 0 ? '' : `, ${neverRegistered} never registered`;
  found.observe('devices.mass-offline', 'devices', massive ? offline : 0, `${online} online, ${offline} offline (${shown(percentOf(offline, online + offline))} %)${never}`);
  if (massive || gone.length > MAX_SINGLE) return;
  if (gone.length >= offline) found.complete.push('device.offline');
  for (const { id, name, reason, lastSeenAgeMs } of gone) found.observe('device.offline', `device:${id}`, 1, `${name === null ? '' : `${name}: `}${reason}, last heard ${formatGbTime(wallMs(now - lastSeenAgeMs))}`);
}
