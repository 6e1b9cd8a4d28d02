/**
 * Who of the two may own the addresses and do the work. keepalived moves them, but only while there is no veto of ours in its
 * track file; with a veto it is in FAULT and can get nothing.
 *
 *                     veto lifted, and keepalived says MASTER: term + 1, promote
 *     STANDBY ------------------------------------------------------------------> ACTIVE
 *      ^ | ^                                                                       | |
 *      | | |  keepalived says BACKUP, FAULT or nothing; the peer is active with    | |
 *      | | |  a higher term, or equal and better; the peer hears us no more and    | |
 *      | | |  takes over; this node stood still; the peer is not heard, and the    | |
 *      | | |  witness answers the address somewhere else: demote, veto, hold-down  | |
 *      | | +-----------------------------------------------------------------------+ |
 *      | |    `switch`, or much less fit than the peer: demote, then veto, `leaving` |
 *      | |  neither peer nor witness: demote, veto                                   |
 *      | +--------------------------> ISOLATED <-------------------------------------+
 *      | +-- one of them is back ------+
 *      +---- `maintenance off` -- MAINTENANCE <-- `maintenance on`, as with `switch`
 *
 * Both alive, both with the witness, and no path between them: the standby cannot tell that from a death and takes over. The witness
 * then answers the address of the pair to it alone, by which the other one knows and leaves it the role. It does not take it again before
 * it hears the peer, or `elsewhereMs` have passed: what was written meanwhile is not here.
 *
 * `handle` is called with `tick` at every heartbeat; there is no other deadline.
 */
import { type Ms, addMs } from '../units.ts';
import type { ClusterRole } from './heartbeat.ts';
import type { PeerView } from './peer-watch.ts';
import type { RoleFacts, RoleOptions, VrrpState } from './role-facts.ts';
import { ELSEWHERE, whyNotLeave, whyStepDown, whyVeto } from './role-rules.ts';
import type { WitnessView } from './witness-watch.ts';

export { ROLE_TIMING, type RoleOptions, type RoleTiming, type VrrpState } from './role-facts.ts';

export type RoleInput =
  | { readonly type: 'tick' }
  /** A heartbeat was taken. */
  | { readonly type: 'peer' }
  | { readonly type: 'vrrp'; readonly state: VrrpState }
  | ({ readonly type: 'witness' } & WitnessView)
  | { readonly type: 'fitness'; readonly value: number }
  | { readonly type: 'switch' }
  | { readonly type: 'maintenance'; readonly on: boolean }
  /** The promotion that was asked for failed. */
  | { readonly type: 'not-promoted'; readonly term: number; readonly why: string }
  | { readonly type: 'demoted' };

export type RoleOutput =
  | { readonly type: 'veto'; readonly why: string | null }
  /** On disk before anything else is done. */
  | { readonly type: 'term'; readonly term: number }
  | { readonly type: 'promote'; readonly term: number }
  | { readonly type: 'demote'; readonly why: string }
  | { readonly type: 'role'; readonly role: ClusterRole; readonly why: string }
  /** What others should hear at once. */
  | { readonly type: 'beat' }
  /** A command cannot be followed. */
  | { readonly type: 'refused'; readonly why: string };

export class RoleAutomaton {
  readonly #options: RoleOptions;
  #facts: RoleFacts;
  #outputs: RoleOutput[] = [];
  #veto: string | null = 'starting';
  /** Given up, and sipd has yet to let go. */
  #demotingSince: Ms | undefined;
  #maintenance = false;
  #lastAt: Ms;

