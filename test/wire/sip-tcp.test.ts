/** SIP over TCP (and what of UDP needs a socket): framing, reuse, timers, bounds, resets. Faults 26 and 27. */
import { createSocket } from 'node:dgram';
import t from 'tap';
import { sipUri } from '#core/sip/uri.ts';
import type { Flow, SipEndpoint, SipEndpointOptions } from '#kit/sip-endpoint.ts';
import { ManualClock } from '../rig/manual-clock.ts';
import { TcpHost, TcpPeer, UdpPeer, answer, asks, openEndpoint, portOf, until, write } from './sip-rig.ts';

const SDP = { contentType: 'application/sdp', body: Buffer.from('v=0\r\n') };

async function answering(options: Partial<SipEndpointOptions> = {}, address = '127.0.0.1'): Promise<SipEndpoint> {
  const endpoint = await openEndpoint(options, address);
  endpoint.onRequest = incoming => incoming.respond(200);
  return endpoint;
}
const count = (endpoint: SipEndpoint, name: string): number => endpoint.counters[name] ?? 0;

t.test('one stream, many shapes: glued, split, octet by octet, keepalive between', async t => {
  await using endpoint = await answering();
  await using peer = await TcpPeer.open(portOf(endpoint, 'TCP'));
  peer.send(write({ transport: 'TCP' }) + write({ transport: 'TCP', method: 'MESSAGE', body: '<x/>\r\n\r\nSIP/2.0' }) + write({ transport: 'TCP' }));
  for (let i = 0; i < 3; i++) await peer.response(200);
  const text = write({ transport: 'TCP', method: 'MESSAGE', body: 'y' });
  for (const character of text) {
    peer.send(Buffer.from(character));
    await new Promise(resolve => setImmediate(resolve));
  }
  await peer.response(200);
  peer.send('\r\n\r\n');
  await until('the pong', () => peer.pings === 1);
  peer.send('\r\n' + write({ transport: 'TCP' }));
  await peer.response(200);
  t.equal(count(endpoint, 'sip.malformed'), 0);
  t.equal(endpoint.sizes['serverTransactions'], 0, 'no transaction lingers on a reliable transport');
});

t.test('one connection for both directions', async t => {
  await using endpoint = await answering();
  let flow: Flow | undefined;
  endpoint.onRequest = incoming => {
    flow = incoming.flow;
    incoming.respond(200);
  };
  await using device = await TcpPeer.open(portOf(endpoint, 'TCP'));
  device.send(write({ transport: 'TCP', method: 'REGISTER' }));
  await device.response(200);
  const byConnection = endpoint.request(asks('MESSAGE', '127.0.0.1', 1), { transport: 'TCP', address: '127.0.0.1', port: 1, connectionId: flow!.connectionId });
  device.send(answer(await device.request('MESSAGE'), 200));
  t.match(await byConnection, { type: 'response', response: { status: 200 } }, 'by its number');
  const byAddress = endpoint.request(asks('MESSAGE', '127.0.0.1', 1), { transport: 'TCP', address: '127.0.0.1', port: flow!.remotePort });
  device.send(answer(await device.request('MESSAGE'), 200));
  t.match(await byAddress, { type: 'response' }, 'by its address');

  await using host = await TcpHost.open();
  const target = { transport: 'TCP', address: '127.0.0.1', port: host.port } as const;
  const both = [endpoint.request(asks('MESSAGE', '127.0.0.1', host.port), target), endpoint.request(asks('MESSAGE', '127.0.0.1', host.port), target)];
  await until('a connection', () => host.peers.length > 0);
  const [called] = host.peers;
  called!.send(answer(await called!.request('MESSAGE'), 200) + answer(await called!.request('MESSAGE'), 200));
  t.same((await Promise.all(both)).map(outcome => outcome.type), ['response', 'response']);
  called!.send(write({ transport: 'TCP' }));
  await called!.response(200);
  t.equal(host.peers.length, 1, 'the connection that we opened serves both ways, too');
  t.equal(endpoint.localAddressFor(target).port, portOf(endpoint, 'TCP'), 'Via and Contact name the port where we listen');
});

