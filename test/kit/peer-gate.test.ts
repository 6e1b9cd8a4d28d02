/** The way between the daemons of two nodes, over real TLS on loopback, and those who try to come in beside it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, type TLSSocket, connect as connectTls, createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { z } from 'zod';
import { formatTarget } from '#core/cluster/peer-target.ts';
import { wallMs } from '#core/units.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { createLog } from '#kit/log.ts';
import { type PairTrust, keyPem, newAuthority, newKeys, newPairTrust, readTrust, usableTrust, writeTrust } from '#kit/pair-trust.ts';
import { peersAreKnown } from '#kit/peer-credentials.ts';
import { systemRandom as random } from '#kit/random.ts';
import { RpcLink } from '#kit/rpc-link.ts';
import { connectRpc, serveRpc } from '#kit/rpc.ts';
import { PeerGate } from '../../daemons/clusterd/peer-gate.ts';
import { until } from '../rig/until.ts';

const A = '127.0.1.1';
const B = '127.0.1.2';
const STRANGER = '127.0.1.3';
const PORT = 17_602;
const log = createLog('test', 'silent');
const DAY_MS = 86_400_000;

interface EchoRequests {
  echo(params: { readonly text: string }): string;
}

interface Rig extends AsyncDisposable {
  readonly a: PeerGate;
  readonly b: PeerGate;
  readonly trust: readonly [PairTrust, PairTrust];
  /** Run directories. */
  readonly here: string;
  readonly there: string;
}

async function open(trust = newPairTrust(['a', 'b'], random)): Promise<Rig> {
  const directory = mkdtempSync(join(tmpdir(), 'vl-gate-'));
  const [here, there] = [join(directory, 'a'), join(directory, 'b')];
  const gate = (runDirectory: string, own: string, peer: string, half: PairTrust): PeerGate => new PeerGate({ runDirectory, instances: 2, own, peer, port: PORT, clock, log }, half);
  mkdirSync(here);
  mkdirSync(there);
  const a = gate(here, A, B, trust[0]);
  const b = gate(there, B, A, trust[1]);
  await Promise.all([a.heard(5), b.heard(5)]);
  await until('both doors are open', () => a.listening && b.listening);
  return {
    a, b, trust, here, there,
    async [Symbol.asyncDispose]() {
      await Promise.all([a[Symbol.asyncDispose](), b[Symbol.asyncDispose]()]);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** A daemon of the other node that does what the test says with each connection. */
async function daemon(test: Test, path: string, attend: (socket: Socket) => void): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, attend);
  const sockets = new Set<Socket>();
  server.on('connection', socket => sockets.add(socket));
  await new Promise<void>(resolve => server.listen(path, resolve));
  test.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server;
}

async function connected(path: string): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

async function everything(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

t.test('RPC to a daemon of the other node, in both directions, over one path and nothing else', async t => {
  await using rig = await open();
  for (const [from, to] of [[rig.here, rig.there], [rig.there, rig.here]] as const) {
    await using _server = await serveRpc<EchoRequests>(join(to, 'mediad-1.sock'), { echo: ({ text }) => `${to.slice(-1)}: ${text}` }, { validate: { echo: z.strictObject({ text: z.string() }) }, log });
    await using client = await connectRpc<EchoRequests>(join(from, 'peer/mediad-1.sock'));
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => client.call('echo', { text: String(i) })));
    t.same(answers, Array.from({ length: 50 }, (_, i) => `${to.slice(-1)}: ${i}`));
  }
  t.match(rig.a.counters(), { 'gate.out.carried': 1, 'gate.in.carried': 1 });
  await until('nothing is left of it', () => rig.a.counters()['gate.carried'] === 0 && rig.b.counters()['gate.carried'] === 0);
});

t.test('every byte, in order, in both directions; who has said everything is still answered', async t => {
  await using rig = await open();
  const LENGTH = 20_000_000;
  await daemon(t, join(rig.there, 'configd.sock'), socket => {
    // Answers once all was heard.
    void everything(socket).then(heard => socket.end(heard));
  });
  const socket = await connected(join(rig.here, 'peer/configd.sock'));
  const said = Buffer.alloc(LENGTH, 'abcdefghijklmnopqrstuvwxyz0123456789');
  socket.end(said);
  t.ok((await everything(socket)).equals(said));
  await until('both sides are closed', () => rig.a.counters()['gate.carried'] === 0);
});

