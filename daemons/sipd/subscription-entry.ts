/** What one SUBSCRIBE of a platform asks for, and what is kept of it (gb28181.md 5.1). */
import type { AlarmFilter } from '#core/gb/alarm.ts';
import { type Manscdp, parseManscdp } from '#core/gb/manscdp.ts';
import { textOf } from '#core/gb/xml.ts';
import type { SipRequest } from '#core/sip/message.ts';
import { decodeBody } from '#kit/charset.ts';
import type { bootTime } from '#kit/clock.ts';
import type { Notifier, SubscriptionState } from '#kit/sip-endpoint.ts';
import type { CatalogSubscription } from './catalog-subscription.ts';

export const TOPICS = ['Catalog', 'Alarm', 'MobilePosition', 'PTZPosition'] as const;
export type Topic = (typeof TOPICS)[number];
export type PositionTopic = 'MobilePosition' | 'PTZPosition';
export const isPositionTopic = (topic: Topic): topic is PositionTopic => topic === 'MobilePosition' || topic === 'PTZPosition';
/** gb28181.md 3.11. */
export const DEFAULT_INTERVAL_S = 5;
const MAX_INTERVAL_S = 86_400;

/** Written as JSON. */
export interface StoredSubscription {
  readonly upstream: string;
  /** Another platform under the same name does not inherit it. */
  readonly upstreamId: string;
  readonly topic: Topic;
  readonly deviceId: string;
  readonly filter: AlarmFilter | undefined;
  readonly intervalS?: number;
  readonly state: SubscriptionState;
  readonly savedAtWallMs: number;
  /** Since a start of the machine; what an earlier release wrote has none. */
  readonly savedAt?: ReturnType<typeof bootTime>;
}

/** How long ago: by the time since the start of the machine, for the wall clock may have been set (fault 110); by the wall after another start, or on the other node. */
export function agoMs({ savedAt, savedAtWallMs }: Pick<StoredSubscription, 'savedAt' | 'savedAtWallMs'>, now: ReturnType<typeof bootTime>, wallMs: number): number {
  const isSameStart = savedAt !== undefined && savedAt.bootId !== '' && savedAt.bootId === now.bootId;
  return Math.max(0, isSameStart ? now.bootMs - savedAt.bootMs : wallMs - savedAtWallMs);
}

/** One subscription that was accepted. */
export interface SubscriptionEntry {
  readonly id: string;
  readonly upstream: string;
  readonly upstreamId: string;
  readonly topic: Topic;
  deviceId: string;
  filter: AlarmFilter | undefined;
  /** Of positions. */
  intervalS: number;
  readonly notifier: Notifier;
  catalog: CatalogSubscription | undefined;
}

/** The Query of a SUBSCRIBE; undefined when there is none that can be read. */
export function readQuery({ body }: SipRequest): Manscdp | undefined {
  const parsed = body.length === 0 ? undefined : parseManscdp(decodeBody(body).text);
  return parsed?.ok === true && parsed.value.root === 'Query' ? parsed.value : undefined;
}

/** Of a Query for positions; what cannot be read is the default. */
export function readInterval({ element }: Manscdp): number {
  const text = textOf(element, 'interval');
  const value = text !== undefined && /^\d{1,12}$/.test(text) ? Number(text) : DEFAULT_INTERVAL_S;
  return Math.min(MAX_INTERVAL_S, Math.max(1, value));
}
