/**
 * The user agent of core/sip on real sockets and a real clock. Octets in: rate, parse, user agent. Outputs: octets or calls.
 */
import type { SipRecorder } from '#core/diagnose/recorder.ts';
import type { Dialog as CoreDialog, DialogState } from '#core/sip/dialog.ts';
import type { Transmit } from '#core/sip/engine.ts';
import type { IncomingInvite as CoreIncomingInvite } from '#core/sip/incoming-invites.ts';
import type { SipMessage } from '#core/sip/message.ts';
import type { OutgoingInvite as CoreOutgoingInvite } from '#core/sip/outgoing-invite.ts';
import { type ParseMode, parseMessage } from '#core/sip/parse.ts';
import type { PendingRequest } from '#core/sip/pending-request.ts';
import { RFC_TIMING } from '#core/sip/timing.ts';
import type { ServerTransaction } from '#core/sip/transactions.ts';
import { UserAgent } from '#core/sip/user-agent.ts';
import type { Ms } from '#core/units.ts';
import { Alarm, type Clock } from './clock.ts';
import { Closer } from './closer.ts';
import { LocalAddresses, requireIp } from './net.ts';
import type { Dialog, Flow, InDialogParts, NewRequest, NewSubscription, Notifier, OutgoingInvite, Outcome, ResponseParts, SipEndpoint, SipEndpointOptions, SipTransport, Subscription, SubscriptionState, Target } from './sip-api.ts';
import { PooledDice } from './sip-dice.ts';
import { SipDoor } from './sip-door.ts';
import type { DialogHandle } from './sip-handles.ts';
import type { SubscriptionHandleHost } from './sip-subscription-handles.ts';
import { TcpTransport } from './sip-tcp.ts';
import { UdpTransport } from './sip-udp.ts';
import { Upcalls } from './sip-upcalls.ts';

const DEFAULT_LIMITS = { maxServer: 200_000, maxUntrusted: 16_384 };
const DEFAULT_TCP_CONNECTIONS = 2048;
const DEFAULT_TCP_PER_PEER = 8;
/** Of an endpoint that has not begun: a moment's worth of everything. */
const MAX_HELD = 4096;

export class SipStack implements SipEndpoint, SubscriptionHandleHost {
  readonly bound: { transport: SipTransport; address: string; port: number }[] = [];
  onFlowClosed: ((flow: Flow) => void) | undefined;
  onTrace: ((direction: 'in' | 'out', message: SipMessage, flow: Flow) => void) | undefined;
  readonly counters: Record<string, number> = {};
  readonly #clock: Clock;
  readonly #agent: UserAgent;
  readonly #udp: UdpTransport;
  readonly #tcp: TcpTransport;
  readonly #local: LocalAddresses;
  readonly #alarm: Alarm;
  readonly #door: SipDoor;
  readonly #recorder: SipRecorder | undefined;
  readonly #closer = new Closer();
  readonly #up = new Upcalls(this);
  #draining = false;
  #closed = false;
  /** What came before the begin, oldest first; undefined from then on. */
  #held: (() => void)[] | undefined;

