/** The conditions of role.ts, each with its sentence. */
import type { Ms } from '../units.ts';
import type { Heartbeat } from './heartbeat.ts';
import type { PeerView } from './peer-watch.ts';
import type { RoleFacts, RoleOptions } from './role-facts.ts';

/** Two that differ by less are equally fit. */
const FITNESS_STEP = 10;
export const ELSEWHERE = 'the witness answers the address of the pair somewhere else';

/** Why keepalived must not take the addresses now; null when it may. Of a node that is not active. */
export function whyVeto(facts: RoleFacts, peer: PeerView, options: RoleOptions, now: Ms): string | null {
  const { role, fitness, settledAt, leavingSince, witness, yieldedAt } = facts;
  const { peerName, stateVersion, hasWitness, timing } = options;
  if (role === 'maintenance') return 'maintenance';
  if (now < settledAt) return 'starting';
  if (fitness === 0) return 'this node is not fit';
  if (leavingSince !== undefined) return `left to ${peerName}`;
  if (peer.claimsActive && !gives(peer)) return `${peerName} is active`;
  if (peer.beat !== null && peer.beat.stateVersion > stateVersion) return `${peerName} writes state that this release cannot read`;
  if (hasWitness && !peer.alive && !witness) return 'neither the other node nor the witness answers';
  if (yieldedAt !== undefined && !peer.alive && now - yieldedAt < timing.elsewhereMs) return `${peerName} has the address and is not heard`;
  if (isHeldDown(facts, peer, options, now)) return `hold-down: the role was lost ${Math.round((now - facts.lostAt!) / 1000)} s ago`;
  return peer.alive && !gives(peer) ? whyAfter(facts, peer.beat!, options, now) : null;
}

/** It gives the role over in good order. */
const gives = ({ alive, beat }: PeerView): boolean => alive && beat!.leaving;

function isHeldDown({ lostAt, nobodySince }: RoleFacts, peer: PeerView, { timing }: RoleOptions, now: Ms): boolean {
  return lostAt !== undefined && now - lostAt < timing.holdDownMs && !gives(peer) && (nobodySince === undefined || now - nobodySince < timing.holdSilenceMs);
}

/** Both live and nobody is active: one goes first. */
function whyAfter({ fitness, nobodySince }: RoleFacts, beat: Heartbeat, options: RoleOptions, now: Ms): string | null {
  const { peerName, timing } = options;
  if (beat.role === 'maintenance' || beat.fitness === 0 || isPreferred(fitness, beat.fitness, options)) return null;
  if (beat.candidate) return `${peerName} is about to take over`;
  return nobodySince === undefined || now - nobodySince < timing.patienceMs ? `${peerName} goes first` : null;
}

function isPreferred(ours: number, theirs: number, { name, peerName }: RoleOptions): boolean {
  return Math.abs(ours - theirs) >= FITNESS_STEP ? ours > theirs : name < peerName;
}

/** Why the active one is active no more; null when it is. */
export function whyStepDown(facts: RoleFacts, peer: PeerView, options: RoleOptions, now: Ms): string | null {
  const { vrrp, term, fitness, deafSince } = facts;
  const { peerName } = options;
  if (vrrp !== 'master') return vrrp === 'stopped' ? 'keepalived is gone' : `keepalived is in ${vrrp.toUpperCase()}`;
  if (!peer.alive) return whyAlone(facts, options, now);
  const beat = peer.beat!;
  if (beat.role === 'active' && !beat.leaving) {
    if (beat.term > term) return `${peerName} is active with term ${beat.term}`;
    if (beat.term === term && !isPreferred(fitness, beat.fitness, options)) return `${peerName} is active with the same term, and goes first`;
  }
  if (deafSince !== undefined && now - deafSince >= options.timing.deafMs) return `${peerName} does not hear us and takes over`;
  return null;
}

/** The peer is heard on no path: only the witness can tell that the role is not ours any more. */
function whyAlone({ witness, elsewhere, settledAt }: RoleFacts, { hasWitness }: RoleOptions, now: Ms): string | null {
  if (!hasWitness || now < settledAt) return null;
  if (elsewhere) return ELSEWHERE;
  return witness ? null : 'neither the other node nor the witness answers';
}

/** Why an order to give the role over cannot be followed. */
export function whyNotLeave({ role }: RoleFacts, peer: PeerView, { peerName, stateVersion }: RoleOptions): string | null {
  if (role !== 'active') return 'this node is not active';
  if (!peer.alive) return `${peerName} is not heard`;
  if (!peer.hearsUs) return `${peerName} does not hear us`;
  const { role: theirs, fitness, stateVersion: version } = peer.beat!;
  if (theirs !== 'standby') return `${peerName} is in ${theirs}`;
  if (fitness === 0) return `${peerName} is not fit`;
  if (version < stateVersion) return `${peerName} runs an older release, which cannot read the state of this one`;
  return null;
}
