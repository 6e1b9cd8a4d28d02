/**
 * Local RPC between daemons and to vlink: JSON-RPC 2.0 over unix sockets. A contract is a plain map of methods
 * (`MediadRequests`): each takes one parameter object and answers one value; events are notifications to every client.
 * Failures travel as GatewayError; anything else that a handler throws is a bug and crashes the unit (design.md 4.9).
 */
import { unlink } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { createMessageConnection, ParameterStructures, ResponseError, type MessageConnection } from 'vscode-jsonrpc/node';
import type { z } from 'zod';
import { errorWords } from '#core/config/issue-words.ts';
import { MAX_JSON_DEPTH, isDeeperThan } from '#core/json-depth.ts';
import { EXIT_CODE, GatewayError, type ErrorCode } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { Accounts } from './accounts.ts';
import { systemClock, type Clock } from './clock.ts';
import type { Log } from './log.ts';
import { peersAreKnown } from './peer-credentials.ts';
import { admit, refusalOf, type RpcAccess, type RpcPeer } from './rpc-peers.ts';
import { FrameReader, FrameWriter } from './rpc-frames.ts';
import { inodeOf, publishSocket } from './socket-file.ts';

const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
const MAX_CLIENTS = 256;
const CONNECT_TIMEOUT_MS = 2000;
const CALL_TIMEOUT_MS = 10_000;
/** Owner and group only: every daemon has its own uid, all share one group. */
const SOCKET_MODE = 0o660;
/** Where each peer is known and looked at, anybody may knock. */
const OPEN_SOCKET_MODE = 0o666;
const EVENT = 'event';
/** JSON-RPC code of a GatewayError; what it was stands in `data`. */
const GATEWAY_ERROR = -32000;

export type ParamsOf<Requests, Method extends keyof Requests> = Requests[Method] extends (params: infer Params) => unknown ? Params : never;
export type AnswerOf<Requests, Method extends keyof Requests> = Requests[Method] extends (params: never) => infer Answer ? Answer : never;
/** What a daemon implements: the contract's methods, plain or asynchronous. Most need not know who asks: what he may was looked at. */
export type RpcHandlers<Requests> = { readonly [Method in keyof Requests]: (params: ParamsOf<Requests, Method>, peer: RpcPeer) => AnswerOf<Requests, Method> | Promise<AnswerOf<Requests, Method>> };
/** One schema a method: what comes over the socket is checked once, here. */
export type RpcSchemas<Requests> = { readonly [Method in keyof Requests]: z.ZodType<ParamsOf<Requests, Method>> };

export interface RpcServerOptions<Requests> {
  readonly validate: RpcSchemas<Requests>;
  readonly log: Log;
  /** Without it nobody but root and the daemons is served. */
  readonly access?: RpcAccess<Requests>;
  readonly accounts?: Accounts;
  /** Of one request; whole configurations need more than others. */
  readonly maxRequestBytes?: number;
}

export interface RpcServer<Event> extends AsyncDisposable {
  /** To every connected client, in order. */
  notifyAll(event: Event): void;
  readonly clients: number;
}

/**
 * Serves `path` (the directory is made when missing). The socket file appears complete and with its final mode; a file
 * left by a dead process is replaced, one that a living process serves is refused with BAD_REQUEST.
 */
export async function serveRpc<Requests, Event = never>(path: string, handlers: RpcHandlers<Requests>, options: RpcServerOptions<Requests>): Promise<RpcServer<Event>> {
  const { log, access, accounts = new Accounts() } = options;
  const connections = new Map<Socket, MessageConnection>();
  const server = createServer(socket => {
    const peer = connections.size < MAX_CLIENTS ? admit(socket, accounts) : null;
    if (peer === null) return void socket.destroy();
    connections.set(socket, attend(socket, peer, handlers, options));
    socket.on('error', error => log.warn({ socket: path, why: error.message }, 'rpc.client-dropped'));
    socket.on('close', () => {
      connections.get(socket)?.dispose();
      connections.delete(socket);
    });
  });
  if (!peersAreKnown()) warnOfStrangers(path, log);
  const inode = await publishSocket(server, path, access !== undefined && peersAreKnown() ? OPEN_SOCKET_MODE : SOCKET_MODE);
  return {
    get clients() {
      return connections.size;
    },
    notifyAll(event) {
      for (const connection of connections.values()) void connection.sendNotification(EVENT, ParameterStructures.byName, event).catch(() => undefined);
    },
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      const closed = new Promise(resolve => server.close(resolve));
      for (const socket of connections.keys()) socket.destroySoon();
      if ((await inodeOf(path)) === inode) await unlink(path).catch(() => undefined);
      await closed;
    },
  };
}

