import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { GatewayError } from '#core/result.ts';
import { createLog } from '#kit/log.ts';
import { mediadRequestSchemas, sipdRequestSchemas } from '#kit/request-schemas.ts';
import { RpcLink } from '#kit/rpc-link.ts';
import { connectRpc, serveRpc, type RpcHandlers, type RpcSchemas } from '#kit/rpc.ts';

interface DeskRequests {
  add(params: { readonly a: number; readonly b: number }): number;
  refuse(params: Record<string, never>): null;
  wait(params: Record<string, never>): null;
  echo(params: { readonly text: string }): { readonly text: string };
}
type DeskEvent = { readonly type: 'rang'; readonly times: number };

const schemas: RpcSchemas<DeskRequests> = {
  add: z.strictObject({ a: z.number(), b: z.number() }),
  refuse: z.strictObject({}),
  wait: z.strictObject({}),
  echo: z.strictObject({ text: z.string() }),
};
const handlers: RpcHandlers<DeskRequests> = {
  add: ({ a, b }) => a + b,
  refuse: () => {
    throw new GatewayError('CHANNEL_UNKNOWN', { channel: '34020000001320000001' });
  },
  wait: () => new Promise<null>(() => undefined),
  echo: ({ text }) => ({ text }),
};
const log = createLog('test', 'silent');
const options = { validate: schemas, log };

function socketPath(test: { teardown(fn: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'vl-rpc-'));
  test.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'run', 'desk.sock');
}