t.test('a connection that ends: the owner hears it, what waited fails at once, answers find another way (18.2.2)', async t => {
  await using endpoint = await answering();
  const closed: Flow[] = [];
  endpoint.onFlowClosed = flow => closed.push(flow);
  await using host = await TcpHost.open();
  const waiting = endpoint.request(asks('MESSAGE', '127.0.0.1', host.port), { transport: 'TCP', address: '127.0.0.1', port: host.port });
  await until('a connection', () => host.peers.length > 0);
  await host.peers[0]!.request('MESSAGE');
  host.peers[0]!.socket.resetAndDestroy();
  t.match(await waiting, { type: 'transport-error' });
  t.match(closed, [{ transport: 'TCP', remotePort: host.port }]);

  let late: (() => void) | undefined;
  endpoint.onRequest = incoming => (late = () => incoming.respond(200));
  const asking = await TcpPeer.open(portOf(endpoint, 'TCP'));
  asking.send(write({ transport: 'TCP', host: `127.0.0.1:${host.port}` }));
  await until('the request', () => late !== undefined);
  await asking[Symbol.asyncDispose]();
  await until('its end', () => closed.length === 2);
  late!();
  await until('a call back', () => host.peers.length === 2);
  await host.peers[1]!.response(200);
  t.equal(count(endpoint, 'sip.tcp.fallback'), 1);

  const nobody = await endpoint.request(asks('MESSAGE', '127.0.0.1', 9), { transport: 'TCP', address: '127.0.0.1', port: 9 });
  t.match(nobody, { type: 'transport-error' }, 'refused');
  t.equal(closed.length, 2, 'a connection that never was is none that ended');
  t.match(await endpoint.request(asks('MESSAGE', '::1', 9), { transport: 'UDP', address: '::1', port: 9 }), { type: 'transport-error', why: /no UDP way/ });
});

t.test('reset after INVITE (CVE-2018-7286): the dialog is over at both ends', async t => {
  await using endpoint = await answering({ timing: { t1Ms: 10, t2Ms: 80, t4Ms: 100 } });
  const heard: string[] = [];
  endpoint.onInvite = invite => {
    invite.onAckTimeout = () => heard.push('no ACK');
    invite.accept(SDP);
  };
  const peer = await TcpPeer.open(portOf(endpoint, 'TCP'));
  peer.send(write({ transport: 'TCP', method: 'INVITE', headers: 'Contact: <sip:x@127.0.0.1:9>\n' }));
  await peer.next();
  peer.socket.resetAndDestroy();
  await until('the missing ACK', () => heard.length > 0);
  t.same(heard, ['no ACK']);
  await until('an empty house', () => Object.entries(endpoint.sizes).every(([name, size]) => size === 0 || name === 'dialogs'));

  await using host = await TcpHost.open();
  let failed = 0;
  const calling = endpoint.invite(asks('INVITE', '127.0.0.1', host.port), { transport: 'TCP', address: '127.0.0.1', port: host.port });
  calling.onFailed = outcome => void (outcome.type === 'transport-error' && failed++);
  await until('a connection', () => host.peers.length > 0);
  const invite = await host.peers[0]!.request('INVITE');
  host.peers[0]!.send(answer(invite, 180));
  host.peers[0]!.socket.resetAndDestroy();
  await until('its failure', () => failed > 0);
  t.equal(failed, 1);
});

