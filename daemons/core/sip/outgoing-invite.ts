/**
 * INVITEs that we send (RFC 3261 13.2, 14.1): exactly one is accepted or failed; every other 2xx is acknowledged and ended.
 */
import type { HeaderField, SipRequest, SipResponse } from './message.ts';
import { header, tagOf } from './message.ts';
import { type Ms } from '../units.ts';
import { type InDialogParts, buildCancel, buildInDialog } from './build.ts';
import { Dialog } from './dialog.ts';
import type { DialogTable } from './dialogs.ts';
import { type Engine, type Expiring, type Transmit, newBranch } from './engine.ts';
import type { Flow } from './flow.ts';
import { type InviteClientAction, InviteClientMachine } from './invite-client.ts';
import type { Outcome, PendingRequest } from './pending-request.ts';
import { serializeMessage } from './serialize.ts';
import { reasonPhrase } from './status.ts';
import type { ClientTransaction, ClientUser, Transactions } from './transactions.ts';

export type OutgoingInviteOutput =
  | { readonly type: 'invite-provisional'; readonly invite: OutgoingInvite; readonly response: SipResponse }
  | { readonly type: 'invite-accepted'; readonly invite: OutgoingInvite; readonly response: SipResponse; readonly dialog: Dialog }
  | { readonly type: 'invite-failed'; readonly invite: OutgoingInvite; readonly outcome: Outcome };

/** More 2xx than this to one INVITE are not forks any more. */
const MAX_FORKS = 16;

interface Branch {
  readonly dialog: Dialog;
  /** Sent again for every repeated 2xx; absent until the owner acknowledges. */
  ack: { readonly bytes: Uint8Array; readonly flow: Flow } | undefined;
}

interface Home {
  readonly engine: Engine<OutgoingInviteOutput | Transmit>;
  readonly transactions: Transactions;
  readonly dialogs: DialogTable;
}

/** One INVITE of ours: a new call, or with `renewal` a re-INVITE whose outcome goes to `renewal.pending` and which is acknowledged by itself. */
export class OutgoingInvite implements ClientUser, Expiring {
  readonly request: SipRequest;
  readonly #home: Home;
  readonly #machine: InviteClientMachine;
  readonly #renewal: { readonly dialog: Dialog; readonly pending: PendingRequest } | undefined;
  readonly #branches = new Map<string, Branch>();
  #transaction: ClientTransaction | undefined;
  #taken: Branch | undefined;

  constructor(home: Home, request: SipRequest, renewal?: { dialog: Dialog; pending: PendingRequest }) {
    this.#home = home;
    this.request = request;
    this.#renewal = renewal;
    this.#machine = new InviteClientMachine(home.engine.timing);
  }

  get deadline(): Ms {
    return this.#machine.deadline;
  }

  start(flow: Flow, now: Ms): void {
    this.#transaction = this.#home.transactions.send(this.request, flow, this, now);
  }

  cancel(now: Ms): void {
    this.#run(this.#machine.cancel(now), now);
  }

