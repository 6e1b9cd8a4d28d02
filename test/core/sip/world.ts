/**
 * User agents on a network without sockets: virtual time, a fixed latency, every message really written and parsed, and a censor who
 * may lose any of them.
 */
import type { Dice } from '#core/sip/engine.ts';
import type { Flow, SipTransport, Target } from '#core/sip/flow.ts';
import { nameAddr } from '#core/sip/headers.ts';
import type { SipMessage, SipRequest } from '#core/sip/message.ts';
import { parseMessage } from '#core/sip/parse.ts';
import { RFC_TIMING } from '#core/sip/timing.ts';
import type { TransactionLimits } from '#core/sip/transactions.ts';
import { sipUri } from '#core/sip/uri.ts';
import { UserAgent, type UserAgentOutput } from '#core/sip/user-agent.ts';
import type { Transmit } from '#core/sip/engine.ts';
import { type Ms, NEVER, ms } from '#core/units.ts';

export type Event = Exclude<UserAgentOutput, Transmit>;

export interface Passed {
  readonly at: number;
  readonly from: string;
  readonly to: string;
  readonly message: SipMessage;
  readonly flow: Flow;
}

export interface NodeOptions {
  readonly limits?: TransactionLimits;
  readonly trusts?: (address: string) => boolean;
}

const LATENCY_MS = 10;
const MAX_STEPS = 200_000;

/** Counts up: names are different and the same in every run. */
export function countingDice(seed: string): Dice {
  let last = 0;
  return { hex: count => `${seed}${(++last).toString(16)}`.padStart(2 * count, '0').slice(-2 * count), int: below => ++last % below };
}

export class Node {
  readonly agent: UserAgent;
  readonly address: string;
  readonly events: Event[] = [];
  readonly counters: Record<string, number> = {};
  /** Answers and reactions; runs at once for each event. */
  on: (event: Event) => void = () => undefined;
  readonly trusts: (address: string) => boolean;
  /** Routing fails while true. */
  isolated = false;

  constructor(world: World, address: string, options: NodeOptions) {
    this.address = address;
    this.trusts = options.trusts ?? ((): boolean => true);
    this.agent = new UserAgent({
      timing: RFC_TIMING,
      userAgent: address,
      dice: countingDice(address.replaceAll('.', '')),
      count: name => void (this.counters[name] = (this.counters[name] ?? 0) + 1),
      limits: options.limits ?? { maxServer: 10_000, maxUntrusted: 1000 },
      route: target => (this.isolated ? undefined : world.route(this.address, target)),
    });
  }

  eventsOf<T extends Event['type']>(type: T): Extract<Event, { type: T }>[] {
    return this.events.filter((event): event is Extract<Event, { type: T }> => event.type === type);
  }

  one<T extends Event['type']>(type: T): Extract<Event, { type: T }> {
    const found = this.eventsOf(type);
    if (found.length !== 1) throw new Error(`${found.length} events ${type} at ${this.address}`);
    return found[0]!;
  }
}

export class World {
  now: Ms = ms(0);
  readonly log: Passed[] = [];
  /** True: this message is lost. `nth` counts messages of its kind (method or status+method) from 1. */
  loses: (kind: string, nth: number, passed: Passed) => boolean = () => false;
  readonly #nodes = new Map<string, Node>();
  #travelling: { readonly at: number; readonly bytes: Uint8Array; readonly flow: Flow }[] = [];
  readonly #seen = new Map<string, number>();

  node(address: string, options: NodeOptions = {}): Node {
    const node = new Node(this, address, options);
    this.#nodes.set(address, node);
    return node;
  }

  route(from: string, target: Target): Flow {
    return { transport: target.transport, localAddress: from, localPort: 5060, remoteAddress: target.address, remotePort: target.port, ...(target.transport === 'TCP' ? { connectionId: 1 } : {}) };
  }

  /** Puts bytes on the wire as they are. */
  inject(text: string, from: string, to: string, transport: SipTransport = 'UDP', fromPort = 5060): void {
    const flow: Flow = { transport, localAddress: from, localPort: fromPort, remoteAddress: to, remotePort: 5060, ...(transport === 'TCP' ? { connectionId: 1 } : {}) };
    this.#travelling.push({ at: this.now + LATENCY_MS, bytes: new Uint8Array(Buffer.from(text.replace(/\r?\n/g, '\r\n'), 'latin1')), flow });
    this.settle();
  }

