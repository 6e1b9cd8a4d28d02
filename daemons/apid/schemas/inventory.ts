/** Devices, channels, platforms and what plays, as the API tells of them. */
import { z } from 'zod';
import type { ChannelRow, DeviceRow, ResourceRow, SessionRow, UpstreamRow, UpstreamTotals, ViewReport, WhyReport } from '#contracts/sipd.ts';
import { wallMs } from './common.ts';

const status = z.enum(['ON', 'OFF']);
const text = z.string().nullable();
const ms = z.number().nullable();

export const device: z.ZodType<DeviceRow> = z
  .strictObject({
    id: z.string(),
    name: text,
    manufacturer: text,
    model: text,
    firmware: text,
    edition: z.enum(['2016', '2022']),
    dialect: z.string(),
    dialectBy: z.string(),
    state: z.enum(['online', 'offline']),
    reason: text.describe('why it is offline'),
    transport: z.enum(['UDP', 'TCP']).nullable(),
    address: text,
    expiresInMs: ms,
    lastKeepaliveAgeMs: ms,
    channels: z.int(),
    catalog: z.strictObject({ state: z.enum(['none', 'running', 'complete', 'partial']), expected: z.int(), received: z.int(), atWallMs: wallMs.nullable() }),
  })
  .meta({ id: 'Device' });

export const channel: z.ZodType<ChannelRow> = z
  .strictObject({
    deviceId: z.string(),
    channelId: z.string(),
    name: z.string(),
    status,
    manufacturer: text,
    civilCode: text,
    mapped: z.array(z.strictObject({ upstream: z.string(), id: z.string() })).describe('its ID toward each platform above'),
    playing: z.boolean(),
  })
  .meta({ id: 'Channel' });

export const upstream: z.ZodType<UpstreamRow> = z
  .strictObject({
    name: z.string(),
    id: z.string(),
    localId: z.string(),
    transport: z.enum(['UDP', 'TCP']),
    address: z.string(),
    state: z.enum(['disabled', 'registering', 'online', 'waiting']),
    reason: text,
    retryInMs: ms,
    expiresInMs: ms,
    lastKeepaliveAgeMs: ms,
    sharedChannels: z.int(),
    onlineChannels: z.int(),
    accessedChannels: z.int(),
    playingChannels: z.int(),
    sessions: z.int(),
    bitrateBps: ms,
  })
  .meta({ id: 'Upstream' });

export const totals: z.ZodType<UpstreamTotals> = z.strictObject({ channels: z.int(), shared: z.int(), accessed: z.int(), online: z.int(), playing: z.int() }).meta({ id: 'Totals' });

export const resource: z.ZodType<ResourceRow> = z
  .strictObject({
    id: z.string(),
    name: text,
    rule: z.enum(['configured', 'same-id', 'same-name', 'same-address']),
    status,
    sources: z.array(z.strictObject({ deviceId: z.string(), channelId: z.string(), name: text, known: z.boolean(), status })),
  })
  .meta({ id: 'Resource' });

const viewRow: z.ZodType<ViewReport['rows'][number]> = z
  .strictObject({
    id: z.string(),
    kind: z.string() as unknown as z.ZodType<ViewReport['rows'][number]['kind']>,
    depth: z.int(),
    under: text,
    name: z.string(),
    status: status.nullable(),
    parentId: text,
    civilCode: text,
    deviceId: text,
    channelId: text,
    permitted: z.array(z.string()),
    atTimes: z.array(z.string()),
  })
  .meta({ id: 'ViewRow' });

export const view: z.ZodType<ViewReport> = z
  .strictObject({
    upstream: z.string(),
    rows: z.array(viewRow),
    changes: z.array(z.strictObject({ type: z.enum(['added', 'removed', 'changed']), before: viewRow.nullable(), after: viewRow.nullable(), fields: z.array(z.string()) })).nullable(),
    problems: z.array(z.string()),
    hidden: z.array(z.strictObject({ deviceId: z.string(), channelId: z.string(), name: z.string(), why: z.string() })),
  })
  .meta({ id: 'View' });

export const session = z
  .strictObject({
    sessionId: z.string(),
    upstream: z.string(),
    deviceId: z.string(),
    channelId: z.string(),
    mappedId: z.string(),
    state: z.string(),
    sourceState: z.string(),
    learnt: text,
    ageMs: z.number(),
    recording: z.strictObject({ kind: z.enum(['Playback', 'Download']), startS: z.number(), stopS: z.number(), state: z.enum(['playing', 'paused', 'over']), positionS: z.number(), scale: z.number() }).nullable(),
    media: z.strictObject({ codecs: z.array(z.string()), packets: z.int(), lost: z.int(), frozenMs: ms }).nullable(),
  })
  .meta({ id: 'Session' });

export function sessionOf({ sessionId, upstream: name, deviceId, channelId, mappedId, state, sourceState, learnt, ageMs, recording, bridge }: SessionRow): z.output<typeof session> {
  const media = bridge === null ? null : { codecs: [...bridge.source.codecs], packets: bridge.source.packets, lost: bridge.source.lost, frozenMs: bridge.gate?.frozenMs ?? bridge.units?.frozenMs ?? null };
  return { sessionId, upstream: name, deviceId, channelId, mappedId, state, sourceState, learnt, ageMs, recording, media };
}

export const why: z.ZodType<WhyReport> = z
  .strictObject({
    channel: z.string(),
    verdict: z.enum(['playable', 'broken']),
    firstBroken: z.enum(['channel', 'register', 'catalogue', 'invite', 'ports', 'rtp', 'ps', 'upstream']).nullable(),
    steps: z.array(
      z.strictObject({
        step: z.enum(['channel', 'register', 'catalogue', 'invite', 'ports', 'rtp', 'ps', 'upstream']),
        verdict: z.enum(['ok', 'broken', 'unknown']),
        says: z.string(),
        evidence: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
      }),
    ),
  })
  .meta({ id: 'Why' });
