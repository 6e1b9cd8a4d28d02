/** The load of the sip bench as a process of its own: carries out one order of its parent after another. */
import { type Socket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Cameras, type CamerasOptions, type KeepaliveResult, type RegisterResult } from './cameras.ts';
import { type CatalogueResult, type InvitesOptions, type InvitesResult, Upstream, type UpstreamOptions } from './upstream.ts';

export interface EchoOptions {
  readonly address: string;
  readonly port: number;
  readonly bytes: number;
  readonly count: number;
  /** Under way at any moment; 0: one every `everyMs`. */
  readonly concurrency: number;
  readonly everyMs: number;
}

export interface EchoResult {
  readonly echoes: number;
  readonly seconds: number;
  readonly roundTripsMs: readonly number[];
}

/** What the parent may order: parameters and result of each. */
export interface Orders {
  cameras(options: CamerasOptions): void;
  register(options: { readonly concurrency: number }): RegisterResult;
  keepalives(options: { readonly perS: number; readonly seconds: number }): KeepaliveResult;
  setChannels(options: { readonly channels: number }): void;
  upstream(options: UpstreamOptions): void;
  upstreamRegistered(): void;
  catalogue(): CatalogueResult;
  invites(options: InvitesOptions): InvitesResult;
  echo(options: EchoOptions): EchoResult;
}

export interface Order {
  readonly id: number;
  readonly name: keyof Orders;
  readonly params: unknown;
}

export type Outcome = { readonly id: number; readonly result: unknown } | { readonly id: number; readonly error: string };

const ECHO_TIMEOUT_MS = 1000;

let cameras: Cameras | undefined;
let upstream: Upstream | undefined;

const opened = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('not opened');
  return value;
};

const HANDLERS: { readonly [Name in keyof Orders]: (params: Parameters<Orders[Name]>[0] & object) => Promise<ReturnType<Orders[Name]>> } = {
  cameras: async options => void (cameras = await Cameras.open(options)),
  register: ({ concurrency }) => opened(cameras).register(concurrency),
  keepalives: ({ perS, seconds }) => opened(cameras).keepalives(perS, seconds),
  setChannels: async ({ channels }) => opened(cameras).setChannels(channels),
  upstream: async options => void (upstream = await Upstream.open(options, opened(cameras).answers)),
  upstreamRegistered: () => opened(upstream).registered,
  catalogue: () => opened(upstream).catalogue(),
  invites: options => opened(upstream).invites(options),
  echo,
};

/** Datagrams to a process that sends them back. A lost one ends its turn. */
async function echo({ address, port, bytes, count, concurrency, everyMs }: EchoOptions): Promise<EchoResult> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const roundTripsMs: number[] = [];
  const startedAt = performance.now();
  const waiting = new Map<number, (ms: number) => void>();
  socket.on('message', datagram => waiting.get(datagram.readUInt32LE(0))?.(datagram.readDoubleLE(8)));
  const turn = (index: number): Promise<void> => exchange(socket, { address, port, bytes, index }, waiting, sentAt => roundTripsMs.push(performance.now() - sentAt));
  if (concurrency > 0) {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < count) await turn(next++);
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
  } else {
    for (let index = 0; index < count; index++) {
      await turn(index);
      await new Promise(resolve => setTimeout(resolve, everyMs));
    }
  }
  socket.close();
  return { echoes: roundTripsMs.length, seconds: (performance.now() - startedAt) / 1000, roundTripsMs };
}

function exchange(socket: Socket, to: { address: string; port: number; bytes: number; index: number }, waiting: Map<number, (sentAt: number) => void>, onEcho: (sentAt: number) => void): Promise<void> {
  const datagram = Buffer.alloc(to.bytes);
  datagram.writeUInt32LE(to.index, 0);
  datagram.writeDoubleLE(performance.now(), 8);
  return new Promise(resolve => {
    const late = setTimeout(() => settle(undefined), ECHO_TIMEOUT_MS);
    const settle = (sentAt: number | undefined): void => {
      clearTimeout(late);
      waiting.delete(to.index);
      if (sentAt !== undefined) onEcho(sentAt);
      resolve();
    };
    waiting.set(to.index, settle);
    socket.send(datagram, to.port, to.address);
  });
}

process.on('message', (order: Order) => {
  const handler = HANDLERS[order.name] as (params: unknown) => Promise<unknown>;
  handler(order.params).then(
    result => process.send?.({ id: order.id, result } satisfies Outcome),
    (error: unknown) => process.send?.({ id: order.id, error: String(error) } satisfies Outcome),
  );
});
process.on('disconnect', () => process.exit(0));