t.test('timers (faults.md 4): header 5 s, message 10 s, idle 120 s', async t => {
  const clock = new ManualClock();
  const trusted = new Set<string>();
  await using endpoint = await answering({ clock, isTrusted: address => trusted.has(address) });
  const port = portOf(endpoint, 'TCP');
  const slow = await TcpPeer.open(port);
  slow.send('OPTIONS sip:x SIP/2.0\r\nVi');
  await until('its connection', () => endpoint.sizes['tcpConnections'] === 1);
  const ask = async (): Promise<void> => {
    await using other = await TcpPeer.open(port);
    other.send(write({ transport: 'TCP' }));
    await other.response(200);
  };
  await ask();
  clock.advance(3000);
  slow.send('a: SIP/2.0/TCP');
  await ask();
  t.notOk(slow.closed);
  clock.advance(2001);
  await until('the end of the slow one', () => slow.closed);
  t.equal(count(endpoint, 'sip.tcp.header-timeout'), 1, 'from the first octet, whatever drips in after it');

  const half = await TcpPeer.open(port);
  half.send(`${write({ transport: 'TCP', method: 'MESSAGE', body: 'x'.repeat(100) }).slice(0, -50)}`);
  await ask();
  clock.advance(9999);
  await ask();
  t.notOk(half.closed);
  clock.advance(100);
  await until('the end of the half message', () => half.closed);
  t.equal(count(endpoint, 'sip.tcp.message-timeout'), 1);

  const idle = await TcpPeer.open(port);
  idle.send(write({ transport: 'TCP' }));
  await idle.response(200);
  clock.advance(100_000);
  idle.send('\r\n\r\n');
  await until('the pong', () => idle.pings === 1);
  clock.advance(100_000);
  t.notOk(idle.closed, 'a keepalive keeps it');
  clock.advance(20_001);
  await until('the end of the idle one', () => idle.closed);
  t.equal(count(endpoint, 'sip.tcp.idle-timeout'), 1);

  trusted.add('127.0.0.1');
  await using known = await TcpPeer.open(port);
  known.send(write({ transport: 'TCP' }));
  await known.response(200);
  clock.advance(1_000_000);
  known.send(write({ transport: 'TCP' }));
  await known.response(200);
});

t.test('bounds: per peer, in all, and who has to go', async t => {
  const trusted = new Set<string>();
  await using endpoint = await answering({ tcpMaxConnections: 6, tcpMaxPerPeer: 2, isTrusted: address => trusted.has(address) });
  const port = portOf(endpoint, 'TCP');
  const open: TcpPeer[] = [];
  const from = async (address: string): Promise<TcpPeer> => {
    const peer = await TcpPeer.open(port, '127.0.0.1', address);
    open.push(peer);
    return peer;
  };
  const speaks = async (peer: TcpPeer): Promise<void> => {
    peer.send(write({ transport: 'TCP' }));
    await peer.response(200);
  };
  await speaks(await from('127.0.0.2'));
  await from('127.0.0.2');
  const third = await from('127.0.0.2');
  await until('the third is shown out', () => third.closed);
  t.equal(count(endpoint, 'sip.tcp.refused.peer'), 1);
  trusted.add('127.0.0.2');
  await speaks(await from('127.0.0.2'));
  await speaks(await from('127.0.0.2'));
  trusted.delete('127.0.0.2');
  const mute = await from('127.0.0.3');
  const talker = await from('127.0.0.4');
  await speaks(talker);
  t.equal(endpoint.sizes['tcpConnections'], 6);
  const newcomer = await from('127.0.0.5');
  await speaks(newcomer);
  t.equal(count(endpoint, 'sip.tcp.evicted'), 1, 'full: the oldest stranger who said nothing makes room');
  await speaks(await from('127.0.0.6'));
  await until('both mutes are out', () => mute.closed && open[1]!.closed);
  const last = await from('127.0.0.7');
  await until('nobody mute is left: refused', () => last.closed);
  t.equal(count(endpoint, 'sip.tcp.refused.total'), 1);
  for (const peer of open) await peer[Symbol.asyncDispose]();
  await until('all gone', () => endpoint.sizes['tcpConnections'] === 0);
});

