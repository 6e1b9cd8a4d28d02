/**
 * The transaction layer (RFC 3261 17): finds the transaction of a message, keeps the bytes that may have to be sent again, and
 * carries out what the four automata ask for. Bounded: nobody makes it hold more than `limits` says.
 */
import { fromByteString, toByteString } from '../bytes.ts';
import { type Ms } from '../units.ts';
import { MAGIC_COOKIE, buildAckForFailure, buildResponse, responseFlow, sentByPort } from './build.ts';
import { type ClientActions, type ClientMachine, InviteClientTransaction, NonInviteClientTransaction } from './client-transaction.ts';
import type { Engine, Expiring, Transmit } from './engine.ts';
import { type Flow, isReliable } from './flow.ts';
import { type SipRequest, type SipResponse, tagOf } from './message.ts';
import { formatVia } from './headers.ts';
import { serializeMessage } from './serialize.ts';
import { InviteServerTransaction, NonInviteServerTransaction, type ServerActions } from './server-transaction.ts';
import { formatUri } from './uri.ts';

export interface TransactionLimits {
  /** Server transactions at once. Above, requests of trusted peers get a stateless 503 and all others nothing. */
  readonly maxServer: number;
  /** Of them for sources that nobody vouches for. Above, the oldest answered one is forgotten (faults.md 24). */
  readonly maxUntrusted: number;
}

/** What the layer above supplies (17, "transaction user"). */
export interface TransactionUser {
  onRequest(transaction: ServerTransaction, now: Ms): void;
  /** Nobody answered an INVITE for 200 ms: answer 100. */
  onTrying(transaction: ServerTransaction, now: Ms): void;
  /** An ACK that no transaction consumed: to a 2xx. */
  onAck(ack: SipRequest, flow: Flow, now: Ms): void;
}

/** Who sent a request and waits for what becomes of it. */
export interface ClientUser {
  onResponse(response: SipResponse, flow: Flow, now: Ms): void;
  onFailed(cause: 'timeout' | 'transport-error', why: string, now: Ms): void;
}

export class ServerTransaction implements Expiring {
  readonly key: string;
  readonly machine: InviteServerTransaction | NonInviteServerTransaction;
  /** Where it came on; `responseFlow` says where answers go. */
  readonly flow: Flow;
  readonly trusted: boolean;
  /** Until the final answer. */
  request: SipRequest | undefined;
  /** Last response, as a byte string: a quarter of what an array with its buffer costs, and over a hundred thousand may linger. */
  response: string | undefined;
  /** Our To tag, once chosen. */
  toTag = '';
  /** 18.2.2: where the answer goes; over TCP the port to try when the connection is gone. */
  readonly answerFlow: Flow;
  readonly fallbackPort: number;
  readonly #layer: Transactions;

  constructor(layer: Transactions, key: string, machine: ServerTransaction['machine'], request: SipRequest, flow: Flow, trusted: boolean) {
    this.#layer = layer;
    this.key = key;
    this.machine = machine;
    this.request = request;
    this.flow = flow;
    this.trusted = trusted;
    this.answerFlow = responseFlow(request.via[0], flow);
    this.fallbackPort = sentByPort(request);
  }

  get deadline(): Ms {
    return this.machine.deadline;
  }

  expire(now: Ms): void {
    this.#layer.runServer(this, this.machine.tick(now), now);
  }
}

export class ClientTransaction implements Expiring {
  readonly key: string;
  readonly machine: ClientMachine;
  readonly request: SipRequest;
  readonly bytes: Uint8Array;
  readonly flow: Flow;
  readonly user: ClientUser | undefined;
  /** ACK to a final non-2xx, kept for its retransmissions. */
  ack: Uint8Array | undefined;
  readonly #layer: Transactions;

  constructor(layer: Transactions, key: string, machine: ClientMachine, request: SipRequest, flow: Flow, user: ClientUser | undefined) {
    this.#layer = layer;
    this.user = user;
    this.key = key;
    this.machine = machine;
    this.request = request;
    this.bytes = serializeMessage(request);
    this.flow = flow;
  }