function attend<Requests>(socket: Socket, peer: RpcPeer, handlers: RpcHandlers<Requests>, { validate, log, access, maxRequestBytes = MAX_REQUEST_BYTES }: RpcServerOptions<Requests>): MessageConnection {
  const connection = createMessageConnection(new FrameReader(socket, maxRequestBytes), new FrameWriter(socket));
  connection.onRequest(async (method, params) => {
    try {
      if (!Object.hasOwn(handlers, method)) throw new GatewayError('BAD_REQUEST', { method, why: 'unknown method' });
      const name = method as keyof Requests;
      const refusal = refusalOf(peer, access?.[name], params);
      if (refusal !== null) throw new GatewayError('NOT_PERMITTED', { method, ...refusal });
      if (isDeeperThan(params, MAX_JSON_DEPTH)) throw new GatewayError('BAD_REQUEST', { method, why: 'nested too deep' });
      const checked = validate[name].safeParse(params ?? {});
      if (!checked.success) throw new GatewayError('BAD_REQUEST', { method, why: errorWords(checked.error) });
      return await handlers[name](checked.data as ParamsOf<Requests, keyof Requests>, peer);
    } catch (error) {
      if (error instanceof GatewayError) return new ResponseError(GATEWAY_ERROR, error.message, { code: error.code, detail: error.detail });
      log.error({ err: error, method }, 'rpc.handler-bug');
      raiseBug(error);
      throw error;
    }
  });
  connection.listen();
  return connection;
}

/** Out of the library's catch and into uncaughtException: a bug ends the unit, and systemd starts it anew. */
function raiseBug(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}

/** Once a process: that roles are not looked at must not pass in silence. */
function warnOfStrangers(path: string, log: Log): void {
  if (!warned) log.warn({ socket: path, why: 'no peer-credentials.node, or a user namespace of its own (PrivateUsers=): who may open the socket may do everything' }, 'rpc.peers-unknown');
  warned = true;
}
let warned = false;

export interface RpcClientOptions<Event> {
  readonly onEvent?: (event: Event) => void;
  /** Once, whoever closed. */
  readonly onClose?: () => void;
  readonly connectTimeoutMs?: number;
  readonly clock?: Clock;
}

export interface RpcClient<Requests> extends AsyncDisposable {
  /** Rejects with the handler's GatewayError, or DAEMON_UNREACHABLE when the answer did not come. */
  call<Method extends keyof Requests & string>(method: Method, params: ParamsOf<Requests, Method>, options?: { readonly timeoutMs?: number }): Promise<AnswerOf<Requests, Method>>;
  readonly open: boolean;
}

/** Connects to a daemon; DAEMON_UNREACHABLE when nobody answers there. */
export async function connectRpc<Requests, Event = never>(path: string, options: RpcClientOptions<Event> = {}): Promise<RpcClient<Requests>> {
  const clock = options.clock ?? systemClock;
  const socket = await connectSocket(path, options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS, clock);
  const connection = createMessageConnection(new FrameReader(socket, MAX_ANSWER_BYTES), new FrameWriter(socket));
  let open = true;
  socket.on('error', () => undefined);
  socket.once('close', () => {
    open = false;
    connection.dispose();
    options.onClose?.();
  });
  connection.onNotification(EVENT, (event: Event) => {
    try {
      options.onEvent?.(event);
    } catch (error) {
      raiseBug(error);
    }
  });
  connection.listen();
  return {
    get open() {
      return open;
    },
    async call(method, params, { timeoutMs = CALL_TIMEOUT_MS } = {}) {
      const late = Promise.withResolvers<never>();
      using _limit = clock.schedule(addMs(clock.now(), timeoutMs), () => late.reject(new GatewayError('DAEMON_UNREACHABLE', { socket: path, method, timeoutMs })));
      try {
        return await Promise.race([connection.sendRequest<AnswerOf<Requests, typeof method>>(method, ParameterStructures.byName, params), late.promise]);
      } catch (error) {
        throw asGatewayError(error, path, method);
      }
    },
    async [Symbol.asyncDispose]() {
      if (!open) return;
      const closed = new Promise(resolve => socket.once('close', resolve));
      socket.destroySoon();
      await closed;
    },
  };
}

async function connectSocket(path: string, timeoutMs: number, clock: Clock): Promise<Socket> {
  const socket = connect(path);
  const up = Promise.withResolvers<void>();
  using _limit = clock.schedule(addMs(clock.now(), timeoutMs), () => up.reject(new Error('no answer')));
  socket.once('connect', up.resolve).once('error', up.reject);
  try {
    await up.promise;
    return socket;
  } catch (error) {
    socket.destroy();
    const why = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    throw new GatewayError('DAEMON_UNREACHABLE', { socket: path, why }, { cause: error });
  }
}

function asGatewayError(error: unknown, path: string, method: string): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof ResponseError && error.code === GATEWAY_ERROR) {
    const { code, detail } = error.data as { code: string; detail: Record<string, string | number> };
    if (Object.hasOwn(EXIT_CODE, code)) return new GatewayError(code as ErrorCode, detail);
  }
  return new GatewayError('DAEMON_UNREACHABLE', { socket: path, method, why: (error as Error).message }, { cause: error });
}
