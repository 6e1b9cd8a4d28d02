/** State of the node, alarms, what was measured; and the metrics for Prometheus. All of it names devices and channels: for who may see all. */
import { z } from 'zod';
import { GatewayError } from '#core/result.ts';
import { authorOf } from '../caller.ts';
import { scrape } from '../metrics.ts';
import { API_BASE, type Route, defineRoute } from '../route.ts';
import { queryFlag, queryInt } from '../schemas/common.ts';
import { alarm, health, history, samples, webhook } from '../schemas/operation.ts';

const MAX_ALARMS = 1000;
const MAX_POINTS = 2000;
const LATEST_WALL_MS = 7_258_118_400_000;
/** `name:value`, one behind the other. */
const LABELS = /^[a-zA-Z_][a-zA-Z0-9_]{0,63}:[^,]{0,128}(,[a-zA-Z_][a-zA-Z0-9_]{0,63}:[^,]{0,128}){0,15}$/;

const labelsOf = (text: string | undefined): Record<string, string> => Object.fromEntries((text ?? '').split(',').filter(each => each !== '').map(each => [each.slice(0, each.indexOf(':')), each.slice(each.indexOf(':') + 1)]));

export const healthRoutes: readonly Route[] = [
  defineRoute({ id: 'getHealth', method: 'GET', path: `${API_BASE}/health`, summary: 'State of the node and of everything on it', access: 'read', scope: 'whole', answer: health, handle: ({ services: { daemons } }) => daemons.healthd.call('report', {}) }),
  defineRoute({ id: 'getSamples', method: 'GET', path: `${API_BASE}/samples`, summary: 'Everything that was measured last', access: 'read', scope: 'whole', answer: samples, handle: ({ services: { daemons } }) => daemons.healthd.call('samples', {}) }),
  defineRoute({
    id: 'getHistory',
    method: 'GET',
    path: `${API_BASE}/history`,
    summary: 'One metric over time, from the finest roll-up that reaches back so far',
    access: 'read',
    scope: 'whole',
    query: z.strictObject({
      metric: z.string().regex(/^[a-zA-Z_:][a-zA-Z0-9_:]{0,127}$/),
      labels: z.string().regex(LABELS).optional().describe('name:value, separated by commas; those that are given must match'),
      fromWallMs: queryInt(0, LATEST_WALL_MS),
      toWallMs: queryInt(0, LATEST_WALL_MS),
      maxPoints: queryInt(1, MAX_POINTS).optional(),
    }),
    answer: history,
    handle({ services: { daemons }, query: { metric, labels, fromWallMs, toWallMs, maxPoints = 500 } }) {
      if (toWallMs <= fromWallMs) throw new GatewayError('BAD_REQUEST', { why: 'the span of time ends before it begins' });
      return daemons.healthd.call('history', { metric, labels: labelsOf(labels), fromWallMs, toWallMs, maxPoints });
    },
  }),
  defineRoute({
    id: 'listAlarms',
    method: 'GET',
    path: `${API_BASE}/alarms`,
    summary: 'Alarms of the gateway, newest first',
    access: 'read',
    scope: 'whole',
    query: z.strictObject({ activeOnly: queryFlag.optional(), limit: queryInt(1, MAX_ALARMS).optional() }),
    answer: z.array(alarm),
    handle: ({ services: { daemons }, query: { activeOnly = false, limit = 100 } }) => daemons.healthd.call('alarms', { activeOnly, limit }),
  }),
  defineRoute({
    id: 'acknowledgeAlarm',
    method: 'POST',
    path: `${API_BASE}/alarms/{alarmId}/acknowledge`,
    summary: 'Somebody has seen this alarm',
    access: 'operate',
    scope: 'whole',
    audit: 'alarm.acknowledge',
    params: z.object({ alarmId: queryInt(0, Number.MAX_SAFE_INTEGER) }),
    answer: null,
    async handle({ services: { daemons }, caller, params: { alarmId } }) {
      await daemons.healthd.call('acknowledge', { alarmId, author: authorOf(caller) });
    },
  }),
  defineRoute({ id: 'listWebhooks', method: 'GET', path: `${API_BASE}/webhooks`, summary: 'Receivers of events, and how they do', access: 'read', scope: 'whole', answer: z.array(webhook), handle: ({ services: { webhooks } }) => webhooks.rows }),
  defineRoute({ id: 'getMetrics', method: 'GET', path: '/metrics', summary: 'Metrics in the text format of Prometheus', access: 'metrics', scope: 'whole', answer: { contentType: 'text/plain; version=0.0.4; charset=utf-8' }, handle: ({ services }) => scrape(services) }),
];