  constructor(options: RoleOptions, now: Ms) {
    this.#options = options;
    this.#lastAt = now;
    this.#facts = {
      role: options.resumes === true ? 'active' : 'standby', term: options.term, vrrp: options.resumes === true ? 'master' : 'stopped', witness: false, elsewhere: false, fitness: 0, settledAt: addMs(now, options.timing.settleMs),
      lostAt: undefined, yieldedAt: undefined, leavingSince: undefined, nobodySince: undefined, fitterSince: undefined, deafSince: undefined, activeSince: options.resumes === true ? now : undefined,
    };
    if (options.resumes === true) this.#veto = null;
  }

  get role(): ClusterRole {
    return this.#facts.role;
  }

  get term(): number {
    return this.#facts.term;
  }

  /** Null: keepalived may take the addresses. */
  get veto(): string | null {
    return this.#veto;
  }

  get vrrp(): VrrpState {
    return this.#facts.vrrp;
  }

  get witness(): boolean {
    return this.#facts.witness;
  }

  get fitness(): number {
    return this.#facts.fitness;
  }

  get leaving(): boolean {
    return this.#facts.leavingSince !== undefined;
  }

  /** The role was left to a peer that only the witness knows of, and nothing was heard of it since. */
  get yielded(): boolean {
    return this.#facts.yieldedAt !== undefined && this.role !== 'active';
  }

  /** About to become active. */
  get candidate(): boolean {
    return this.#veto === null && this.role !== 'active';
  }

  get heldDownUntil(): Ms | undefined {
    return this.#facts.lostAt === undefined ? undefined : addMs(this.#facts.lostAt, this.#options.timing.holdDownMs);
  }

  handle(input: RoleInput, peer: PeerView, now: Ms): RoleOutput[] {
    this.#outputs = [];
    const stoodStillMs = now - this.#lastAt;
    this.#lastAt = now;
    this.#know({ term: Math.max(this.term, peer.alive ? peer.beat!.term : 0) });
    if (stoodStillMs > this.#options.timing.stallMs) this.#stoodStill(stoodStillMs, now);
    this.#take(input, peer, now);
    this.#watch(peer, now);
    if (this.role === 'active') this.#asActive(peer, now);
    else this.#asOther(peer, now);
    this.#setVeto(peer, now);
    return this.#outputs;
  }

  #take(input: RoleInput, peer: PeerView, now: Ms): void {
    switch (input.type) {
      case 'vrrp':
        return this.#know({ vrrp: input.state });
      case 'witness':
        return this.#know({ witness: input.reachable, elsewhere: input.elsewhere });
      case 'fitness':
        return this.#know({ fitness: input.value });
      case 'switch':
        return this.#leaveByOrder(false, peer, now);
      case 'maintenance':
        return this.#setMaintenance(input.on, peer, now);
      case 'not-promoted':
        if (this.role === 'active' && input.term === this.term) this.#notPromoted(input.why, now);
        return;
      case 'demoted':
        if (this.#demotingSince !== undefined) this.#left(now);
        return;
      default:
        return;
    }
  }

  /** Since when nobody is active, the peer is much fitter, or it takes over because it does not hear us. */
  #watch(peer: PeerView, now: Ms): void {
    const nobody = this.role !== 'active' && !peer.claimsActive;
    const fitter = peer.alive && peer.beat!.role === 'standby' && peer.hearsUs && peer.beat!.fitness >= this.fitness + this.#options.timing.fitterBy;
    const deaf = peer.alive && peer.beat!.candidate && peer.beat!.witness && !peer.hearsUs;
    const { nobodySince, fitterSince, deafSince, yieldedAt } = this.#facts;
    this.#know({ yieldedAt: peer.alive ? undefined : yieldedAt, nobodySince: nobody ? (nobodySince ?? now) : undefined, fitterSince: fitter ? (fitterSince ?? now) : undefined, deafSince: deaf ? (deafSince ?? now) : undefined });
  }

  #asActive(peer: PeerView, now: Ms): void {
    const { timing } = this.#options;
    if (this.#demotingSince !== undefined) {
      if (now - this.#demotingSince >= timing.demoteMs) this.#left(now);
      return;
    }
    const why = whyStepDown(this.#facts, peer, this.#options, now);
    if (why !== null) return this.#stepDown(why, now);
    const { fitterSince, activeSince } = this.#facts;
    const held = activeSince !== undefined && now - activeSince < timing.holdDownMs;
    if (fitterSince !== undefined && now - fitterSince >= timing.fitterMs && (!held || this.fitness === 0)) this.#leave(`${this.#options.peerName} is fitter: ${peer.beat!.fitness} against ${this.fitness}`, now);
  }

  #asOther(peer: PeerView, now: Ms): void {
    const { hasWitness, timing } = this.#options;
    const { leavingSince, vrrp } = this.#facts;
    const taken = peer.alive && peer.beat!.role === 'active';
    if (leavingSince !== undefined && (taken || now - leavingSince >= timing.giveBackMs)) this.#know({ leavingSince: undefined, lostAt: taken ? now : this.#facts.lostAt });
    if (this.#maintenance) return;
    const isolated = hasWitness && !peer.alive && !this.witness && now >= this.#facts.settledAt;
    if (isolated && this.role === 'standby') this.#enter('isolated', 'neither the other node nor the witness answers');
    if (!isolated && this.role === 'isolated') this.#enter('standby', peer.alive ? 'the other node is heard again' : 'the witness answers again');
    if (vrrp === 'master' && whyVeto(this.#facts, peer, this.#options, now) === null) this.#become(now);
  }

  #become(now: Ms): void {
    const term = this.term + 1;
    this.#know({ term, activeSince: now, leavingSince: undefined, nobodySince: undefined, fitterSince: undefined });
    this.#outputs.push({ type: 'term', term });
    this.#enter('active', 'keepalived gave us the addresses');
    this.#outputs.push({ type: 'promote', term });
  }

  #stepDown(why: string, now: Ms): void {
    this.#know({ lostAt: now, activeSince: undefined, yieldedAt: why === ELSEWHERE ? now : undefined });
    this.#demotingSince = undefined;
    this.#enter('standby', why);
    this.#outputs.push({ type: 'demote', why });
  }

  /** Others first; then perhaps again. */
  #notPromoted(why: string, now: Ms): void {
    this.#know({ settledAt: addMs(now, this.#options.timing.settleMs) });
    this.#stepDown(`it could not be made active: ${why}`, now);
  }

  /** In good order: sipd first, the addresses when it is done. */
  #leave(why: string, now: Ms): void {
    this.#demotingSince = now;
    this.#know({ leavingSince: now });
    this.#outputs.push({ type: 'demote', why }, { type: 'beat' });
  }

  #left(now: Ms): void {
    this.#demotingSince = undefined;
    this.#know({ leavingSince: now, activeSince: undefined });
    this.#enter(this.#maintenance ? 'maintenance' : 'standby', 'given over');
  }

  #leaveByOrder(forMaintenance: boolean, peer: PeerView, now: Ms): void {
    const why = this.#demotingSince !== undefined ? 'it is being given over already' : whyNotLeave(this.#facts, peer, this.#options);
    if (why !== null) return void this.#outputs.push({ type: 'refused', why });
    this.#maintenance = forMaintenance;
    this.#leave(forMaintenance ? 'maintenance' : 'ordered', now);
  }

  #setMaintenance(on: boolean, peer: PeerView, now: Ms): void {
    if (on === this.#maintenance) return;
    if (on && this.role === 'active') return this.#leaveByOrder(true, peer, now);
    this.#maintenance = on;
    this.#enter(on ? 'maintenance' : 'standby', on ? 'ordered' : 'maintenance is over');
  }

  #stoodStill(forMs: number, now: Ms): void {
    this.#know({ settledAt: addMs(now, this.#options.timing.settleMs) });
    if (this.role === 'active') this.#stepDown(`this node stood still for ${Math.round(forMs)} ms`, now);
  }

  #setVeto(peer: PeerView, now: Ms): void {
    const why = this.role === 'active' ? null : whyVeto(this.#facts, peer, this.#options, now);
    const changed = (why === null) !== (this.#veto === null);
    this.#veto = why;
    if (!changed) return;
    this.#outputs.push({ type: 'veto', why });
    if (!this.#outputs.some(({ type }) => type === 'beat')) this.#outputs.push({ type: 'beat' });
  }

  #enter(role: ClusterRole, why: string): void {
    if (role === this.role) return;
    this.#know({ role });
    this.#outputs.push({ type: 'role', role, why }, { type: 'beat' });
  }

  #know(facts: Partial<RoleFacts>): void {
    this.#facts = { ...this.#facts, ...facts };
  }
}
