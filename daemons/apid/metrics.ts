/** /metrics in the text format of Prometheus: what healthd measured last, and what apid counts itself. */
import { Counter, Gauge, Registry } from 'prom-client';
import type { MetricInfo, Sample } from '#contracts/healthd.ts';
import type { Services } from './services.ts';

const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
/** Names that Prometheus gives its targets itself. */
const TAKEN: Readonly<Record<string, string>> = { instance: 'media', job: 'task' };
const METRIC = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

export interface Scraped {
  readonly contentType: string;
  readonly bytes: string;
}

/** What does not answer is missing, and `viewlink_api_link_up` says so. */
export async function scrape(services: Services): Promise<Scraped> {
  const registry = new Registry();
  const { daemons } = services;
  const measured = await daemons.healthd.call('samples', {}).catch(() => ({ infos: [], samples: [] }));
  addSamples(registry, measured.infos, measured.samples);
  addOwn(registry, services);
  return { contentType: registry.contentType, bytes: await registry.metrics() };
}

/** Links are spoken of in bits; Prometheus has bytes only. */
const BITS = '_bits_per_second';
const BYTES = '_bytes_per_second';

function addSamples(registry: Registry, infos: readonly MetricInfo[], samples: readonly Sample[]): void {
  const byMetric = new Map<string, Sample[]>();
  for (const sample of samples) {
    const known = byMetric.get(sample.metric);
    if (known === undefined) byMetric.set(sample.metric, [sample]);
    else known.push(sample);
  }
  for (const { metric, help, type } of infos) {
    const own = byMetric.get(metric) ?? [];
    const [name, unit] = metric.endsWith(BITS) ? [metric.replace(BITS, BYTES), 8] : [metric, 1];
    if (!METRIC.test(metric) || own.length === 0) continue;
    const rows = own.map(({ labels, value }) => ({ value, labels: Object.fromEntries(Object.entries(labels).flatMap(([label, text]) => (LABEL.test(label) ? [[TAKEN[label] ?? label, text]] : []))) }));
    const labelNames = [...new Set(rows.flatMap(({ labels }) => Object.keys(labels)))];
    const made = type === 'counter' ? new Counter({ name, help, labelNames, registers: [registry] }) : new Gauge({ name, help, labelNames, registers: [registry] });
    for (const { labels, value } of rows) if (Number.isFinite(value) && (type === 'gauge' || value >= 0)) made.inc(labels, value / unit);
  }
}

/** Only what healthd cannot know. */
function addOwn(registry: Registry, { counters, doorman, streams, webhooks, daemons, leases }: Services): void {
  const registers = [registry];
  const total = (name: string, help: string, rows: readonly (readonly [Record<string, string>, number])[]): void => {
    const counter = new Counter({ name, help, labelNames: Object.keys(rows[0]?.[0] ?? {}), registers });
    for (const [labels, value] of rows) counter.inc(labels, value);
  };
  const gauge = (name: string, help: string, rows: readonly (readonly [Record<string, string>, number])[]): void => {
    const made = new Gauge({ name, help, labelNames: Object.keys(rows[0]?.[0] ?? {}), registers });
    for (const [labels, value] of rows) made.set(labels, value);
  };
  total('viewlink_api_requests_total', 'Requests answered by the HTTP API, by class of status.', ['1xx', '2xx', '3xx', '4xx', '5xx'].map(status => [{ status }, counters.get(`http.${status}`)]));
  total('viewlink_api_refused_requests_total', 'Requests that the HTTP API refused, by reason.', ['UNAUTHENTICATED', 'NOT_PERMITTED', 'LOCKED_OUT', 'TOO_MANY_REQUESTS', 'BAD_REQUEST', 'TOO_LARGE'].map(reason => [{ reason }, counters.get(`failure.${reason}`)]));
  total('viewlink_api_refused_connections_total', 'Connections that were closed because of too many.', [[{}, counters.get('connection.refused')]]);
  total('viewlink_api_audit_lost_total', 'Actions that were done and could not be written to the audit log.', [[{}, counters.get('audit.lost')]]);
  gauge('viewlink_api_access_tokens', 'Access tokens that are valid.', [[{}, doorman.accessTokens]]);
  gauge('viewlink_api_event_listeners', 'Listeners to events over HTTP.', [[{}, streams.size]]);
  gauge('viewlink_api_live_leases', 'Channels that are kept open over the HTTP API.', [[{}, leases.rows.length]]);
  const rows = webhooks.rows;
  if (rows.length > 0) {
    total('viewlink_webhook_delivered_total', 'Events that a webhook took.', rows.map(({ name, delivered }) => [{ webhook: name }, delivered]));
    total('viewlink_webhook_dropped_total', 'Events that a webhook never got.', rows.map(({ name, dropped }) => [{ webhook: name }, dropped]));
    gauge('viewlink_webhook_queued_events', 'Events that wait for a webhook.', rows.map(({ name, queued }) => [{ webhook: name }, queued]));
  }
  const links = { sipd: daemons.sipd, configd: daemons.configd, healthd: daemons.healthd, ...Object.fromEntries(daemons.instances.map(name => [`mediad-${name}`, daemons.mediad(name)])) };
  gauge('viewlink_api_link_up', 'Whether apid reaches a daemon.', Object.entries(links).map(([daemon, { up }]) => [{ daemon }, up ? 1 : 0]));
}
