/**
 * The user agent of core/sip on real sockets and a real clock. Octets in: rate, parse, user agent. Outputs: octets or calls.
 */
import type { Dialog as CoreDialog, DialogState } from '#core/sip/dialog.ts';
import type { Transmit } from '#core/sip/engine.ts';
import type { IncomingInvite as CoreIncomingInvite } from '#core/sip/incoming-invites.ts';
import { type SipMessage, header } from '#core/sip/message.ts';
import type { OutgoingInvite as CoreOutgoingInvite } from '#core/sip/outgoing-invite.ts';
import { type ParseMode, parseMessage } from '#core/sip/parse.ts';
import type { PendingRequest } from '#core/sip/pending-request.ts';
import { RFC_TIMING } from '#core/sip/timing.ts';
import type { ServerTransaction } from '#core/sip/transactions.ts';
import { UserAgent, type UserAgentOutput } from '#core/sip/user-agent.ts';
import { SourceBuckets } from '#core/rate-limit.ts';
import { Alarm, type Clock } from './clock.ts';
import { Closer } from './closer.ts';
import { CountedLog } from './log.ts';
import { LocalAddresses, requireIp } from './net.ts';
import type { Dialog, Flow, IncomingInvite, IncomingRequest, InDialogParts, NewRequest, OutgoingInvite, Outcome, ResponseParts, SipEndpoint, SipEndpointOptions, SipTransport, Target } from './sip-api.ts';
import { DialogHandle, type HandleHost, IncomingInviteHandle, OutgoingInviteHandle, RequestHandle } from './sip-handles.ts';
import { TcpTransport } from './sip-tcp.ts';
import { UdpTransport } from './sip-udp.ts';

const DEFAULT_LIMITS = { maxServer: 200_000, maxUntrusted: 16_384 };
const DEFAULT_TCP_CONNECTIONS = 2048;
const DEFAULT_TCP_PER_PEER = 8;
const DEFAULT_UNKNOWN_TOTAL_PER_S = 4000;
/** What the usual scanners call themselves (faults.md 4). */
const SCANNERS = ['friendly-scanner', 'friendly-request', 'scanner', 'sipcli', 'sipvicious', 'vaxsipuseragent', 'pplsip', 'sundayddr', 'sip-scan', 'sipsak', 'iwar', 'sivus'];

export class SipStack implements SipEndpoint, HandleHost {
  readonly bound: { transport: SipTransport; address: string; port: number }[] = [];
  onRequest: ((incoming: IncomingRequest) => void) | undefined;
  onInvite: ((incoming: IncomingInvite) => void) | undefined;
  onFlowClosed: ((flow: Flow) => void) | undefined;
  onTrace: ((direction: 'in' | 'out', message: SipMessage, flow: Flow) => void) | undefined;
  readonly counters: Record<string, number> = {};
  readonly #clock: Clock;
  readonly #agent: UserAgent;
  readonly #udp: UdpTransport;
  readonly #tcp: TcpTransport;
  readonly #local: LocalAddresses;
  readonly #alarm: Alarm;
  readonly #isTrusted: (address: string) => boolean;
  readonly #scanners: readonly string[];
  readonly #perSource: SourceBuckets | undefined;
  readonly #allSources: SourceBuckets;
  readonly #malformed: CountedLog;
  readonly #closer = new Closer();
  readonly #waiting = new Map<PendingRequest, (outcome: Outcome) => void>();
  readonly #dialogs = new WeakMap<CoreDialog, DialogHandle>();
  readonly #incoming = new WeakMap<CoreIncomingInvite, IncomingInviteHandle>();
  readonly #outgoing = new WeakMap<CoreOutgoingInvite, OutgoingInviteHandle>();
  #draining = false;
  #closed = false;