t.test('a daemon that does not read holds its writer up, and nobody else', async t => {
  await using rig = await open();
  const slow: Socket[] = [];
  await daemon(t, join(rig.there, 'mediad-2.sock'), socket => void slow.push(socket.pause()));
  await daemon(t, join(rig.there, 'clusterd.sock'), socket => void socket.pipe(socket));
  const writer = await connected(join(rig.here, 'peer/mediad-2.sock'));
  const block = Buffer.alloc(1_000_000);
  let wrote = 0;
  for (let i = 0; i < 200 && writer.writableLength < 5_000_000; i++) {
    writer.write(block, () => void (wrote += block.length));
    await new Promise(resolve => setImmediate(resolve));
  }
  const before = wrote;
  const quick = await connected(join(rig.here, 'peer/clusterd.sock'));
  quick.end('are you there?');
  t.equal((await everything(quick)).toString(), 'are you there?');
  t.ok(before < 40_000_000, `${before} bytes wait on the way`);
  t.ok(writer.writableLength > 1_000_000, 'the writer is held up');
  slow[0]!.resume();
  await until('and goes on when it is read', () => writer.writableLength === 0, 20_000);
  writer.destroy();
});

t.test('while the other node is not heard nobody is served; what was carried ends at once', async t => {
  await using rig = await open();
  const far: Socket[] = [];
  await daemon(t, join(rig.there, 'mediad-1.sock'), socket => void far.push(socket.resume()));
  const path = join(rig.here, 'peer/mediad-1.sock');
  const kept = await connected(path);
  kept.write('x');
  await until('it is carried', () => far.length === 1);
  const gone = once(kept.resume(), 'end');
  await rig.a.heard(699);
  t.equal(kept.destroyed, false, 'a link that loses packets');
  await rig.a.heard(700);
  await gone;
  await until('over there too', () => far[0]!.destroyed || far[0]!.readableEnded);
  for (const name of ['mediad-1', 'mediad-2', 'configd', 'clusterd']) t.ok(existsSync(join(rig.here, `peer/${name}.sock`)), name);
  await t.rejects(connectRpc(path), { code: 'DAEMON_UNREACHABLE', detail: { why: 'ECONNREFUSED' } });
  const ups: number[] = [];
  await using link = new RpcLink<EchoRequests>(path, { log, onUp: () => void ups.push(1) });
  await link.start();
  t.equal(link.up, false);
  await rig.a.heard(3);
  await until('a link comes up by itself', () => link.up);
});

t.test('a daemon that is away: its caller is let go at once, and it is counted', async t => {
  await using rig = await open();
  const socket = await connected(join(rig.here, 'peer/mediad-1.sock'));
  t.equal((await everything(socket)).length, 0);
  socket.destroy();
  t.match(rig.b.counters(), { 'gate.in.refused.away': 1 });
  const tries: number[] = [];
  await using link = new RpcLink<EchoRequests>(join(rig.here, 'peer/mediad-1.sock'), { log, onUp: () => void tries.push(performance.now()) });
  await link.start();
  await until('it is tried again', () => tries.length >= 4, 5000);
  t.ok(tries[3]! - tries[2]! > 1.7 * (tries[1]! - tries[0]!), 'ever more slowly');
});

t.test('nobody listens on an unpaired node; paired anew, the old half is worth nothing', async t => {
  await using rig = await open();
  await daemon(t, join(rig.there, 'clusterd.sock'), socket => void socket.end('here'));
  const kept = await connected(join(rig.here, 'peer/clusterd.sock'));
  t.equal((await everything(kept)).toString(), 'here');
  kept.destroy();
  await rig.b.renew(undefined);
  t.equal(rig.b.state, 'unpaired');
  await t.rejects(once(connect({ host: B, port: PORT, localAddress: A }), 'connect'), { code: 'ECONNREFUSED' });
  const [, half] = newPairTrust(['a', 'b'], random);
  await rig.b.renew(half);
  await until('it listens again', () => rig.b.listening);
  const refused = await connected(join(rig.here, 'peer/clusterd.sock'));
  t.equal((await everything(refused)).length, 0);
  refused.destroy();
  t.match(rig.a.counters(), { 'gate.out.failed': 1 }, 'it sees another authority over there');
});