  private constructor(options: SipEndpointOptions) {
    const { clock, random } = options;
    const count = (name: string): void => this.#count(name);
    this.#held = options.held === true ? [] : undefined;
    this.#clock = clock;
    this.#recorder = options.recorder;
    this.#door = new SipDoor(options, count);
    this.#local = new LocalAddresses(clock);
    this.#udp = new UdpTransport(this.#local, { onDatagram: (bytes, flow) => this.#onBytes(bytes, flow, 'datagram'), onError: () => count('sip.udp.error') });
    const tcpLimits = { maxConnections: options.tcpMaxConnections ?? DEFAULT_TCP_CONNECTIONS, maxPerPeer: options.tcpMaxPerPeer ?? DEFAULT_TCP_PER_PEER };
    this.#tcp = new TcpTransport(clock, this.#local, tcpLimits, {
      onMessage: (bytes, flow) => this.#onBytes(bytes, flow, 'stream-frame'),
      onBroken: (head, why, flow) => this.#onBroken(head, why, flow),
      onClosed: (flow, _why, established) => this.#onFlowClosed(flow, established),
      isTrusted: address => this.#door.isTrusted(address),
      isBanned: address => this.#door.isBanned(address),
      count,
    });
    this.#agent = new UserAgent({
      timing: options.timing ?? RFC_TIMING, userAgent: options.userAgent, dice: new PooledDice(random), count, limits: options.limits ?? DEFAULT_LIMITS,
      route: target => this.#route(target),
      ...(options.rules === undefined ? {} : { rules: options.rules }),
    });
    this.#alarm = new Alarm(clock, () => this.run(now => this.#agent.tick(now)));
  }

  static async open(options: SipEndpointOptions): Promise<SipStack> {
    const stack = new SipStack(options);
    stack.#closer.use(stack.#udp);
    stack.#closer.use(stack.#tcp);
    stack.#closer.use(stack.#alarm);
    try {
      for (const { transport, address, port } of options.listen) {
        const bound = await (transport === 'udp' ? stack.#udp.bind(requireIp(address), port) : stack.#tcp.listen(requireIp(address), port));
        stack.bound.push({ transport: transport === 'udp' ? 'UDP' : 'TCP', ...bound });
      }
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
    return stack;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#closer[Symbol.asyncDispose]();
    this.#up.settleAll({ type: 'transport-error', why: 'endpoint closed' });
  }

  get sizes(): Readonly<Record<string, number>> {
    return { ...this.#agent.sizes, tcpConnections: this.#tcp.size, pendingRequests: this.#up.waiting };
  }

  get onRequest(): SipEndpoint['onRequest'] {
    return this.#up.onRequest;
  }

  set onRequest(handler: SipEndpoint['onRequest']) {
    this.#up.onRequest = handler;
  }

  get onInvite(): SipEndpoint['onInvite'] {
    return this.#up.onInvite;
  }

  set onInvite(handler: SipEndpoint['onInvite']) {
    this.#up.onInvite = handler;
  }

  get onSubscribe(): SipEndpoint['onSubscribe'] {
    return this.#up.onSubscribe;
  }

  set onSubscribe(handler: SipEndpoint['onSubscribe']) {
    this.#up.onSubscribe = handler;
  }

  get onStrayNotify(): SipEndpoint['onStrayNotify'] {
    return this.#up.onStrayNotify;
  }

  set onStrayNotify(handler: SipEndpoint['onStrayNotify']) {
    this.#up.onStrayNotify = handler;
  }

  // --- SipEndpoint -----------------------------------------------------------------------------------------------------

  request(request: NewRequest, target: Target): Promise<Outcome> {
    return this.outcomeOf(this.#agent.request(request, target, this.now()));
  }

  /** The first bytes leave in the next microtask, so that the owner can set his callbacks before anything happens. */
  invite(request: NewRequest, target: Target): OutgoingInvite {
    const invite = this.#agent.invite(request, target, this.now());
    queueMicrotask(() => this.#drain());
    return this.#up.ofOutgoing(invite);
  }

  /** As with `invite`, nothing happens before the owner has set his callbacks. */
  subscribe(request: NewSubscription, target: Target): Subscription {
    const subscriber = this.#agent.subscriptions.subscribe(request, target, this.now());
    queueMicrotask(() => this.#drain());
    return this.#up.ofSubscriber(subscriber);
  }

  restoreDialog(state: DialogState): Dialog {
    return this.#up.ofDialog(required(this.#agent.restoreDialog(state)));
  }

  restoreSubscription(state: SubscriptionState, content: InDialogParts = {}): Subscription {
    const subscriber = required(this.#agent.subscriptions.restoreSubscriber(state, content, this.now()));
    this.#drain();
    return this.#up.ofSubscriber(subscriber);
  }

  restoreNotifier(state: SubscriptionState): Notifier {
    const notifier = required(this.#agent.subscriptions.restoreNotifier(state, this.now()));
    this.#drain();
    return this.#up.ofNotifier(notifier);
  }

  localAddressFor(target: Target): { readonly address: string; readonly port: number } {
    const udp = target.transport === 'UDP' ? this.#udp.route(target) : undefined;
    if (udp !== undefined) return { address: udp.localAddress, port: udp.localPort };
    return this.#tcp.localFor(target) ?? { address: '', port: 0 };
  }

  // --- SubscriptionHandleHost: what handles ask ----------------------------------------------------------------------------

  respond(transaction: ServerTransaction, status: number, parts: ResponseParts): void {
    this.run(now => this.#agent.respond(transaction, status, parts, now));
  }

  drop(transaction: ServerTransaction): void {
    this.run(now => this.#agent.drop(transaction, now));
  }

  outcomeOf(pending: PendingRequest): Promise<Outcome> {
    return new Promise(resolve => {
      if (this.#closed) return resolve({ type: 'transport-error', why: 'endpoint closed' });
      this.#up.wait(pending, resolve);
      this.#drain();
    });
  }

  requestInDialog(dialog: CoreDialog, method: string, parts: InDialogParts): PendingRequest {
    return this.#agent.requestInDialog(dialog, method, parts, undefined, this.now());
  }

  closeDialog(dialog: CoreDialog): void {
    this.run(now => this.#agent.closeDialog(dialog, now));
  }

  handleOf(dialog: CoreDialog): DialogHandle {
    return this.#up.ofDialog(dialog);
  }

  accept(invite: CoreIncomingInvite, parts: ResponseParts, commit: (dialog: CoreDialog) => void): CoreDialog {
    const dialog = this.#agent.accept(invite, parts, this.now());
    commit(dialog);
    this.#drain();
    return dialog;
  }

  acceptSubscription(transaction: ServerTransaction, parts: ResponseParts, expiresS: number): Notifier | undefined {
    const notifier = this.#agent.subscriptions.accept(transaction, parts, expiresS, this.now());
    this.#drain();
    return notifier === undefined ? undefined : this.#up.ofNotifier(notifier);
  }

  acknowledge(invite: CoreOutgoingInvite, parts: InDialogParts): void {
    this.run(() => invite.acknowledge(parts));
  }

  cancel(invite: CoreOutgoingInvite): void {
    this.run(now => invite.cancel(now));
  }

  now(): Ms {
    return this.#clock.now();
  }

  run(input: (now: Ms) => void): void {
    if (this.#closed) return;
    input(this.now());
    this.#drain();
  }

  // --- in --------------------------------------------------------------------------------------------------------------

  begin(): void {
    const held = this.#held;
    this.#held = undefined;
    for (const run of held ?? []) run();
  }

  #hold(run: () => void): void {
    if (this.#held!.length < MAX_HELD) this.#held!.push(run);
    else this.#count('sip.held-dropped');
  }

  #onBytes(bytes: Uint8Array, flow: Flow, mode: ParseMode): void {
    if (this.#closed) return;
    if (this.#held !== undefined) {
      const copy = Uint8Array.from(bytes);
      return this.#hold(() => this.#onBytes(copy, flow, mode));
    }
    const admission = this.#door.admit(bytes, flow.remoteAddress, mode);
    if (admission === undefined) return;
    this.#record(false, bytes, flow);
    if (admission.type === 'malformed') return this.run(() => this.#agent.refuse(admission.error, flow));
    this.onTrace?.('in', admission.message, flow);
    this.run(now => this.#agent.receive(admission.message, flow, admission.trusted, now));
  }

  #onBroken(head: Uint8Array | undefined, why: string, flow: Flow): void {
    this.#door.noteMalformed(flow.remoteAddress, why);
    if (head !== undefined) this.#record(false, head, flow);
    const parsed = head === undefined ? undefined : parseMessage(head, 'stream-frame');
    if (parsed?.ok === false) this.run(() => this.#agent.refuse(parsed.error, flow));
  }

  #onFlowClosed(flow: Flow, established: boolean): void {
    if (this.#closed) return;
    if (this.#held !== undefined) return this.#hold(() => this.#onFlowClosed(flow, established));
    this.run(now => this.#agent.connectionClosed(flow.connectionId ?? 0, now));
    if (established) this.onFlowClosed?.(flow);
  }

  // --- out -------------------------------------------------------------------------------------------------------------

  #route(target: Target): Flow | undefined {
    return target.transport === 'UDP' ? this.#udp.route(target) : this.#tcp.route(target);
  }

  /** Outputs of calls that an owner makes while he is called join the queue: order is kept, the stack stays flat. */
  #drain(): void {
    if (this.#draining || this.#closed) return;
    this.#draining = true;
    try {
      for (let outputs = this.#agent.drain(); outputs.length > 0; outputs = this.#agent.drain()) {
        for (const output of outputs) {
          if (output.type === 'transmit') this.#transmit(output);
          else this.#up.call(output);
        }
      }
    } finally {
      this.#draining = false;
    }
    if (!this.#closed) this.#alarm.arm(this.#agent.deadline);
  }

  #transmit(transmit: Transmit): void {
    const { bytes, flow } = transmit;
    if (this.onTrace !== undefined) this.#traceOut(transmit);
    this.#record(true, bytes, flow);
    this.#count('sip.out.messages');
    const onFailed = (why: string): void => this.run(now => this.#agent.transmitFailed(transmit, why, now));
    if (flow.transport === 'UDP') return this.#udp.send(bytes, flow, onFailed);
    if (this.#tcp.isAlive(flow) || transmit.fallbackPort === undefined) return this.#tcp.send(bytes, flow, onFailed);
    const other = this.#tcp.route({ transport: 'TCP', address: flow.remoteAddress, port: transmit.fallbackPort });
    if (other === undefined) return onFailed('connection closed');
    this.#count('sip.tcp.fallback');
    this.#tcp.send(bytes, other, onFailed);
  }

  #record(isOut: boolean, bytes: Uint8Array, flow: Flow): void {
    this.#recorder?.record(isOut, bytes, flow, this.#door.isTrusted(flow.remoteAddress), this.#clock.wall());
  }

  #traceOut({ message, bytes, flow }: Transmit): void {
    const parsed = message === undefined ? parseMessage(bytes, flow.transport === 'UDP' ? 'datagram' : 'stream-frame') : undefined;
    const passed = message ?? (parsed?.ok === true ? parsed.value : undefined);
    if (passed !== undefined) this.onTrace?.('out', passed, flow);
  }

  #count(name: string): void {
    this.counters[name] = (this.counters[name] ?? 0) + 1;
  }
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new TypeError('not the state of a dialog');
  return value;
}