const frame = (body: string): string => `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
const code = (expected: string) => (error: unknown): boolean => error instanceof GatewayError && error.code === expected;

async function rejectsWith(test: Test, promise: Promise<unknown>, expected: string, message: string): Promise<GatewayError> {
  const error = await promise.then(() => undefined, (reason: unknown) => reason);
  test.ok(code(expected)(error), `${message}: ${String(error)}`);
  return error as GatewayError;
}

t.test('a message that is nested beyond reason is refused, and the daemon lives', async t => {
  const path = socketPath(t);
  await using _server = await serveRpc<DeskRequests>(path, handlers, options);
  await using client = await connectRpc<DeskRequests>(path);
  let deep: unknown = 'x';
  for (let level = 0; level < 500; level += 1) deep = [deep];
  await t.rejects(client.call('echo', { text: deep as string }), { code: 'BAD_REQUEST', detail: { why: 'nested too deep' } });
  t.equal(await client.call('add', { a: 1, b: 2 }), 3);
});

t.test('calls, failures with their code and detail, events in order', async t => {
  const path = socketPath(t);
  await using server = await serveRpc<DeskRequests, DeskEvent>(path, handlers, options);
  t.equal(statSync(path).mode & 0o777, 0o660);
  const heard: number[] = [];
  await using client = await connectRpc<DeskRequests, DeskEvent>(path, { onEvent: event => heard.push(event.times) });
  await using other = await connectRpc<DeskRequests, DeskEvent>(path);

  t.equal(await client.call('add', { a: 2, b: 3 }), 5);
  t.same(await Promise.all(Array.from({ length: 200 }, (_, n) => client.call('add', { a: n, b: 1 }))), Array.from({ length: 200 }, (_, n) => n + 1));
  const long = '视图'.repeat(300_000);
  t.equal((await client.call('echo', { text: long })).text, long, 'a message of many chunks');

  const error = await rejectsWith(t, client.call('refuse', {}), 'CHANNEL_UNKNOWN', 'code crosses');
  t.same(error.detail, { channel: '34020000001320000001' });
  await rejectsWith(t, client.call('add', { a: 'one', b: 2 } as never), 'BAD_REQUEST', 'validated at the receiver');
  await rejectsWith(t, client.call('toString' as never, {}), 'BAD_REQUEST', 'unknown method');
  await rejectsWith(t, client.call('wait', {}, { timeoutMs: 20 }), 'DAEMON_UNREACHABLE', 'time limit');

  t.equal(server.clients, 2);
  for (let times = 1; times <= 100; times++) server.notifyAll({ type: 'rang', times });
  await client.call('add', { a: 1, b: 1 });
  t.same(heard, Array.from({ length: 100 }, (_, n) => n + 1), 'all events, in order, before a later answer');
  t.equal(await other.call('add', { a: 1, b: 1 }), 2);
});

t.test('closing rejects what waits, from either side', async t => {
  const path = socketPath(t);
  const server = await serveRpc<DeskRequests>(path, handlers, options);
  let closed = 0;
  const client = await connectRpc<DeskRequests>(path, { onClose: () => (closed += 1) });
  const waiting = client.call('wait', {});
  const [, error] = await Promise.all([server[Symbol.asyncDispose](), rejectsWith(t, waiting, 'DAEMON_UNREACHABLE', 'server went away')]);
  t.ok(error.detail['method'] === 'wait');
  t.equal(existsSync(path), false, 'socket file is gone');
  await rejectsWith(t, client.call('add', { a: 1, b: 1 }), 'DAEMON_UNREACHABLE', 'call on a closed client');
  t.equal(client.open, false);
  t.equal(closed, 1);
  await client[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await rejectsWith(t, connectRpc<DeskRequests>(path), 'DAEMON_UNREACHABLE', 'nobody there');
});

t.test('stale socket files are replaced, living ones refused', async t => {
  const path = socketPath(t);
  const first = await serveRpc<DeskRequests>(path, handlers, options);
  await rejectsWith(t, serveRpc<DeskRequests>(path, handlers, options), 'BAD_REQUEST', 'already served');
  await first[Symbol.asyncDispose]();

  writeFileSync(path, 'a plain file');
  await using second = await serveRpc<DeskRequests>(path, handlers, options);
  await using client = await connectRpc<DeskRequests>(path);
  t.equal(await client.call('add', { a: 1, b: 1 }), 2);
  t.equal(second.clients, 1);
});

const MALFORMED: readonly (readonly [string, string | Buffer])[] = [
  ['no header end', 'x'.repeat(5000)],
  ['no length', 'Content-Type: text\r\n\r\n{}'],
  ['negative length', 'Content-Length: -5\r\n\r\n{}'],
  ['huge length', 'Content-Length: 9999999999\r\n\r\n'],
  ['not JSON', frame('{"jsonrpc":')],
  ['not an object', frame('7')],
  ['null', frame('null')],
  ['no version', frame('{"id":1,"method":"add"}')],
  ['id is an object', frame('{"jsonrpc":"2.0","id":{},"method":"add"}')],
  ['neither request nor answer', frame('{"jsonrpc":"2.0","id":1}')],
  ['cancel without params', frame('{"jsonrpc":"2.0","method":"$/cancelRequest"}')],
  ['bytes', Buffer.from(Array.from({ length: 3000 }, (_, n) => (n * 7919) & 0xff))],
];

t.test('a malformed frame closes only the client that sent it', async t => {
  const path = socketPath(t);
  await using server = await serveRpc<DeskRequests>(path, handlers, options);
  await using client = await connectRpc<DeskRequests>(path);
  for (const [name, bytes] of MALFORMED) {
    const socket = connect(path);
    socket.on('error', () => undefined).resume();
    socket.write(bytes);
    await once(socket, 'close');
    t.pass(`${name}: closed`);
  }
  t.equal(await client.call('add', { a: 1, b: 2 }), 3, 'the other client noticed nothing');
  t.equal(server.clients, 1);

  const socket = connect(path);
  const request = (id: string): string => frame(`{"jsonrpc":"2.0","id":"${id}","method":"add","params":{"a":1,"b":41}}`);
  for (const byte of Buffer.from(request('x') + request('y'))) socket.write(Uint8Array.of(byte));
  let text = '';
  for await (const chunk of socket) if ((text += String(chunk)).split('"result":42').length === 3) break;
  t.match(text, /"id":"x"/, 'byte by byte and two in a row');
});

t.test('a link re-attaches, backs off and says up and down once each', async t => {
  const path = socketPath(t);
  const said: string[] = [];
  let onSaid = (): void => undefined;
  const say = (what: string): void => {
    said.push(what);
    onSaid();
  };
  const until = (count: number): Promise<void> => new Promise<void>(resolve => (onSaid = () => void (said.length >= count && resolve())));
  let refusals = 1;
  const link = new RpcLink<DeskRequests>(path, {
    log,
    onUp: async client => {
      t.equal(await client.call('add', { a: 1, b: 1 }), 2, 'usable inside onUp');
      say('up');
      if (refusals-- > 0) throw new GatewayError('MEDIA_UNAVAILABLE');
    },
    onDown: () => say('down'),
  });
  await link.start();
  await rejectsWith(t, link.call('add', { a: 1, b: 1 }), 'DAEMON_UNREACHABLE', 'at once while down');
  t.equal(link.up, false);

  const third = until(3);
  const server = await serveRpc<DeskRequests>(path, handlers, options);
  await third;
  t.same(said, ['up', 'down', 'up'], 'a refused re-attachment is tried again');
  t.equal(await link.call('add', { a: 20, b: 22 }), 42);

  const sixth = until(5);
  await server[Symbol.asyncDispose]();
  await using again = await serveRpc<DeskRequests>(path, handlers, options);
  await sixth;
  t.same(said.slice(3), ['down', 'up']);
  t.equal(again.clients, 1);
  await link[Symbol.asyncDispose]();
  t.equal(said.length, 5, 'closing is not an outage');
});

t.test('a peer that accepts and says nothing does not hold the caller', async t => {
  const path = socketPath(t);
  await (await serveRpc<DeskRequests>(path, handlers, options))[Symbol.asyncDispose]();
  const mute = createServer(socket => socket.resume());
  await new Promise<void>(resolve => mute.listen(path, resolve));
  const client = await connectRpc<DeskRequests>(path);
  await rejectsWith(t, client.call('add', { a: 1, b: 1 }, { timeoutMs: 10 }), 'DAEMON_UNREACHABLE', 'limit');
  await client[Symbol.asyncDispose]();
  mute.close();
});

t.test('schemas of the contracts', async t => {
  const accepts = (schema: z.ZodType, value: unknown): boolean => schema.safeParse(value).success;
  const source = { bridgeId: 'b1', transport: 'udp', localAddress: '127.0.0.1', ssrc: 200000001, peer: { allowed: ['127.0.0.2'], latch: 'strict' }, silenceMs: 15000, label: 'x' };
  t.ok(accepts(mediadRequestSchemas.openSource, source));
  for (const wrong of [{ ssrc: -1 }, { ssrc: 2 ** 32 }, { transport: 'sctp' }, { bridgeId: '' }, { silenceMs: NaN }, { extra: 1 }]) t.notOk(accepts(mediadRequestSchemas.openSource, { ...source, ...wrong }), JSON.stringify(wrong));
  t.ok(accepts(sipdRequestSchemas.listChannels, {}));
  t.ok(accepts(sipdRequestSchemas.listChannels, { deviceId: '34020000001110000001', offset: 0, limit: 10 }));
  t.notOk(accepts(sipdRequestSchemas.listChannels, { limit: -1 }));
});
