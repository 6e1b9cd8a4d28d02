/** `vlink view`: what an upstream gets, and what it would get with another configuration that nobody has applied yet. */
import type { ViewReport } from '#contracts/sipd.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { PERMISSIONS } from '#core/config/view-schema.ts';
import { type ViewRow, diffViews, viewRows } from '#core/gb/view-rows.ts';
import { GatewayError } from '#core/result.ts';
import { formatProblem, parseConfigText } from '#kit/config-store.ts';
import type { UpstreamView } from './upstream-view.ts';
import type { Views } from './views.ts';

export interface ViewReportDeps {
  readonly views: Views;
  refusalOf(next: GatewayConfig): string | null;
}

/** PEER_UNKNOWN when neither configuration has this upstream. */
export async function viewReport({ views, refusalOf }: ViewReportDeps, upstream: string, candidate: string | undefined): Promise<ViewReport> {
  const parsed = candidate === undefined ? undefined : await parseConfigText(new TextEncoder().encode(candidate));
  const now = views.of(upstream);
  const rows = now === undefined ? [] : rowsOf(now, views);
  if (parsed === undefined) {
    if (now === undefined) throw new GatewayError('PEER_UNKNOWN', { upstream });
    return { upstream, rows, changes: null, problems: [] };
  }
  if (!parsed.ok) return { upstream, rows, changes: null, problems: parsed.problems.map(formatProblem) };
  const refused = refusalOf(parsed.config);
  const then = views.candidate(upstream, parsed.config);
  if (now === undefined && then === undefined) throw new GatewayError('PEER_UNKNOWN', { upstream });
  const after = then === undefined ? [] : rowsOf(then, views);
  return { upstream, rows: after, changes: diffViews(rows, after), problems: refused === null ? [] : [refused] };
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