  private constructor(options: SipEndpointOptions) {
    const { clock, random } = options;
    const count = (name: string): void => this.#count(name);
    this.#clock = clock;
    this.#isTrusted = options.isTrusted ?? ((): boolean => true);
    this.#scanners = options.scannerAgents ?? SCANNERS;
    this.#perSource = options.unknownRequestsPerS === undefined ? undefined : new SourceBuckets(options.unknownRequestsPerS, random.int(2 ** 32));
    this.#allSources = new SourceBuckets(options.unknownTotalPerS ?? DEFAULT_UNKNOWN_TOTAL_PER_S, 0);
    this.#malformed = new CountedLog(options.log, clock, 'sip.malformed');
    this.#local = new LocalAddresses(clock);
    this.#udp = new UdpTransport(this.#local, { onDatagram: (bytes, flow) => this.#onBytes(bytes, flow, 'datagram'), onError: () => count('sip.udp.error') });
    const tcpLimits = { maxConnections: options.tcpMaxConnections ?? DEFAULT_TCP_CONNECTIONS, maxPerPeer: options.tcpMaxPerPeer ?? DEFAULT_TCP_PER_PEER };
    this.#tcp = new TcpTransport(clock, this.#local, tcpLimits, {
      onMessage: (bytes, flow) => this.#onBytes(bytes, flow, 'stream-frame'),
      onBroken: (head, why, flow) => this.#onBroken(head, why, flow),
      onClosed: (flow, _why, established) => this.#onFlowClosed(flow, established),
      isTrusted: address => this.#isTrusted(address),
      count,
    });
    this.#agent = new UserAgent({
      timing: options.timing ?? RFC_TIMING, userAgent: options.userAgent, dice: random, count, limits: options.limits ?? DEFAULT_LIMITS,
      route: target => this.#route(target),
      ...(options.rules === undefined ? {} : { rules: options.rules }),
    });
    this.#alarm = new Alarm(clock, () => this.#run(now => this.#agent.tick(now)));
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
    for (const settle of this.#waiting.values()) settle({ type: 'transport-error', why: 'endpoint closed' });
    this.#waiting.clear();
  }

  get sizes(): Readonly<Record<string, number>> {
    return { ...this.#agent.sizes, tcpConnections: this.#tcp.size, pendingRequests: this.#waiting.size };
  }

  // --- SipEndpoint -----------------------------------------------------------------------------------------------------

  request(request: NewRequest, target: Target): Promise<Outcome> {
    return this.outcomeOf(this.#agent.request(request, target, this.#clock.now()));
  }

  /** The first bytes leave in the next microtask, so that the owner can set his callbacks before anything happens. */
  invite(request: NewRequest, target: Target): OutgoingInvite {
    const invite = this.#agent.invite(request, target, this.#clock.now());
    const handle = new OutgoingInviteHandle(this, invite);
    this.#outgoing.set(invite, handle);
    queueMicrotask(() => this.#drain());
    return handle;
  }

  /** Throws TypeError when the saved state is not one. */
  restoreDialog(state: DialogState): Dialog {
    const dialog = this.#agent.restoreDialog(state);
    if (dialog === undefined) throw new TypeError(`not the state of a dialog: ${state.callId}`);
    return this.handleOf(dialog);
  }

  localAddressFor(target: Target): { readonly address: string; readonly port: number } {
    const listening = this.bound.filter(bound => bound.transport === target.transport);
    const flow = target.transport === 'UDP' ? this.#udp.route(target) : undefined;
    if (flow !== undefined) return { address: flow.localAddress, port: flow.localPort };
    return this.#tcp.localFor(target) ?? { address: this.#local.sourceFor(target.address) ?? '', port: listening[0]?.port ?? 0 };
  }

  // --- HandleHost ------------------------------------------------------------------------------------------------------

  respond(transaction: ServerTransaction, status: number, parts: ResponseParts): void {
    this.#run(now => this.#agent.respond(transaction, status, parts, now));
  }

  drop(transaction: ServerTransaction): void {
    this.#run(now => this.#agent.drop(transaction, now));
  }

  outcomeOf(pending: PendingRequest): Promise<Outcome> {
    return new Promise(resolve => {
      if (this.#closed) return resolve({ type: 'transport-error', why: 'endpoint closed' });
      this.#waiting.set(pending, resolve);
      this.#drain();
    });
  }

  requestInDialog(dialog: CoreDialog, method: string, parts: InDialogParts): PendingRequest {
    return this.#agent.requestInDialog(dialog, method, parts, this.#clock.now());
  }

  closeDialog(dialog: CoreDialog): void {
    this.#run(now => this.#agent.closeDialog(dialog, now));
  }

  handleOf(dialog: CoreDialog): DialogHandle {
    let handle = this.#dialogs.get(dialog);
    if (handle === undefined) this.#dialogs.set(dialog, (handle = new DialogHandle(this, dialog)));
    return handle;
  }

  accept(invite: CoreIncomingInvite, parts: ResponseParts): CoreDialog {
    const dialog = this.#agent.accept(invite, parts, this.#clock.now());
    this.#drain();
    return dialog;
  }

  acknowledge(invite: CoreOutgoingInvite, parts: InDialogParts): void {
    this.#run(() => invite.acknowledge(parts));
  }

  cancel(invite: CoreOutgoingInvite): void {
    this.#run(now => invite.cancel(now));
  }

  // --- in --------------------------------------------------------------------------------------------------------------

  #onBytes(bytes: Uint8Array, flow: Flow, mode: ParseMode): void {
    const now = this.#clock.now();
    const trusted = this.#isTrusted(flow.remoteAddress);
    if (!trusted && !(this.#perSource?.take(flow.remoteAddress, now) ?? true)) return this.#count('sip.dropped.rate');
    if (!trusted && !this.#allSources.take('', now)) return this.#count('sip.dropped.rate-total');
    if (isKeepalive(bytes)) return this.#count('sip.keepalive');
    const parsed = parseMessage(bytes, mode);
    if (!parsed.ok) {
      this.#count('sip.malformed');
      this.#malformed.count({ from: flow.remoteAddress, why: parsed.error.why });
      return this.#run(() => this.#agent.refuse(parsed.error, flow));
    }
    const message = parsed.value;
    this.#count(message.type === 'request' ? 'sip.in.requests' : 'sip.in.responses');
    this.onTrace?.('in', message, flow);
    if (!trusted && message.type === 'request' && this.#isScanner(message)) return this.#count('sip.dropped.scanner');
    this.#run(() => this.#agent.receive(message, flow, trusted, now));
  }

  #isScanner(message: SipMessage): boolean {
    const agent = header(message, 'User-Agent')?.toLowerCase();
    return agent !== undefined && this.#scanners.some(word => agent.includes(word));
  }

  #onBroken(head: Uint8Array | undefined, why: string, flow: Flow): void {
    this.#malformed.count({ from: flow.remoteAddress, why });
    const parsed = head === undefined ? undefined : parseMessage(head, 'stream-frame');
    if (parsed?.ok === false) this.#run(() => this.#agent.refuse(parsed.error, flow));
  }

  #onFlowClosed(flow: Flow, established: boolean): void {
    if (this.#closed) return;
    this.#run(now => this.#agent.connectionClosed(flow.connectionId ?? 0, now));
    if (established) this.onFlowClosed?.(flow);
  }

  // --- out -------------------------------------------------------------------------------------------------------------

  #route(target: Target): Flow | undefined {
    return target.transport === 'UDP' ? this.#udp.route(target) : this.#tcp.route(target);
  }

  #run(input: (now: ReturnType<Clock['now']>) => void): void {
    if (this.#closed) return;
    input(this.#clock.now());
    this.#drain();
  }

  /** Outputs of calls that an owner makes while he is called join the queue: order is kept, the stack stays flat. */
  #drain(): void {
    if (this.#draining || this.#closed) return;
    this.#draining = true;
    try {
      for (let outputs = this.#agent.drain(); outputs.length > 0; outputs = this.#agent.drain()) {
        for (const output of outputs) this.#carryOut(output);
      }
    } finally {
      this.#draining = false;
    }
    if (!this.#closed) this.#alarm.arm(this.#agent.deadline);
  }

  #carryOut(output: UserAgentOutput): void {
    switch (output.type) {
      case 'transmit':
        return this.#transmit(output);
      case 'outcome':
        this.#waiting.get(output.pending)?.(output.outcome);
        return void this.#waiting.delete(output.pending);
      case 'request': {
        const handle = new RequestHandle(this, output.transaction, output.request);
        return this.onRequest === undefined ? handle.respond(501) : this.onRequest(handle);
      }
      case 'dialog-request':
        return this.#onDialogRequest(output.dialog, output.transaction);
      case 'invite': {
        const handle = new IncomingInviteHandle(this, output.invite);
        this.#incoming.set(output.invite, handle);
        return this.onInvite === undefined ? handle.respond(501) : this.onInvite(handle);
      }
      case 'invite-ack':
        return this.#incoming.get(output.invite)?.onAck?.(output.ack);
      case 'invite-ack-timeout':
        return this.#incoming.get(output.invite)?.onAckTimeout?.();
      case 'invite-cancelled':
        return this.#incoming.get(output.invite)?.onCancel?.();
      case 'invite-provisional':
        return this.#outgoing.get(output.invite)?.onProvisional?.(output.response);
      case 'invite-accepted':
        return this.#outgoing.get(output.invite)?.accepted(output.response, output.dialog);
      case 'invite-failed':
        return this.#outgoing.get(output.invite)?.onFailed?.(output.outcome);
    }
  }

  #onDialogRequest(dialog: CoreDialog, transaction: ServerTransaction): void {
    const request = transaction.request;
    if (request === undefined) return;
    const incoming = new RequestHandle(this, transaction, request);
    const owner = this.#dialogs.get(dialog)?.onRequest;
    if (owner !== undefined) owner(incoming);
    else incoming.respond(request.method === 'BYE' ? 200 : request.method === 'INVITE' ? 488 : 501);
  }

  #transmit(transmit: Transmit): void {
    const { bytes, flow } = transmit;
    if (this.onTrace !== undefined) this.#traceOut(transmit);
    this.#count('sip.out.messages');
    const onFailed = (why: string): void => this.#run(now => this.#agent.transmitFailed(transmit, why, now));
    if (flow.transport === 'UDP') return this.#udp.send(bytes, flow, onFailed);
    if (this.#tcp.isAlive(flow) || transmit.fallbackPort === undefined) return this.#tcp.send(bytes, flow, onFailed);
    const other = this.#tcp.route({ transport: 'TCP', address: flow.remoteAddress, port: transmit.fallbackPort });
    if (other === undefined) return onFailed('connection closed');
    this.#count('sip.tcp.fallback');
    this.#tcp.send(bytes, other, onFailed);
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

/** CRLF, NULs and the like that keep a NAT binding open (faults.md 5). */
const isKeepalive = (bytes: Uint8Array): boolean => bytes.length <= 4 && bytes.every(octet => octet <= 0x20 || octet === 0x30);