// --- who else comes ------------------------------------------------------------------------------------------------------

/** How it ended for who came: 'open', or closed with what was said. */
async function comes(options: ConnectionOptions, line: string | Buffer = formatTarget('mediad-1')): Promise<string> {
  const socket: TLSSocket = connectTls({ host: B, port: PORT, localAddress: A, rejectUnauthorized: false, ...options } as ConnectionOptions);
  let failure = '';
  let heard = '';
  socket.on('error', (error: NodeJS.ErrnoException) => void (failure = error.code ?? error.message));
  socket.on('data', chunk => void (heard += String(chunk)));
  socket.once('secureConnect', () => socket.write(line));
  await new Promise<void>(resolve => {
    socket.once('close', () => resolve());
    socket.once('data', () => resolve());
  });
  socket.destroy();
  return heard === '' ? `closed ${failure}`.trim() : heard;
}

const shows = ({ certificate, key }: PairTrust): ConnectionOptions => ({ cert: certificate, key, minVersion: 'TLSv1.3' });

t.test('certificates: the other node, and nobody who is like it', async t => {
  const authority = newAuthority(random);
  const life = { notBefore: wallMs(clock.wall() - 2 * DAY_MS), notAfter: wallMs(clock.wall() - DAY_MS) };
  const half = (own: string, peer: string, from = authority, when?: typeof life): PairTrust => {
    const keys = newKeys();
    return { own, peer, authority: authority.certificate, certificate: from.issue(own, keys.publicKey, when), key: keyPem(keys) };
  };
  const trust = [half('a', 'b'), half('b', 'a')] as const;
  await using rig = await open(trust);
  await daemon(t, join(rig.there, 'mediad-1.sock'), socket => void socket.end('served'));
  t.equal(await comes(shows(trust[0])), 'served');
  t.equal(await comes(shows(half('a', 'b', authority, { notBefore: life.notBefore, notAfter: wallMs(clock.wall() + DAY_MS) }))), 'served', 'with an end that has not come');
  t.match(await comes(shows(half('a', 'b', newAuthority(random)))), /^closed/, 'of another pair');
  t.match(await comes(shows(half('a', 'b', authority, life))), /^closed/, 'expired');
  t.match(await comes({ minVersion: 'TLSv1.3' }), /^closed/, 'without one');
  t.match(await comes({ ...shows(trust[0]), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }), /^closed.*PROTOCOL_VERSION/i, 'TLS 1.2');
  t.equal(await comes(shows(trust[1])), 'closed', 'our own, thrown back at us');
  t.equal(await comes(shows(half('c', 'b'))), 'closed', 'a third of the same authority');
  const keys = newKeys();
  t.match(await comes({ cert: trust[0].authority, key: keyPem(keys) }).catch((error: Error) => `closed ${error.message}`), /^closed/, 'the authority itself, without its key');
  t.match(rig.b.counters(), { 'gate.in.carried': 2, 'gate.in.refused.handshake': 4, 'gate.in.refused.name': 2 });
  t.equal(await comes(shows(trust[0])), 'served', 'and it goes on');
});

