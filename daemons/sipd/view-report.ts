/** `vlink view`: what an upstream gets, and what it would get with another configuration that nobody has applied yet. */
import type { SipdRequests, ViewReport } from '#contracts/sipd.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { PERMISSIONS } from '#core/config/view-schema.ts';
import { type ViewRow, diffViews, viewRows } from '#core/gb/view-rows.ts';
import { GatewayError } from '#core/result.ts';
import { formatProblem, parseConfigText } from '#kit/config-store.ts';
import type { ParamsOf } from '#kit/rpc.ts';
import type { Catalogs } from './catalogs.ts';
import type { UpstreamView } from './upstream-view.ts';
import type { Views } from './views.ts';

export interface ViewReportDeps {
  readonly views: Views;
  readonly catalogs: Catalogs;
  refusalOf(next: GatewayConfig): string | null;
}

/** PEER_UNKNOWN when neither configuration has this upstream. */
export async function viewReport({ views, catalogs, refusalOf }: ViewReportDeps, { upstream, candidate, hidden = false }: ParamsOf<SipdRequests, 'view'>): Promise<ViewReport> {
  const parsed = candidate === undefined ? undefined : await parseConfigText(new TextEncoder().encode(candidate), 'unopened');
  const now = views.of(upstream);
  const rows = now === undefined ? [] : rowsOf(now, views);
  const hiddenIn = (view: UpstreamView | undefined, seen: readonly ViewRow[]): ViewReport['hidden'] => (hidden && view !== undefined ? hiddenOf(view, seen, catalogs) : []);
  if (parsed === undefined) {
    if (now === undefined) throw new GatewayError('PEER_UNKNOWN', { upstream });
    return { upstream, rows, changes: null, problems: [], hidden: hiddenIn(now, rows) };
  }
  if (!parsed.ok) return { upstream, rows, changes: null, problems: parsed.problems.map(formatProblem), hidden: [] };
  const refused = refusalOf(parsed.config);
  const then = views.candidate(upstream, parsed.config);
  if (now === undefined && then === undefined) throw new GatewayError('PEER_UNKNOWN', { upstream });
  const after = then === undefined ? [] : rowsOf(then, views);
  return { upstream, rows: after, changes: diffViews(rows, after), problems: refused === null ? [] : [refused], hidden: hiddenIn(then, after) };
}

function hiddenOf(view: UpstreamView, rows: readonly ViewRow[], catalogs: Catalogs): ViewReport['hidden'] {
  const seen = new Set(rows.map(({ deviceId, channelId }) => `${deviceId}/${channelId}`));
  return [...catalogs.allChannels()].filter(({ deviceId, channelId }) => !seen.has(`${deviceId}/${channelId}`)).map(({ deviceId, channelId, item }) => ({ deviceId, channelId, name: item.name ?? channelId, why: view.hiddenWhy({ deviceId, channelId }) }));
}

function rowsOf(view: UpstreamView, views: Views): ViewRow[] {
  const { tree, behind } = view.tree();
  const at = views.now;
  return viewRows(tree, id => {
    const channel = behind.get(id);
    if (channel === undefined) return undefined;
    const permitted = PERMISSIONS.filter(what => view.view.permits(channel.seen, what, at));
    const atTimes = PERMISSIONS.filter(what => !permitted.includes(what) && view.view.everPermits(channel.seen, what));
    return { deviceId: channel.deviceId, channelId: channel.channelId, permitted, atTimes };
  });
}
