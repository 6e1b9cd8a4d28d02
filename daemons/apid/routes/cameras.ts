/** What a camera is watched and steered by. */
import { z } from 'zod';
import { GatewayError } from '#core/result.ts';
import { MAX_HOLD_MS, localControl, ptzCommand as anyPtzCommand } from '#kit/request-schemas-controls.ts';
import { authorOf } from '../caller.ts';
import { API_BASE, type Route, defineRoute } from '../route.ts';
import { channelPath, queryInt, streamNumber, wallMs } from '../schemas/common.ts';
import type { ChannelRow } from '#contracts/sipd.ts';

/** Recorders search long, and one after the other. */
const CAMERA_TIMEOUT_MS = 65_000;
const SNAPSHOT_TIMEOUT_MS = 60_000;
const DEFAULT_HOLD_MS = 2000;
const MAX_LIVE_MINUTES = 1440;

const ptzCommand = anyPtzCommand.meta({ id: 'PtzCommand' });
const control = localControl.meta({ id: 'CameraControl' });
const live = z
  .strictObject({
    leaseId: z.string().nullable().describe('null: it is opened when somebody looks'),
    expiresAtWallMs: wallMs.describe('of the tokens in the addresses'),
    urls: z.array(z.strictObject({ protocol: z.string(), url: z.string() })),
  })
  .meta({ id: 'Live' });
const presetRows = z.strictObject({ preset: z.int(), name: z.string() }).meta({ id: 'Preset' });
const records = z
  .strictObject({
    complete: z.boolean().describe('as many came as were announced'),
    missing: z.int(),
    records: z.array(z.strictObject({ name: z.string(), startWallMs: wallMs.nullable(), endWallMs: wallMs.nullable(), type: z.string().nullable(), bytes: z.number().nullable() })),
  })
  .meta({ id: 'Records' });

/** As sipd and mediad name one camera. */
const nameOf = ({ deviceId, channelId }: ChannelRow): string => `${deviceId}/${channelId}`;
const outletNameOf = ({ deviceId, channelId }: ChannelRow): string => `${deviceId}-${channelId}`;