  /** Carries out what an input put out; call after every direct call of an agent. */
  settle(): void {
    for (let busy = true; busy; ) {
      busy = false;
      for (const node of this.#nodes.values()) {
        for (const output of node.agent.drain()) {
          busy = true;
          if (output.type === 'transmit') this.#send(output);
          else {
            node.events.push(output);
            node.on(output);
          }
        }
      }
    }
  }

  /** Time goes on to `until`, from deadline to deadline. */
  run(until: number): void {
    for (let steps = 0; ; steps++) {
      if (steps > MAX_STEPS) throw new Error('somebody keeps asking for the same deadline');
      this.settle();
      const arrival = Math.min(...this.#travelling.map(packet => packet.at), NEVER);
      const deadline = Math.min(...[...this.#nodes.values()].map(node => node.agent.deadline), NEVER);
      const next = Math.min(arrival, deadline);
      if (next > until) break;
      this.now = ms(Math.max(this.now, next));
      if (arrival <= deadline) this.#arrive();
      else for (const node of this.#nodes.values()) if (node.agent.deadline <= this.now) node.agent.tick(this.now);
    }
    this.now = ms(until);
  }

  /** What passed, in words: `INVITE`, `200 INVITE`. */
  kinds(from?: string): string[] {
    return this.log.filter(passed => from === undefined || passed.from === from).map(passed => kindOf(passed.message));
  }

  /** When messages of one kind left. */
  times(kind: string, from?: string): number[] {
    return this.log.filter(passed => (from === undefined || passed.from === from) && kindOf(passed.message) === kind).map(passed => passed.at);
  }

  passed(kind: string): Passed[] {
    return this.log.filter(passed => kindOf(passed.message) === kind);
  }

  #send(transmit: Transmit): void {
    const mode = transmit.flow.transport === 'UDP' ? 'datagram' : 'stream-frame';
    const parsed = parseMessage(transmit.bytes, mode);
    if (!parsed.ok) throw new Error(`sent what nobody can parse: ${parsed.error.why}`);
    const passed: Passed = { at: this.now, from: transmit.flow.localAddress, to: transmit.flow.remoteAddress, message: parsed.value, flow: transmit.flow };
    this.log.push(passed);
    const kind = kindOf(parsed.value);
    const nth = (this.#seen.get(kind) ?? 0) + 1;
    this.#seen.set(kind, nth);
    if (!this.loses(kind, nth, passed)) this.#travelling.push({ at: this.now + LATENCY_MS, bytes: transmit.bytes, flow: transmit.flow });
  }

  #arrive(): void {
    const due = this.#travelling.filter(packet => packet.at <= this.now);
    this.#travelling = this.#travelling.filter(packet => packet.at > this.now);
    for (const { bytes, flow } of due) {
      const node = this.#nodes.get(flow.remoteAddress);
      const parsed = parseMessage(bytes, flow.transport === 'UDP' ? 'datagram' : 'stream-frame');
      if (node === undefined) continue;
      const arrived: Flow = { ...flow, localAddress: flow.remoteAddress, localPort: flow.remotePort, remoteAddress: flow.localAddress, remotePort: flow.localPort };
      if (parsed.ok) node.agent.receive(parsed.value, arrived, node.trusts(arrived.remoteAddress), this.now);
      else node.agent.refuse(parsed.error, arrived);
      this.settle();
    }
  }
}

export const kindOf = (message: SipMessage): string => (message.type === 'request' ? message.method : `${message.status} ${message.cseq.method}`);

export const A = '192.0.2.1';
export const B = '192.0.2.2';
export const C = '192.0.2.3';

export const at = (address: string, transport: SipTransport = 'UDP'): Target => ({ transport, address, port: 5060, ...(transport === 'TCP' ? { connectionId: 1 } : {}) });

/** A request of the usual shape toward `to`. */
export const asks = (method: string, from: string, to: string) => ({
  method,
  uri: sipUri('34020000001320000001', to),
  from: nameAddr(sipUri('34020000002000000001', from)),
  to: nameAddr(sipUri('34020000001320000001', to)),
});

export const requestOf = (passed: Passed | undefined): SipRequest => {
  if (passed?.message.type !== 'request') throw new Error('not a request');
  return passed.message;
};