  get deadline(): Ms {
    return this.machine.deadline;
  }

  expire(now: Ms): void {
    this.#layer.runClient(this, this.machine.tick(now), undefined, now);
  }
}

export class Transactions {
  readonly #engine: Engine<Transmit>;
  readonly #user: TransactionUser;
  readonly #limits: TransactionLimits;
  readonly #servers = new Map<string, ServerTransaction>();
  readonly #untrusted = new Set<ServerTransaction>();
  readonly #clients = new Map<string, ClientTransaction>();
  readonly #clientsOn = new Map<number, Set<ClientTransaction>>();

  constructor(engine: Engine<Transmit>, user: TransactionUser, limits: TransactionLimits) {
    this.#engine = engine;
    this.#user = user;
    this.#limits = limits;
  }

  get serverCount(): number {
    return this.#servers.size;
  }

  get clientCount(): number {
    return this.#clients.size;
  }

  // --- as server -------------------------------------------------------------------------------------------------------

  /** A request with `received` already written into its Via. New ones reach `onRequest`. */
  receiveRequest(request: SipRequest, flow: Flow, trusted: boolean, now: Ms): void {
    const key = serverKey(request, flow, request.method);
    const known = this.#servers.get(key);
    if (request.method === 'ACK') return this.#receiveAck(request, known, flow, now);
    if (known !== undefined) return this.runServer(known, known.machine.again(), now);
    if (!this.#hasRoom(request, flow, trusted)) return;
    const machine =
      request.method === 'INVITE'
        ? new InviteServerTransaction(this.#engine.timing, isReliable(flow), now, !trusted)
        : new NonInviteServerTransaction(this.#engine.timing, isReliable(flow), now);
    const transaction = new ServerTransaction(this, key, machine, request, flow, trusted);
    this.#servers.set(key, transaction);
    if (!trusted) this.#untrusted.add(transaction);
    this.#engine.deadlines.set(transaction, transaction.deadline);
    this.#user.onRequest(transaction, now);
  }

  /** The INVITE that a CANCEL means (9.2). */
  findCancelled(cancel: SipRequest, flow: Flow): ServerTransaction | undefined {
    return this.#servers.get(serverKey(cancel, flow, 'INVITE'));
  }

  /** Sends `response`; a second final answer is dropped. */
  respond(transaction: ServerTransaction, response: SipResponse, now: Ms): void {
    const actions = transaction.machine.respond(response.status, now);
    if (actions.length === 0) return this.#engine.count('sip.response.superfluous');
    const bytes = serializeMessage(response);
    transaction.response = toByteString(bytes);
    this.runServer(transaction, actions, now, { message: response, bytes });
    if (response.status >= 200) transaction.request = undefined;
  }

  /** No answer now or ever; repetitions are swallowed. */
  silence(transaction: ServerTransaction, now: Ms): void {
    transaction.machine.silence(now);
    transaction.request = undefined;
    transaction.response = undefined;
    this.#engine.deadlines.set(transaction, transaction.deadline);
  }

  /** A response that no automaton keeps: to a message that is too broken or too much for a transaction. */
  respondStateless(request: SipRequest, response: SipResponse, flow: Flow): void {
    this.#transmit({ type: 'transmit', bytes: serializeMessage(response), flow: responseFlow(request.via[0], flow), message: response, fallbackPort: sentByPort(request) });
  }

  /** Sends the last response once more: the 2xx that its user repeats (13.3.1.4). */
  repeat(transaction: ServerTransaction): void {
    if (transaction.response === undefined) return;
    this.#transmit({ type: 'transmit', bytes: fromByteString(transaction.response), flow: transaction.answerFlow, message: undefined, fallbackPort: transaction.fallbackPort, sender: transaction });
  }

  runServer(transaction: ServerTransaction, actions: ServerActions, now: Ms, fresh?: { message: SipResponse; bytes: Uint8Array }): void {
    for (const action of actions) {
      if (action === 'trying') this.#user.onTrying(transaction, now);
      else if (action === 'transmit' && transaction.response !== undefined) {
        const bytes = fresh?.bytes ?? fromByteString(transaction.response);
        this.#transmit({ type: 'transmit', bytes, flow: transaction.answerFlow, message: fresh?.message, fallbackPort: transaction.fallbackPort, sender: transaction });
      } else if (action === 'timeout') this.#engine.count(transaction.machine instanceof InviteServerTransaction ? 'sip.timer.ack' : 'sip.unanswered');
      else if (action === 'terminate') this.#forgetServer(transaction);
    }
    if (this.#servers.get(transaction.key) === transaction) this.#engine.deadlines.set(transaction, transaction.deadline);
  }

  #receiveAck(ack: SipRequest, invite: ServerTransaction | undefined, flow: Flow, now: Ms): void {
    const machine = invite?.machine;
    if (invite === undefined || !(machine instanceof InviteServerTransaction) || isAckOfAnother(ack, invite)) return this.#user.onAck(ack, flow, now);
    const actions = machine.ack(now);
    if (actions.includes('deliver-ack')) this.#user.onAck(ack, flow, now);
    this.runServer(invite, actions, now);
  }

  #hasRoom(request: SipRequest, flow: Flow, trusted: boolean): boolean {
    if (!trusted && this.#untrusted.size >= this.#limits.maxUntrusted && !this.#forgetOldestUntrusted()) {
      this.#engine.count('sip.dropped.busy');
      return false;
    }
    if (this.#servers.size < this.#limits.maxServer) return true;
    this.#engine.count('sip.dropped.busy');
    if (trusted) this.respondStateless(request, buildResponse(request, 503, { headers: [{ name: 'Retry-After', value: '10' }] }, '', undefined), flow);
    return false;
  }

  #forgetOldestUntrusted(): boolean {
    for (const oldest of this.#untrusted) {
      if (oldest.request !== undefined) return false;
      this.#forgetServer(oldest);
      return true;
    }
    return false;
  }

  #forgetServer(transaction: ServerTransaction): void {
    this.#engine.deadlines.delete(transaction);
    this.#servers.delete(transaction.key);
    this.#untrusted.delete(transaction);
  }

  // --- as client -------------------------------------------------------------------------------------------------------

  /** Sends `request`, whose top Via carries its branch. Without `user` nobody cares for the answer. */
  send(request: SipRequest, flow: Flow, user: ClientUser | undefined, now: Ms): ClientTransaction {
    const reliable = isReliable(flow);
    const machine = request.method === 'INVITE' ? new InviteClientTransaction(this.#engine.timing, reliable) : new NonInviteClientTransaction(this.#engine.timing, reliable);
    const transaction = new ClientTransaction(this, clientKey(request), machine, request, flow, user);
    this.#clients.set(transaction.key, transaction);
    if (flow.connectionId !== undefined) setOf(this.#clientsOn, flow.connectionId).add(transaction);
    this.runClient(transaction, machine.start(now), undefined, now);
    return transaction;
  }

  receiveResponse(response: SipResponse, flow: Flow, now: Ms): void {
    const transaction = response.via.length === 1 ? this.#clients.get(clientKey(response)) : undefined;
    if (transaction === undefined) return this.#engine.count('sip.response.stray');
    this.runClient(transaction, transaction.machine.response(response.status, now), { response, flow }, now);
  }

  /** The bytes of `sender` could not be sent. */
  failed(sender: object, why: string, now: Ms): void {
    if (!(sender instanceof ClientTransaction)) return this.#engine.count('sip.response.lost');
    this.runClient(sender, sender.machine.transportError(), undefined, now, why);
  }

  /** Everything that waits for an answer on a connection that is gone. */
  connectionClosed(connectionId: number, now: Ms): void {
    for (const transaction of this.#clientsOn.get(connectionId) ?? []) this.failed(transaction, 'connection closed', now);
  }

  /** Gives up an INVITE after its CANCEL got no final answer (9.1). */
  abandon(transaction: ClientTransaction): void {
    this.#forgetClient(transaction);
  }

  runClient(transaction: ClientTransaction, actions: ClientActions, came: { response: SipResponse; flow: Flow } | undefined, now: Ms, why = ''): void {
    for (const action of actions) {
      if (action === 'transmit') this.#transmit({ type: 'transmit', bytes: transaction.bytes, flow: transaction.flow, message: transaction.request, sender: transaction });
      else if (action === 'acknowledge' && came !== undefined) this.#acknowledge(transaction, came.response);
      else if (action === 'deliver' && came !== undefined) transaction.user?.onResponse(came.response, came.flow, now);
      else if (action === 'timeout' || action === 'transport-error') transaction.user?.onFailed(action, why, now);
      else if (action === 'terminate') this.#forgetClient(transaction);
    }
    if (this.#clients.get(transaction.key) === transaction) this.#engine.deadlines.set(transaction, transaction.deadline);
  }

  #acknowledge(transaction: ClientTransaction, response: SipResponse): void {
    const first = transaction.ack === undefined;
    const ack = buildAckForFailure(transaction.request, response);
    transaction.ack ??= serializeMessage(ack);
    this.#transmit({ type: 'transmit', bytes: transaction.ack, flow: transaction.flow, message: first ? ack : undefined });
  }

  #forgetClient(transaction: ClientTransaction): void {
    this.#engine.deadlines.delete(transaction);
    if (!this.#clients.delete(transaction.key)) return;
    const { connectionId } = transaction.flow;
    const siblings = connectionId === undefined ? undefined : this.#clientsOn.get(connectionId);
    siblings?.delete(transaction);
    if (siblings?.size === 0 && connectionId !== undefined) this.#clientsOn.delete(connectionId);
  }

  #transmit(transmit: Transmit): void {
    this.#engine.out(transmit);
  }
}

function setOf<K, V>(map: Map<K, Set<V>>, key: K): Set<V> {
  let set = map.get(key);
  if (set === undefined) map.set(key, (set = new Set()));
  return set;
}

const hasUniqueBranch = (branch: string): boolean => branch.startsWith(MAGIC_COOKIE) && branch.length > MAGIC_COOKIE.length;

/**
 * 17.2.3. Without the magic cookie, or with nothing behind it, the rules of RFC 2543: request line, From tag, Call-ID, CSeq and the
 * whole top Via. The source address is part of every key, so that nobody else can repeat, acknowledge or cancel a request.
 */
function serverKey(request: SipRequest, flow: Flow, method: string): string {
  const via = request.via[0];
  const branch = via?.params.get('branch') ?? '';
  const name = method === 'ACK' ? 'INVITE' : method;
  if (via !== undefined && hasUniqueBranch(branch)) return flat(`${branch} ${via.host}:${via.port ?? ''} ${flow.remoteAddress} ${name}`);
  const hop = via === undefined ? '' : formatVia(via);
  return flat(`${formatUri(request.uri)} ${tagOf(request.from) ?? ''} ${request.callId} ${request.cseq.seq} ${hop} ${flow.remoteAddress} ${name}`);
}

/** A glued string holds its parts, and a part cut from a message holds the message; asking for a character makes one copy of it all. */
function flat(text: string): string {
  text.charCodeAt(0);
  return text;
}

/** 17.1.3. */
const clientKey = (message: SipRequest | SipResponse): string => `${message.via[0]?.params.get('branch') ?? ''} ${message.cseq.method}`;

/** 17.2.3, RFC 2543 half: without a unique branch the ACK is told by the tag that our response gave. */
function isAckOfAnother(ack: SipRequest, invite: ServerTransaction): boolean {
  const branch = ack.via[0]?.params.get('branch') ?? '';
  return !hasUniqueBranch(branch) && invite.toTag !== '' && invite.toTag !== tagOf(ack.to);
}
