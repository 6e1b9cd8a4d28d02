/** Devices below, platforms above, channels between them, and what plays. */
import { z } from 'zod';
import { maySee, seesAll } from '../caller.ts';
import { API_BASE, type Route, defineRoute } from '../route.ts';
import { channelPath, gbId, queryFlag, queryInt, word } from '../schemas/common.ts';
import { channel, device, resource, session, sessionOf, totals, upstream, view, why } from '../schemas/inventory.ts';
import { GatewayError } from '#core/result.ts';

const MAX_PAGE = 1000;
const PROBE_TIMEOUT_MS = 60_000;
const devicePath = z.object({ deviceId: gbId });

export const inventoryRoutes: readonly Route[] = [
  defineRoute({
    id: 'listDevices',
    method: 'GET',
    path: `${API_BASE}/devices`,
    summary: 'Devices, recorders and platforms below',
    access: 'read',
    scope: 'filtered',
    query: z.strictObject({ state: z.enum(['online', 'offline']).optional() }),
    answer: z.array(device),
    async handle({ services: { daemons }, caller, query: { state } }) {
      const rows = await daemons.sipd.call('listDevices', {});
      return rows.filter(row => maySee(caller, row.id, '') && (state === undefined || row.state === state));
    },
  }),
  defineRoute({
    id: 'getDevice',
    method: 'GET',
    path: `${API_BASE}/devices/{deviceId}`,
    summary: 'One device',
    access: 'read',
    scope: 'filtered',
    params: devicePath,
    answer: device,
    async handle({ services: { daemons }, caller, params: { deviceId } }) {
      const found = (await daemons.sipd.call('listDevices', {})).find(row => row.id === deviceId && maySee(caller, row.id, ''));
      if (found === undefined) throw new GatewayError('PEER_UNKNOWN', { deviceId });
      return found;
    },
  }),
  defineRoute({
    id: 'refreshCatalog',
    method: 'POST',
    path: `${API_BASE}/devices/{deviceId}/catalog`,
    summary: 'Asks a device for its catalogue again',
    access: 'operate',
    scope: 'filtered',
    audit: 'catalog.refresh',
    params: devicePath,
    answer: null,
    async handle({ services: { daemons }, caller, params: { deviceId } }) {
      if (!maySee(caller, deviceId, '')) throw new GatewayError('PEER_UNKNOWN', { deviceId });
      await daemons.sipd.call('refreshCatalog', { deviceId });
    },
  }),
  defineRoute({
    id: 'listChannels',
    method: 'GET',
    path: `${API_BASE}/channels`,
    summary: 'Channels, by pages: those of a device, of a state, with a text in name or ID',
    access: 'read',
    scope: 'filtered',
    query: z.strictObject({ deviceId: gbId.optional(), text: z.string().max(256).optional(), status: z.enum(['ON', 'OFF']).optional(), offset: queryInt(0, 10_000_000).optional(), limit: queryInt(1, MAX_PAGE).optional() }),
    answer: z.strictObject({ total: z.int(), rows: z.array(channel) }).meta({ id: 'ChannelPage' }),
    handle({ services: { daemons }, caller, query: { deviceId, text, status, offset, limit } }) {
      const scope = seesAll(caller) ? {} : { within: caller.channels };
      return daemons.sipd.call('listChannels', { ...scope, ...(deviceId !== undefined && { deviceId }), ...(text !== undefined && { text }), ...(status !== undefined && { status }), ...(offset !== undefined && { offset }), limit: limit ?? 100 });
    },
  }),
  defineRoute({
    id: 'getChannel',
    method: 'GET',
    path: `${API_BASE}/channels/{channel}`,
    summary: 'One channel',
    access: 'read',
    scope: 'channel',
    params: channelPath,
    answer: channel,
    handle: call => call.channel,
  }),
  defineRoute({
    id: 'whyChannel',
    method: 'GET',
    path: `${API_BASE}/channels/{channel}/why`,
    summary: 'Why it does not play: the first broken step, with evidence',
    access: 'read',
    scope: 'channel',
    params: channelPath,
    answer: why,
    handle: ({ services: { daemons }, channel: { deviceId, channelId } }) => daemons.sipd.call('why', { channel: `${deviceId}/${channelId}`, probe: false }),
  }),
  defineRoute({
    id: 'probeChannel',
    method: 'POST',
    path: `${API_BASE}/channels/{channel}/probe`,
    summary: 'As why, but plays it for some seconds to see',
    access: 'diagnose',
    scope: 'channel',
    audit: 'probe',
    params: channelPath,
    answer: why,
    handle: ({ services: { daemons }, channel: { deviceId, channelId } }) => daemons.sipd.call('why', { channel: `${deviceId}/${channelId}`, probe: true }, { timeoutMs: PROBE_TIMEOUT_MS }),
  }),
  defineRoute({
    id: 'listResources',
    method: 'GET',
    path: `${API_BASE}/resources`,
    summary: 'Cameras with more than one way to them',
    access: 'read',
    scope: 'filtered',
    answer: z.array(resource),
    async handle({ services: { daemons }, caller }) {
      const rows = await daemons.sipd.call('listResources', {});
      return rows.filter(({ sources }) => sources.every(({ deviceId, channelId }) => maySee(caller, deviceId, channelId)));
    },
  }),
  defineRoute({ id: 'listUpstreams', method: 'GET', path: `${API_BASE}/upstreams`, summary: 'Platforms above', access: 'read', scope: 'none', answer: z.array(upstream), handle: ({ services: { daemons } }) => daemons.sipd.call('listUpstreams', {}) }),
  defineRoute({
    id: 'viewUpstream',
    method: 'GET',
    path: `${API_BASE}/upstreams/{name}/view`,
    summary: 'The tree that a platform gets',
    access: 'read',
    scope: 'whole',
    params: z.object({ name: word }),
    query: z.strictObject({ hidden: queryFlag.optional() }),
    answer: view,
    handle: ({ services: { daemons }, params: { name }, query: { hidden } }) => daemons.sipd.call('view', { upstream: name, hidden: hidden === true }),
  }),
  defineRoute({ id: 'getTotals', method: 'GET', path: `${API_BASE}/totals`, summary: 'Channels in numbers', access: 'read', scope: 'none', answer: totals, handle: ({ services: { daemons } }) => daemons.sipd.call('totals', {}) }),
  defineRoute({
    id: 'listSessions',
    method: 'GET',
    path: `${API_BASE}/sessions`,
    summary: 'What platforms watch now',
    access: 'read',
    scope: 'filtered',
    answer: z.array(session),
    async handle({ services: { daemons }, caller }) {
      const rows = await daemons.sipd.call('listSessions', {});
      return rows.filter(({ deviceId, channelId }) => maySee(caller, deviceId, channelId)).map(sessionOf);
    },
  }),
];
