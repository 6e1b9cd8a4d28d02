/**
 * Where messages come from and go to, as the automata see it: names of sockets, never sockets.
 */
export type SipTransport = 'UDP' | 'TCP';

/** Where a message came from or goes to. */
export interface Flow {
  readonly transport: SipTransport;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Set for TCP: the connection. A target with a live connectionId uses it; otherwise a connection to remote is reused or made. */
  readonly connectionId?: number;
}

export interface Target {
  readonly transport: SipTransport;
  readonly address: string;
  readonly port: number;
  readonly connectionId?: number | undefined;
  /** Our address to send from, where several are bound; otherwise routing chooses. */
  readonly localAddress?: string | undefined;
}

/** The way back to where a message came from. */
export const targetOf = (flow: Flow): Target => ({
  transport: flow.transport,
  address: flow.remoteAddress,
  port: flow.remotePort,
  localAddress: flow.localAddress,
  ...(flow.connectionId === undefined ? {} : { connectionId: flow.connectionId }),
});

export const isReliable = (flow: Flow): boolean => flow.transport === 'TCP';