export const cameraRoutes: readonly Route[] = [
  defineRoute({
    id: 'openLive',
    method: 'POST',
    path: `${API_BASE}/channels/{channel}/live`,
    summary: 'Addresses where a channel can be watched, with tokens; keepOpen: the camera plays already when somebody looks',
    access: 'watch',
    scope: 'channel',
    audit: 'live.open',
    params: channelPath,
    body: z.strictObject({ streamNumber, minutes: z.int().min(1).max(MAX_LIVE_MINUTES).default(60), keepOpen: z.boolean().default(false) }),
    answer: live,
    async handle({ services: { daemons, leases }, caller, channel, body: { streamNumber, minutes, keepOpen }, note }) {
      const link = await daemons.mediadOf(channel.deviceId, channel.channelId);
      const { expiresAtWallMs, urls } = await link.call('outletUrls', { channel: outletNameOf(channel), streamNumber, minutes });
      note({ target: nameOf(channel), after: { streamNumber, minutes, keepOpen } });
      const instance = daemons.instances.find(name => daemons.mediad(name) === link)!;
      const lease = keepOpen ? await leases.open({ user: caller.user, deviceId: channel.deviceId, channelId: channel.channelId, streamNumber, instance }, minutes) : undefined;
      return { leaseId: lease?.leaseId ?? null, expiresAtWallMs, urls: [...urls] };
    },
  }),
  defineRoute({
    id: 'closeLive',
    method: 'DELETE',
    path: `${API_BASE}/live/{leaseId}`,
    summary: 'A channel need not be kept open any more',
    access: 'watch',
    scope: 'filtered',
    audit: 'live.close',
    params: z.object({ leaseId: z.string().regex(/^apid-\d{1,3}$/) }),
    answer: null,
    async handle({ services: { leases }, caller, params: { leaseId } }) {
      if (leases.lease(leaseId)?.user !== caller.user) throw new GatewayError('PEER_UNKNOWN', { name: leaseId });
      await leases.close(leaseId);
    },
  }),
  defineRoute({
    id: 'takeSnapshot',
    method: 'GET',
    path: `${API_BASE}/channels/{channel}/snapshot`,
    summary: 'A picture, as JPEG',
    access: 'watch',
    scope: 'channel',
    audit: 'snapshot',
    params: channelPath,
    query: z.strictObject({ streamNumber: queryInt(0, 99).optional(), width: queryInt(16, 8192).optional() }),
    answer: { contentType: 'image/jpeg' },
    async handle({ services: { daemons }, channel, query: { streamNumber = 0, width } }) {
      const link = await daemons.mediadOf(channel.deviceId, channel.channelId);
      const { jpegBase64 } = await link.call('snapshot', { channel: outletNameOf(channel), streamNumber, width: width ?? null }, { timeoutMs: SNAPSHOT_TIMEOUT_MS });
      return { contentType: 'image/jpeg', bytes: Buffer.from(jpegBase64, 'base64') };
    },
  }),
  defineRoute({
    id: 'steerChannel',
    method: 'POST',
    path: `${API_BASE}/channels/{channel}/ptz`,
    summary: 'Steers a camera; a movement ends by itself after holdMs unless it is said again',
    access: 'operate',
    scope: 'channel',
    audit: 'ptz',
    params: channelPath,
    body: z.strictObject({ command: ptzCommand, holdMs: z.int().min(100).max(MAX_HOLD_MS).default(DEFAULT_HOLD_MS) }),
    answer: null,
    async handle({ services: { daemons }, caller, channel, body: { command, holdMs }, note }) {
      note({ target: nameOf(channel), after: { ...command } });
      await daemons.sipd.call('ptz', { channel: nameOf(channel), command, holdMs, author: authorOf(caller) });
    },
  }),
  defineRoute({
    id: 'controlChannel',
    method: 'POST',
    path: `${API_BASE}/channels/{channel}/control`,
    summary: 'Switches of a camera: recording, guard, alarm reset, I-frame, home position',
    access: 'operate',
    scope: 'channel',
    audit: 'control',
    params: channelPath,
    body: control,
    answer: null,
    async handle({ services: { daemons }, caller, channel, body, note }) {
      note({ target: nameOf(channel), after: { ...body } });
      await daemons.sipd.call('control', { channel: nameOf(channel), control: body, author: authorOf(caller) }, { timeoutMs: CAMERA_TIMEOUT_MS });
    },
  }),
  defineRoute({
    id: 'listPresets',
    method: 'GET',
    path: `${API_BASE}/channels/{channel}/presets`,
    summary: 'Presets that a camera lists',
    access: 'operate',
    scope: 'channel',
    params: channelPath,
    answer: z.array(presetRows),
    async handle({ services: { daemons }, caller, channel }) {
      const { presets } = await daemons.sipd.call('presets', { channel: nameOf(channel), author: authorOf(caller) }, { timeoutMs: CAMERA_TIMEOUT_MS });
      return [...presets];
    },
  }),
  defineRoute({
    id: 'listRecords',
    method: 'GET',
    path: `${API_BASE}/channels/{channel}/records`,
    summary: 'Recordings that a camera or its recorder lists, of a span of time',
    access: 'watch',
    scope: 'channel',
    audit: 'records.list',
    params: channelPath,
    query: z.strictObject({ fromWallMs: queryInt(0, 7_258_118_400_000), toWallMs: queryInt(0, 7_258_118_400_000) }),
    answer: records,
    async handle({ services: { daemons }, caller, channel, query, note }) {
      note({ target: nameOf(channel), after: { ...query } });
      const { complete, missing, records } = await daemons.sipd.call('records', { channel: nameOf(channel), ...query, author: authorOf(caller) }, { timeoutMs: CAMERA_TIMEOUT_MS });
      return { complete, missing, records: [...records] };
    },
  }),
];
