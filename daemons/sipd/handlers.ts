/** What sipd answers over RPC, method by method. */
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import type { RaiseAlarmParams, SipdRequests } from '#contracts/sipd.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import type { SipRecorder } from '#core/diagnose/recorder.ts';
import { GatewayError } from '#core/result.ts';
import type { Clock } from '#kit/clock.ts';
import { processFigures } from '#kit/process-figures.ts';
import type { RpcHandlers } from '#kit/rpc.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { Alarms, WhenKept } from './alarms.ts';
import type { Catalogs } from './catalogs.ts';
import type { Devices } from './devices.ts';
import type { Parts } from './parts.ts';
import { summaryOf } from './summary.ts';
import { tracePage } from './trace-page.ts';
import { UpstreamRows } from './upstream-rows.ts';
import { viewReport } from './view-report.ts';

/** Without what is about the pair (duty.ts). */
export type GatewayHandlers = Omit<RpcHandlers<SipdRequests>, 'duty' | 'promote' | 'demote' | 'pair'>;

export interface HandlersDeps {
  readonly parts: Parts;
  readonly recorder: SipRecorder;
  readonly clock: Clock;
  readonly store: StateStore;
  readonly whenKept: WhenKept;
  config(): GatewayConfig;
  /** Why a configuration cannot be taken over without a restart; null when it can. */
  refusalOf(next: GatewayConfig): string | null;
  reload(params: ReloadParams): Promise<ReloadAnswer>;
}

export function handlersOf(deps: HandlersDeps): GatewayHandlers {
  const { parts, recorder, clock, store, whenKept, config, refusalOf, reload } = deps;
  const { rows, localControls } = parts;
  const upstreamRows = new UpstreamRows({ ...parts, clock });
  const summarized = { ...parts, clock, store, config };
  return {
    summary: () => summaryOf(summarized),
    raiseAlarm: params => raiseAlarm(parts.alarms, params, whenKept),
    listDevices: () => rows.devices(),
    listChannels: params => rows.channels(params),
    channel: params => rows.channel(params),
    listUpstreams: () => upstreamRows.rows(),
    totals: () => upstreamRows.totals(),
    view: params => viewReport({ ...parts, refusalOf }, params),
    listSessions: () => rows.sessions(),
    listResources: () => parts.resources.rows(),
    counters: () => ({ ...parts.counters.snapshot(), ...parts.endpoint.counters, ...processFigures() }),
    listBans: () => parts.bans.rows(),
    removeBan: ({ address }) => ({ removed: parts.bans.pardon(address) }),
    why: params => rows.why(params),
    openProbe: params => parts.probes.open(params),
    closeProbe: ({ probeId }) => parts.probes.close(probeId),
    probeQuery: params => parts.probes.ask(params),
    traceMessages: params => tracePage(recorder, params),
    openOutlet: params => parts.outlets.open(params),
    closeOutlet: ({ leaseId }) => parts.outlets.close(leaseId),
    refreshCatalog: ({ deviceId }) => refreshCatalog(parts, deviceId),
    ptz: params => localControls.ptz(params),
    control: params => localControls.control(params),
    presets: params => localControls.presets(params),
    records: params => localControls.records(params),
    reload,
  };
}

async function raiseAlarm(alarms: Alarms, params: RaiseAlarmParams, whenKept: WhenKept): Promise<{ upstreams: number }> {
  const upstreams = alarms.ofOurselves(params);
  await new Promise<void>(whenKept);
  return { upstreams };
}

function refreshCatalog({ devices, catalogs }: { readonly devices: Devices; readonly catalogs: Catalogs }, deviceId: string): null {
  if (devices.reach(deviceId) === null) throw new GatewayError(devices.binding(deviceId) === undefined ? 'PEER_UNKNOWN' : 'PEER_OFFLINE', { deviceId });
  catalogs.refresh(deviceId);
  return null;
}