  /** ACK for the 2xx that was taken, the owner's body in it (13.2.2.4). */
  acknowledge(parts: InDialogParts): void {
    if (this.#taken !== undefined && this.#taken.ack === undefined) this.#acknowledge(this.#taken, parts);
  }

  expire(now: Ms): void {
    this.#run(this.#machine.tick(now), now);
  }

  onResponse(response: SipResponse, flow: Flow, now: Ms): void {
    if (response.status < 200) {
      if (response.status > 100 && !this.#machine.unwanted && this.#renewal === undefined) {
        this.#home.engine.out({ type: 'invite-provisional', invite: this, response });
      }
      this.#run(this.#machine.provisional(now), now);
    } else if (response.status < 300) {
      this.#onSuccess(response, flow, now);
    } else {
      this.#fail({ type: 'response', response, flow }, now);
    }
  }

  onFailed(cause: 'timeout' | 'transport-error', why: string, now: Ms): void {
    this.#fail(cause === 'timeout' ? { type: 'timeout' } : { type: 'transport-error', why }, now);
  }

  #onSuccess(response: SipResponse, flow: Flow, now: Ms): void {
    const known = this.#branches.get(tagOf(response.to) ?? '');
    if (known !== undefined) return this.#repeatAck(known);
    if (this.#branches.size >= MAX_FORKS) return this.#home.engine.count('sip.invite.forks');
    if (this.#renewal !== undefined) return this.#renewed(this.#renewal, response, flow, now);
    const branch: Branch = { dialog: Dialog.asClient(this.request, response, flow), ack: undefined };
    this.#branches.set(branch.dialog.remoteTag, branch);
    const first = !this.#machine.over;
    const taken = this.#machine.accept();
    this.#home.engine.deadlines.set(this, this.deadline);
    if (taken) {
      this.#taken = branch;
      this.#home.dialogs.add(branch.dialog);
      this.#home.engine.out({ type: 'invite-accepted', invite: this, response, dialog: branch.dialog });
    } else {
      this.#disown(branch, now);
      if (first) this.#report({ type: 'response', response: { ...response, status: 487, reason: reasonPhrase(487) }, flow }, now);
    }
  }

  #renewed(renewal: { dialog: Dialog; pending: PendingRequest }, response: SipResponse, flow: Flow, now: Ms): void {
    const branch: Branch = { dialog: renewal.dialog, ack: undefined };
    this.#branches.set(tagOf(response.to) ?? '', branch);
    const first = !this.#machine.over;
    this.#machine.accept();
    this.#home.engine.deadlines.set(this, this.deadline);
    renewal.dialog.refresh(response, flow);
    this.#acknowledge(branch, {});
    if (first) this.#report({ type: 'response', response, flow }, now);
  }

  /** A 2xx that nobody wants: of a fork, or one that crossed our CANCEL (13.2.2.4, 9.1). */
  #disown(branch: Branch, now: Ms): void {
    const { engine, transactions } = this.#home;
    engine.count('sip.invite.disowned');
    this.#acknowledge(branch, {});
    const flow = engine.route(branch.dialog.target);
    if (flow === undefined) return;
    const { dialog } = branch;
    const names = { ...dialog.routed(), from: dialog.from, to: dialog.to, callId: dialog.callId, seq: dialog.takeSeq(), contact: undefined };
    transactions.send(buildInDialog('BYE', {}, names, flow, newBranch(engine.dice), engine.userAgent), flow, undefined, now);
  }

  /** 13.2.2.4: number of the INVITE, a branch of its own, the credentials of the INVITE; outside any transaction. */
  #acknowledge(branch: Branch, parts: InDialogParts): void {
    const { engine } = this.#home;
    const { dialog } = branch;
    const flow = engine.route(dialog.target) ?? this.#transaction?.flow;
    if (flow === undefined) return;
    const names = { ...dialog.routed(), from: dialog.from, to: dialog.to, callId: dialog.callId, seq: this.request.cseq.seq, contact: undefined };
    const ack = buildInDialog('ACK', { ...parts, headers: [...credentials(this.request), ...(parts.headers ?? [])] }, names, flow, newBranch(engine.dice), engine.userAgent);
    branch.ack = { bytes: serializeMessage(ack), flow };
    engine.out({ type: 'transmit', bytes: branch.ack.bytes, flow, message: ack });
  }

  #repeatAck(branch: Branch): void {
    if (branch.ack !== undefined) this.#home.engine.out({ type: 'transmit', ...branch.ack, message: undefined });
  }

  #run(actions: readonly InviteClientAction[], now: Ms): void {
    const { engine, transactions } = this.#home;
    for (const action of actions) {
      if (action === 'cancel' && this.#transaction !== undefined) transactions.send(buildCancel(this.request), this.#transaction.flow, undefined, now);
      if (action === 'give-up') {
        if (this.#transaction !== undefined) transactions.abandon(this.#transaction);
        this.#report({ type: 'timeout' }, now);
      }
    }
    engine.deadlines.set(this, this.deadline);
  }

  #fail(outcome: Outcome, now: Ms): void {
    if (this.#machine.over) return;
    this.#machine.end();
    this.#home.engine.deadlines.set(this, this.deadline);
    this.#report(outcome, now);
  }

  #report(outcome: Outcome, now: Ms): void {
    if (this.#renewal === undefined) return this.#home.engine.out({ type: 'invite-failed', invite: this, outcome });
    if (this.#renewal.dialog.pendingInvite === 'ours') this.#renewal.dialog.pendingInvite = 'none';
    this.#renewal.pending.settle(outcome, now);
  }
}

const credentials = (request: SipRequest): HeaderField[] =>
  ['Authorization', 'Proxy-Authorization'].flatMap(name => {
    const value = header(request, name);
    return value === undefined ? [] : [{ name, value }];
  });
