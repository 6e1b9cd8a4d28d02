/** Counters of legs in the words of contracts/mediad.ts. */
import type { BridgeStats, GateStats, LegStats, OpenSinkParams } from '#contracts/mediad.ts';
import type { PacketGate } from '#core/rtp/packet-gate.ts';
import type { Ms } from '#core/units.ts';
import type { LegCounters } from './leg-counters.ts';
import type { SinkLeg } from './leg.ts';

/** A sink loses, reorders and repeats nothing: what it did not send stands in `dropped`. */
export function sinkStats({ sinkId, label, format = 'ps', transport, localAddress, ssrc }: OpenSinkParams, leg: SinkLeg | undefined, state: LegStats['state'], counters: LegCounters, now: Ms): BridgeStats['sinks'][number] {
  return {
    sinkId,
    label,
    format,
    transport,
    local: leg?.local ?? { address: localAddress, port: 0 },
    remote: leg?.remote ?? null,
    state,
    ssrc,
    ...countersOf(counters, now),
    lost: 0,
    reordered: 0,
    duplicates: 0,
    late: 0,
    waiting: 0,
    asked: counters.asked,
    repaired: counters.repaired,
    waitMs: 0,
    jitterMs: 0,
  };
}

export function countersOf(counters: LegCounters, now: Ms): Pick<LegStats, 'packets' | 'bytes' | 'dropped' | 'lastPacketAgeMs' | 'firstPacketMs'> {
  const round = (value: number | null): number | null => (value === null ? null : Math.round(value));
  return {
    packets: counters.packets,
    bytes: counters.bytes,
    dropped: { ...counters.dropped },
    lastPacketAgeMs: round(counters.lastPacketAgeMs(now)),
    firstPacketMs: round(counters.firstPacketMs),
  };
}

export function gateStats(gate: PacketGate, now: Ms): GateStats {
  const { state, freezes, pictures, keyPictures, picturesDropped } = gate;
  const frozenForMs = gate.frozenForMs(now);
  return { state, frozenForMs: frozenForMs === null ? null : Math.round(frozenForMs), frozenMs: Math.round(gate.frozenMs(now)), freezes, pictures, keyPictures, picturesDropped };
}

/** What the kernel dropped before we saw it, among the reasons. */
export const withOverflows = <Counters extends Pick<LegStats, 'dropped'>>(counters: Counters, overflows: number): Counters =>
  overflows === 0 ? counters : { ...counters, dropped: { ...counters.dropped, 'receive-buffer-full': overflows } };