t.test('slowloris (faults.md 26): hundreds of half-open connections, and a real peer at once', async t => {
  const clock = new ManualClock();
  await using endpoint = await answering({ clock, isTrusted: address => address === '127.0.0.1', tcpMaxConnections: 300 });
  const port = portOf(endpoint, 'TCP');
  const slow = await Promise.all(Array.from({ length: 400 }, (_, i) => TcpPeer.open(port, '127.0.0.1', `127.0.1.${1 + (i % 200)}`)));
  for (const peer of slow) peer.send('INVITE ');
  const before = performance.now();
  await using real = await TcpPeer.open(port);
  real.send(write({ transport: 'TCP' }));
  await real.response(200);
  t.ok(performance.now() - before < 1000, `${(performance.now() - before).toFixed(0)} ms`);
  clock.advance(5001);
  await until('all of them are gone', () => slow.every(peer => peer.closed));
  t.equal(endpoint.sizes['tcpConnections'], 1);
});

t.test('a peer that does not read is cut off before it costs memory', async t => {
  await using endpoint = await answering({ isTrusted: () => false });
  let flow: Flow | undefined;
  endpoint.onRequest = incoming => {
    flow = incoming.flow;
    incoming.respond(200);
  };
  await using peer = await TcpPeer.open(portOf(endpoint, 'TCP'));
  peer.send(write({ transport: 'TCP' }));
  await peer.response(200);
  peer.socket.pause();
  const outcomes = [];
  for (let i = 0; i < 2000 && count(endpoint, 'sip.tcp.write-overflow') === 0; i++) {
    outcomes.push(endpoint.request({ ...asks('MESSAGE', '127.0.0.1', 1), body: Buffer.alloc(60_000, 120) }, { transport: 'TCP', address: '127.0.0.1', port: 1, connectionId: flow!.connectionId }));
    await new Promise(resolve => setImmediate(resolve));
  }
  t.equal(count(endpoint, 'sip.tcp.write-overflow'), 1);
  t.ok(outcomes.length < 500, `${outcomes.length} messages of 60 kB, most of them in the kernel`);
  t.ok((await Promise.all(outcomes)).every(outcome => outcome.type === 'transport-error'));
});

t.test('broken streams are answered if it can be said whom, and closed', async t => {
  await using endpoint = await answering({ isTrusted: () => false });
  const port = portOf(endpoint, 'TCP');
  const negative = await TcpPeer.open(port);
  negative.send(write({ transport: 'TCP' }).replace('Content-Length: 0', 'Content-Length: -1') + write({ transport: 'TCP' }));
  await negative.response(400);
  await until('its end', () => negative.closed);
  t.same(negative.untaken, [], 'what follows is not read');
  const garbage = await TcpPeer.open(port);
  garbage.send('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n');
  await until('the end of one who speaks TLS', () => garbage.closed);
  const large = await TcpPeer.open(port);
  large.send(write({ transport: 'TCP', method: 'MESSAGE', body: 'x'.repeat(200_000) }));
  await until('the end of a stranger with 200 kB', () => large.closed);
  t.equal(count(endpoint, 'sip.tcp.oversize'), 1);
  await using good = await TcpPeer.open(port);
  good.send(write({ transport: 'TCP', headers: 'Expires: x y z\n' }).replace('Max-Forwards: 70', 'Max-Forwards: 700'));
  await good.response(400);
  good.send(write({ transport: 'TCP' }));
  await good.response(200);
  t.pass('a bad field in a whole message costs that message only');
});

t.test('a catalogue of 3 MB in one message', async t => {
  await using endpoint = await answering();
  await using other = await openEndpoint();
  const sizes: number[] = [];
  endpoint.onRequest = incoming => {
    sizes.push(incoming.request.body.length);
    incoming.respond(200);
  };
  const outcome = await other.request({ ...asks('MESSAGE', '127.0.0.1', 1), body: Buffer.alloc(3_000_000, 60) }, { transport: 'TCP', address: '127.0.0.1', port: portOf(endpoint, 'TCP') });
  t.match(outcome, { type: 'response' });
  t.same(sizes, [3_000_000]);
});