t.test('a server that is not the other node gets nothing of what is said', async t => {
  const authority = newAuthority(random);
  const [own, third, theirs] = [newKeys(), newKeys(), newKeys()];
  const trust: PairTrust = { own: 'a', peer: 'b', authority: authority.certificate, certificate: authority.issue('a', own.publicKey), key: keyPem(own) };
  const directory = mkdtempSync(join(tmpdir(), 'vl-gate-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  await using gate = new PeerGate({ runDirectory: directory, instances: 1, own: A, peer: B, port: PORT, clock, log }, trust);
  await gate.heard(0);
  let heard = '';
  for (const [cert, key] of [[newAuthority(random).issue('b', theirs.publicKey), theirs], [authority.issue('c', third.publicKey), third]] as const) {
    const server = createTlsServer({ cert, key: keyPem(key), requestCert: true, rejectUnauthorized: false }, socket => void socket.on('error', () => undefined).on('data', chunk => (heard += String(chunk))));
    server.on('tlsClientError', () => undefined);
    await new Promise<void>(resolve => server.listen(PORT, B, resolve));
    const socket = await connected(join(directory, 'peer/mediad-1.sock'));
    socket.write('a secret');
    await once(socket.resume(), 'end');
    await new Promise(resolve => server.close(resolve));
  }
  t.equal(heard, '');
  t.match(gate.counters(), { 'gate.out.failed': 2 });
});

t.test('lines: what is no daemon, too long, or never ends', async t => {
  await using rig = await open();
  const { trust } = rig;
  await daemon(t, join(rig.there, 'sipd.sock'), socket => void socket.end('served'));
  for (const line of [formatTarget('sipd'), formatTarget('../b/sipd'), formatTarget('mediad-3'), 'x'.repeat(100_000), '\n', 'GET / HTTP/1.1\r\n\r\n', Buffer.alloc(64)]) t.match(await comes(shows(trust[0]), line), /^closed/, JSON.stringify(String(line).slice(0, 40)));
  t.match(rig.b.counters(), { 'gate.in.refused.target': 7 });
  const began = performance.now();
  t.match(await comes(shows(trust[0]), 'viewlink-peer/1 '), /^closed/, 'half a line');
  const tookMs = performance.now() - began;
  t.ok(tookMs > 1500 && tookMs < 6000, `${Math.round(tookMs)} ms`);
});

t.test('garbage, slow ones, strangers and a thousand of them: refused, and the other node is served meanwhile', async t => {
  await using rig = await open();
  await daemon(t, join(rig.there, 'mediad-1.sock'), socket => void socket.end('served'));
  const raw = (localAddress = A): Socket => connect({ host: B, port: PORT, localAddress }).on('error', () => undefined);
  const garbage = raw();
  garbage.write(random.bytes(4000));
  await once(garbage.resume(), 'close');
  const stranger = raw(STRANGER);
  await once(stranger.resume(), 'close');
  t.match(rig.b.counters(), { 'gate.in.refused.handshake': 1, 'gate.in.refused.stranger': 1 });
  const many = Array.from({ length: 1000 }, (_, i) => raw(i % 2 === 0 ? STRANGER : A));
  const ends = many.map(socket => once(socket.resume(), 'close'));
  await until('there is no more room', () => rig.b.counters()['gate.in.refused.full']! > 0);
  await Promise.all(ends);
  const counters = rig.b.counters();
  t.equal(counters['gate.in.refused.full']! + counters['gate.in.refused.slow']!, 500);
  t.ok(counters['gate.in.refused.slow']! >= 64, 'those that were let wait');
  t.equal(counters['gate.in.refused.stranger'], 501);
  t.equal(await comes(shows(rig.trust[0])), 'served');
  await until('nothing is left', () => rig.b.counters()['gate.carried'] === 0);
});

t.test('who is no daemon gets nothing through a socket of ours, even where its file lets him', async t => {
  if (!peersAreKnown()) return void t.comment('this machine does not tell its users apart');
  await using rig = await open();
  await daemon(t, join(rig.there, 'configd.sock'), socket => void socket.end('served'));
  const path = join(rig.here, 'peer/configd.sock');
  for (const each of [join(rig.here, '..'), rig.here, join(rig.here, 'peer'), path]) chmodSync(each, 0o777);
  // Not our own program: that may stand where only root may look.
  const script = 'import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\nprint(s.recv(100).decode() or "nothing")';
  const ask = async (uid: number): Promise<string> => {
    const child = spawn('python3', ['-c', script, path], { uid, cwd: '/', stdio: ['ignore', 'pipe', 'inherit'], env: {} });
    return String(await everything(child.stdout as unknown as Socket)).trim();
  };
  t.equal(await ask(0), 'served');
  t.equal(await ask(65_534), 'nothing');
  t.match(rig.a.counters(), { 'gate.out.refused': 1 });
});

t.test('the half of a node on its disk: as it was written, or told to be unusable', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'vl-trust-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'cluster/trust.json');
  t.equal(readTrust(path), undefined);
  const [half, other] = newPairTrust(['a', 'b'], random);
  writeTrust(path, half);
  t.same(readTrust(path), half);
  t.equal(usableTrust('{'), 'not what was written');
  t.equal(usableTrust(JSON.stringify({ ...half, key: other.key })), 'the key is not that of the certificate');
  t.equal(usableTrust(JSON.stringify({ ...half, authority: newAuthority(random).certificate })), 'the certificate is not of this authority');
  t.equal(usableTrust(JSON.stringify({ ...half, own: 'c' })), 'the certificate has another name');
});
