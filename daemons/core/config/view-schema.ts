/** Schema of what one upstream sees (upstreams[].view) and of what engineers know about channels that their devices do not say. */
import { z } from 'zod';

const MAX_IDS = 10_000;
const MAX_RULES = 256;

const gbId = z.string().regex(/^[0-9A-Za-z]{1,64}$/, 'expected an ID: digits, 20 of them in GB/T 28181');
const groupId = z.string().regex(/^\d{10}215\d{7}$/, 'expected 20 digits with type 215');
const organisationId = z.string().regex(/^\d{10}216\d{7}$/, 'expected 20 digits with type 216');
const prefix = z.string().regex(/^\d{1,20}$/, 'expected up to 20 digits');
const civilCode = z.string().regex(/^(\d{2}){1,4}$/, 'expected 2, 4, 6 or 8 digits');
const tag = z.string().regex(/^[\p{L}\p{N}_-]{1,32}$/u, 'expected 1 to 32 letters, digits, - or _');
const line = (max: number): z.ZodString => z.string().max(max).regex(/^[^\0-\x1f\x7f]*$/, 'expected one line of text');
const time = z.string().regex(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, 'expected a time such as 08:00');
const degrees = (max: number): z.ZodNumber => z.number().min(-max).max(max);

/** All kinds that are given must fit; of one kind any value does. */
const match = {
  nodes: z.array(gbId).max(1000).default([]).describe('under one of these nodes as devices publish them: devices, groups, organisations, regions'),
  ids: z.array(prefix).max(MAX_IDS).default([]).describe('device or channel IDs or prefixes'),
  names: z.array(line(128).min(1)).max(256).default([]).describe('names; * is any text, ? any character'),
  tags: z.array(tag).max(64).default([]).describe('tags of channels[]'),
  civilCodes: z.array(civilCode).max(1000).default([]).describe('regions, with what lies in them'),
};

export const PERMISSIONS = ['live', 'playback', 'ptz', 'control', 'alarms', 'query', 'voice', 'config', 'maintenance'] as const;
export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

const allowance = z.strictObject({
  what: z.array(z.enum(PERMISSIONS)).min(1).max(PERMISSIONS.length).describe('permissions that are given'),
  days: z.array(z.enum(WEEKDAYS)).min(1).max(7).default([...WEEKDAYS]).describe('days on which the time begins'),
  from: time.default('00:00').describe('Beijing time'),
  to: time.default('24:00').describe('not included; earlier than from: on the next day'),
});

const rule = z.strictObject({
  show: z.boolean().default(true).describe('false: what fits is not seen'),
  ...match,
  name: line(128).default('').describe('name toward this upstream, see view.name; empty: that one'),
  allow: z.array(allowance).max(32).default([]).describe('what may be done with it and when, within permissions; empty: always all of them'),
});

const organisation = z.strictObject({
  id: organisationId.describe('20 digits with type 216'),
  name: line(128).min(1).describe('its name'),
  parent: z.union([organisationId, z.literal('')]).default('').describe('organisation above it; empty: the group'),
  ...match,
});

const group = z.strictObject({
  id: groupId.describe('20 digits with type 215'),
  name: line(128).min(1).describe('its name'),
  civilCode: z.union([civilCode, z.literal('')]).default('').describe('its region; empty: that of localId'),
  organisations: z.array(organisation).max(1000).default([]).describe('with the channels that fit; one without conditions has none'),
});

const fixed = z.strictObject({
  channel: gbId.describe('ID as its device knows it'),
  device: z.union([gbId, z.literal('')]).default('').describe('its device; empty: the only one that has it'),
  id: z.union([z.string().regex(/^\d{20}$/, 'expected 20 digits'), z.literal('')]).default('').describe('ID toward this upstream; empty: as others'),
  name: line(128).default('').describe('name toward this upstream; empty: as others'),
});

const quota = z.strictObject({
  streams: z.int().min(0).max(10_000).default(0).describe('streams at once; more get 486; 0: as maxSessions says'),
  mbps: z.int().min(0).max(100_000).default(0).describe('Mbit/s of all its streams together; what would go beyond gets 503; 0: no limit'),
  streamMbps: z.number().min(0.1).max(100).default(4).describe('taken for a stream whose rate is not measured yet'),
});

export const viewSchema = z.strictObject({
  tree: z.enum(['civil', 'groups', 'flat']).optional().describe('civil: regions; groups: business groups and virtual organisations; flat: channels only; default civil, or flat with catalog.civilTree: false'),
  rules: z.array(rule).max(MAX_RULES).default([]).describe('the first rule that fits decides, what fits none is not seen; empty: all; always within share'),
  devices: z.boolean().default(false).describe('devices of several channels are items too, with their channels under them'),
  groupsFrom: z.enum(['configuration', 'devices']).default('configuration').describe('groups: the ones below, or those that devices publish'),
  groups: z.array(group).max(64).default([]).describe('business groups'),
  ungrouped: z.enum(['system', 'hidden']).default('system').describe('groups: what is in no organisation stands under our system, or is not seen'),
  compositeParents: z.boolean().default(false).describe('ParentID names every parent with / between; many platforms read only one'),
  ids: z.enum(['keep', 'own']).default('keep').describe('keep: IDs of the devices where nobody else has them; own: every channel gets one of ours; what was given once stays'),
  idPrefix: z.string().regex(/^(\d{10})?$/, 'expected 10 digits').default('').describe('first ten digits of IDs that we make; empty: those of localId'),
  fixed: z.array(fixed).max(MAX_IDS).default([]).describe('single channels with another ID or name'),
  name: line(128).default('{name}').describe('names: {name} {id} {channel} {device} {civil} {manufacturer} are filled in'),
  replace: z.array(z.strictObject({ find: line(64).min(1).describe('text in a name'), with: line(64).describe('what stands there instead') })).max(64).default([]).describe('replaced in names, one after the other'),
  status: z.enum(['actual', 'always-on', 'device', 'hide-offline']).default('actual').describe('device: OFF only when the device is offline; hide-offline: what is not ON is not seen'),
  healthAlarms: z.boolean().default(false).describe('faults of the gateway itself are sent to it as device faults, where alarms is true'),
  quota: quota.prefault({}).describe('how much it may have at once'),
  route: z.boolean().default(false).describe('items name the platforms that they came through: for an upstream that is a ViewLink gateway; needed where platforms in a ring all make IDs of their own'),
});

export const channelFactsSchema = z.strictObject({
  id: gbId.describe('channel ID as its device knows it'),
  device: z.union([gbId, z.literal('')]).default('').describe('its device; empty: any that has it'),
  name: line(128).default('').describe('its name; empty: as the device says, here and below'),
  tags: z.array(tag).max(64).default([]).describe('for view rules'),
  civilCode: z.union([civilCode, z.literal('')]).default('').describe('its region'),
  address: line(255).default('').describe('where it stands'),
  longitude: degrees(180).optional().describe('degrees, WGS-84'),
  latitude: degrees(90).optional().describe('degrees, WGS-84'),
});

export type ViewConfig = z.infer<typeof viewSchema>;
export type ViewRule = z.infer<typeof rule>;
export type ViewMatch = Pick<ViewRule, keyof typeof match>;
export type Allowance = z.infer<typeof allowance>;
export type ChannelFacts = z.infer<typeof channelFactsSchema>;
export type Permission = (typeof PERMISSIONS)[number];
export type Weekday = (typeof WEEKDAYS)[number];
