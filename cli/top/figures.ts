/** What `vlink top` shows: two looks at the daemons, and what happened between them. Pure. */
import type { AlarmRow } from '#contracts/healthd.ts';
import type { BridgeStats, MediadLoad } from '#contracts/mediad.ts';
import type { SessionRow, UpstreamRow, UpstreamTotals } from '#contracts/sipd.ts';

/** One look. What did not answer is null or missing. */
export interface Look {
  /** Monotonic. */
  readonly atMs: number;
  readonly daemons: readonly { readonly name: string; readonly counters: Readonly<Record<string, number>> | null }[];
  readonly loads: readonly MediadLoad[];
  readonly sessions: readonly SessionRow[];
  readonly viewers: number;
  readonly upstreams: readonly UpstreamRow[];
  readonly totals: UpstreamTotals | null;
  readonly devices: { readonly online: number; readonly all: number } | null;
  readonly alarms: readonly AlarmRow[] | null;
}

export interface TopSession {
  readonly sessionId: string;
  readonly upstream: string;
  readonly channelId: string;
  readonly state: string;
  readonly ageMs: number;
  readonly inBps: number | null;
  readonly outBps: number | null;
  /** Of what came between the two looks. */
  readonly lostPercent: number | null;
  /** How long the picture has stood still; null: it moves. */
  readonly frozenForMs: number | null;
  readonly instance: string;
}

export interface TopFigures {
  readonly daemons: readonly { readonly name: string; readonly cpuPercent: number | null; readonly memoryBytes: number | null; readonly loopDelayMs: number | null; readonly answers: boolean }[];
  readonly sessions: readonly TopSession[];
  readonly viewers: number;
  readonly inBps: number;
  readonly outBps: number;
  readonly lostPercent: number | null;
  readonly frozen: number;
  readonly devices: Look['devices'];
  readonly totals: UpstreamTotals | null;
  readonly upstreams: { readonly online: number; readonly all: number };
  readonly alarms: readonly AlarmRow[] | null;
}

export function figuresOf(before: Look | null, now: Look): TopFigures {
  const spanMs = before === null ? 0 : now.atMs - before.atMs;
  const earlier = new Map(before?.sessions.map(session => [session.sessionId, session]));
  const sessions = now.sessions.map(session => sessionFigures(earlier.get(session.sessionId), session, spanMs));
  const bridges = bridgesOf(now.sessions);
  const bridgesBefore = bridgesOf(before?.sessions ?? []);
  return {
    daemons: now.daemons.map(daemon => daemonFigures(before?.daemons.find(({ name }) => name === daemon.name), daemon, spanMs)),
    sessions,
    viewers: now.viewers,
    inBps: sum(now.loads.map(({ bitrateInBps }) => bitrateInBps)),
    outBps: sum(now.loads.map(({ bitrateOutBps }) => bitrateOutBps)),
    lostPercent: lossBetween([...bridgesBefore.values()], [...bridges.values()]),
    frozen: [...bridges.values()].filter(bridge => frozenFor(bridge) !== null).length,
    devices: now.devices,
    totals: now.totals,
    upstreams: { online: now.upstreams.filter(({ state }) => state === 'online').length, all: now.upstreams.filter(({ state }) => state !== 'disabled').length },
    alarms: now.alarms,
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Sessions that watch the same camera share one. */
const bridgesOf = (sessions: readonly SessionRow[]): ReadonlyMap<string, BridgeStats> => new Map(sessions.flatMap(({ bridge }) => (bridge === null ? [] : [[bridge.bridgeId, bridge] as const])));

const frozenFor = (bridge: BridgeStats | null): number | null => bridge?.gate?.frozenForMs ?? bridge?.units?.frozenForMs ?? null;

/** Null before there is a second look; a counter that began anew counts from nothing. */
function rateBps(before: number | undefined, now: number | undefined, spanMs: number): number | null {
  if (before === undefined || now === undefined || spanMs <= 0) return null;
  return (8000 * (now >= before ? now - before : now)) / spanMs;
}

function lossBetween(before: readonly BridgeStats[], now: readonly BridgeStats[]): number | null {
  const known = new Map(before.map(bridge => [bridge.source.legId, bridge.source]));
  let lost = 0;
  let all = 0;
  for (const { source } of now) {
    const earlier = known.get(source.legId);
    if (earlier === undefined || source.packets < earlier.packets) continue;
    const missing = Math.max(0, source.lost - earlier.lost);
    lost += missing;
    all += missing + source.packets - earlier.packets;
  }
  return all === 0 ? null : (100 * lost) / all;
}

function sessionFigures(before: SessionRow | undefined, now: SessionRow, spanMs: number): TopSession {
  const sinkOf = ({ bridge, sessionId }: SessionRow) => bridge?.sinks.find(({ sinkId }) => sinkId === sessionId) ?? bridge?.sinks[0];
  return {
    sessionId: now.sessionId,
    upstream: now.upstream,
    channelId: now.channelId,
    state: now.sourceState === 'flowing' ? now.state : `${now.state}, ${now.sourceState}`,
    ageMs: now.ageMs,
    inBps: rateBps(before?.bridge?.source.bytes, now.bridge?.source.bytes, spanMs),
    outBps: before === undefined ? null : rateBps(sinkOf(before)?.bytes, sinkOf(now)?.bytes, spanMs),
    lostPercent: before?.bridge && now.bridge ? lossBetween([before.bridge], [now.bridge]) : null,
    frozenForMs: frozenFor(now.bridge),
    instance: now.instance,
  };
}

type Daemon = Look['daemons'][number];

function daemonFigures(before: Daemon | undefined, { name, counters }: Daemon, spanMs: number): TopFigures['daemons'][number] {
  const cpuMs = counters?.['process.cpu-ms'];
  const cpuBefore = before?.counters?.['process.cpu-ms'];
  const delayUs = counters?.['process.loop-delay-p99-us'];
  return {
    name,
    answers: counters !== null,
    cpuPercent: cpuMs === undefined || cpuBefore === undefined || spanMs <= 0 ? null : Math.max(0, (100 * (cpuMs - cpuBefore)) / spanMs),
    memoryBytes: counters?.['process.rss-bytes'] ?? null,
    loopDelayMs: delayUs === undefined ? null : delayUs / 1000,
  };
}