t.test('IPv6, both transports, calls included', async t => {
  await using one = await answering({}, '::1');
  await using two = await openEndpoint({}, '::1');
  one.onInvite = invite => (invite.accept(SDP).onRequest = incoming => incoming.respond(200));
  for (const transport of ['UDP', 'TCP'] as const) {
    const target = { transport, address: '::1', port: portOf(one, transport) };
    t.match(await two.request(asks('MESSAGE', '::1', target.port), target), { type: 'response', flow: { remoteAddress: '::1' } });
    const ended = await new Promise(resolve => {
      two.invite(asks('INVITE', '::1', target.port), target).onAccepted = ({ dialog, ack }) => {
        ack();
        t.match(dialog.state.remoteTarget, /@\[::1\]:\d+/);
        resolve(dialog.request('BYE'));
      };
    });
    t.match(ended, { response: { status: 200 } }, transport);
  }
});

t.test('UDP: answers go to the source; large and fragmented datagrams pass; the largest one is refused', async t => {
  await using endpoint = await answering();
  const bodies: number[] = [];
  endpoint.onRequest = incoming => {
    bodies.push(incoming.request.body.length);
    incoming.respond(200);
  };
  const port = portOf(endpoint, 'UDP');
  await using peer = await UdpPeer.open(port);
  peer.send(write({ host: '10.9.8.7:5060' }));
  const ok = await peer.response(200);
  t.same([ok.via[0]!.params.get('received'), ok.via[0]!.params.get('rport')], ['127.0.0.1', String(peer.port)]);
  peer.send(write({ method: 'MESSAGE', body: 'x'.repeat(60_000) }));
  await peer.response(200);
  t.same(bodies, [0, 60_000]);
  const whole = write({ method: 'MESSAGE', body: 'x'.repeat(65_000) });
  peer.send(write({ method: 'MESSAGE', body: 'x'.repeat(65_000 + 65_507 - whole.length) }));
  await peer.response(513);
  for (const nothing of ['', '\0', '\r\n\r\n', '0000']) peer.send(Buffer.from(nothing));
  peer.send(write());
  await peer.response(200);
  t.same([peer.untaken, bodies.length], [[], 3], 'keepalives and noughts say nothing (faults.md 5)');
});

t.test('an endpoint that cannot bind leaves nothing bound; one that closes tells who waits', async t => {
  const taken = createSocket('udp4');
  await new Promise<void>(resolve => taken.bind(0, '127.0.0.1', resolve));
  const { port } = taken.address();
  const listen = [{ transport: 'tcp', address: '127.0.0.1', port: 0 }, { transport: 'udp', address: '127.0.0.1', port }] as const;
  await t.rejects(openEndpoint({ listen }), { code: 'EADDRINUSE' });
  await t.rejects(openEndpoint({ listen: [{ transport: 'udp', address: 'localhost', port: 0 }] }), /not an IP address/);
  await new Promise<void>(resolve => taken.close(() => resolve()));
  const endpoint = await openEndpoint();
  await using silent = await UdpPeer.open(portOf(endpoint, 'UDP'));
  const waiting = endpoint.request({ ...asks('MESSAGE', '127.0.0.1', silent.port), uri: sipUri('x', '127.0.0.1', silent.port) }, { transport: 'UDP', address: '127.0.0.1', port: silent.port });
  await silent.request('MESSAGE');
  await endpoint[Symbol.asyncDispose]();
  await endpoint[Symbol.asyncDispose]();
  t.match(await waiting, { type: 'transport-error', why: 'endpoint closed' });
  t.match(await endpoint.request(asks('MESSAGE', '127.0.0.1', 1), { transport: 'UDP', address: '127.0.0.1', port: 1 }), { type: 'transport-error' });
});
