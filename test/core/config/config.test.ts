import fc from 'fast-check';
import t from 'tap';
import { checkConfig } from '#core/config/check.ts';
import { changedSections, diffList, sameValue } from '#core/config/diff.ts';
import { gatewaySchema, type GatewayConfig } from '#core/config/schema.ts';

type Input = Parameters<typeof gatewaySchema.parse>[0];
const config = (input: Input): GatewayConfig => gatewaySchema.parse(input);
const listen = [
  { transport: 'udp', address: '127.0.0.1' },
  { transport: 'tcp', address: '127.0.0.1' },
];
const upstream = { name: 'city', id: '34010000002000000001', address: '127.0.0.2', localId: '34020000002000000001' };

t.test('nothing listens and nobody is admitted by default', async t => {
  const defaults = config({});
  t.same(defaults.sip.listen, []);
  t.same(defaults.devices.admit, []);
  t.same(defaults.upstreams, []);
  t.same(checkConfig(defaults), []);
});

/** Name, configuration, and the path and part of the reason of each problem. */
const CROSS: readonly (readonly [string, Input, readonly (readonly [string, RegExp])[]])[] = [
  ['sound', { sip: { listen }, devices: { known: [{ id: '1', password: 'x' }] }, upstreams: [upstream, { ...upstream, name: 'b', localId: '2' }] }, []],
  ['same port twice', { sip: { listen: [...listen, listen[0]] } }, [['sip.listen.2.port', /udp port 5060/]]],
  ['wildcard over one address', { sip: { listen: [listen[0], { transport: 'udp', address: '0.0.0.0' }] } }, [['sip.listen.1.port', /127\.0\.0\.1/]]],
  ['same address written otherwise', { sip: { listen: [listen[0], { transport: 'udp', address: '::ffff:127.0.0.1' }] } }, [['sip.listen.1.port', /udp/]]],
  ['same port, other transport or address', { sip: { listen: [...listen, { transport: 'udp', address: '127.0.0.2' }] } }, []],
  ['device twice', { devices: { known: [{ id: '7', password: 'x' }, { id: '8', password: 'x' }, { id: '7', password: 'y' }] } }, [['devices.known.2.id', /entry 1/]]],
  ['device without a secret', { devices: { known: [{ id: '7' }] } }, [['devices.known.0', /password or ha1/]]],
  ['device with two secrets', { devices: { known: [{ id: '7', password: 'x', ha1: 'a'.repeat(32) }] } }, [['devices.known.0.ha1', /not both/]]],
  ['device without digest from anywhere', { devices: { known: [{ id: '7', digest: false }] } }, [['devices.known.0.digest', /networks/]]],
  ['device without digest from its network', { devices: { known: [{ id: '7', digest: false, networks: ['10.0.0.0/8'] }] } }, []],
  ['rule without a secret', { devices: { admit: [{ networks: ['10.0.0.0/8'] }] } }, [['devices.admit.0', /password or ha1/]]],
  ['shortest longer than longest', { devices: { minExpiresS: 100, maxExpiresS: 60 } }, [['devices.minExpiresS', /maxExpiresS/]]],
  ['upstream name and account twice', { sip: { listen }, upstreams: [upstream, upstream] }, [['upstreams.1.name', /city/], ['upstreams.1.localId', /account/]]],
  ['upstream without a listener', { upstreams: [upstream] }, [['upstreams.0.transport', /no udp/]]],
  ['disabled upstream without a listener', { upstreams: [{ ...upstream, enabled: false }] }, []],
  ['upstream at a foreign local address', { sip: { listen }, upstreams: [{ ...upstream, localAddress: '127.0.0.9' }] }, [['upstreams.0.localAddress', /no udp at/]]],
  ['media range too small', { media: { instances: 4, ports: { first: 30000, last: 30006 } } }, [['media.ports.last', /4 instances/]]],
  ['media range reversed', { media: { ports: { first: 40000, last: 30000 } } }, [['media.ports.last', /too small/]]],
  ['SIP inside the media range', { sip: { listen }, media: { ports: { first: 5000, last: 6000 } } }, [['media.ports.first', /5060/]]],
  ['fixed media port is a SIP port', { sip: { listen }, media: { ports: { mode: 'fixed', fixedUdp: 5060, fixedTcp: 10000 } } }, [['media.ports.fixedUdp', /SIP port/]]],
  ['fixed media ports of later instances', { sip: { listen }, media: { instances: 8, ports: { mode: 'fixed', fixedUdp: 5056, fixedTcp: 65530 } } }, [['media.ports.fixedUdp', /5060/], ['media.ports.fixedTcp', /no ports/]]],
  ['outlets meet each other', { media: { instances: 3 }, outlets: { address: '127.0.0.1', rtspPort: 8554, rtmpPort: 8556, httpPort: 65534 } }, [['outlets.rtmpPort', /rtspPort with 3/], ['outlets.httpPort', /no ports/]]],
  ['an outlet on the SIP port', { sip: { listen: [{ transport: 'tcp', address: '127.0.0.1' }] }, outlets: { address: '127.0.0.1', httpPort: 5060 } }, [['outlets.httpPort', /SIP port/]]],
  ['outlets that are off meet nobody', { outlets: { rtspPort: 8080, httpPort: 8080 } }, []],
  [
    'inlets that nobody can publish or pull',
    { inlets: [{ id: '1', name: 'a', kind: 'rtmp' }, { id: '1', name: 'b', kind: 'rtsp' }, { id: '2', name: 'c', kind: 'rtmp', key: 'a&b=0123456789abc' }] },
    [['inlets.1.id', /already/], ['inlets.0.key', /needs/], ['inlets.0.kind', /rtmpPort is off/], ['inlets.1.url', /needs/], ['inlets.2.key', /URL/], ['inlets.2.kind', /off/]],
  ],
  ['inlets that would need DNS', { inlets: [{ id: '1', name: 'a', kind: 'rtsp', url: 'rtsp://[::1]:8554/x', subUrl: 'rtsp://camera.example/x' }] }, [['inlets.0.subUrl', /not an IP address/]]],
  ['pushed twice', { outlets: { pushes: [{ channel: '34020000001320000001', url: 'rtmp://10.0.0.1/live/secret' }, { channel: '34020000001320000001', url: 'rtmp://10.0.0.1/live/secret' }] } }, [['outlets.pushes.1.url', /^this channel is already pushed there$/]]],
];

t.test('rules between fields', async t => {
  for (const [name, input, expected] of CROSS) {
    const problems = checkConfig(config(input));
    t.same(problems.map(problem => problem.path.join('.')), expected.map(([path]) => path), name);
    for (const [i, [, why]] of expected.entries()) t.match(problems[i]?.why, why, name);
  }
});

t.test('addresses and networks are real ones', async t => {
  for (const address of ['', 'localhost', '1.2.3', '256.0.0.1', '010.0.0.1', 'fe80::1%eth0']) t.notOk(gatewaySchema.safeParse({ sip: { listen: [{ transport: 'udp', address }] } }).success, address);
  for (const network of ['10.0.0.0/33', '10.0.0.0/', 'x/8', '::/129']) t.notOk(gatewaySchema.safeParse({ devices: { admit: [{ networks: [network], digest: false }] } }).success, network);
  t.notOk(gatewaySchema.safeParse({ rpc: { directory: 'run' } }).success, 'relative directory');
  t.notOk(gatewaySchema.safeParse({ upstreams: [{ ...upstream, realm: 'a"b' }] }).success, 'realm that breaks out of its quotes');
});

t.test('changed sections and entries', async t => {
  const before = config({ sip: { listen }, upstreams: [upstream, { ...upstream, name: 'old', localId: '2' }] });
  const after = config({ sip: { listen }, log: { level: 'debug' }, upstreams: [{ ...upstream, name: 'new', localId: '3' }, { ...upstream, port: 5061 }] });
  t.same(changedSections(before, after), ['upstreams', 'log']);
  t.same(changedSections(after, config(after)), []);
  const change = diffList(before.upstreams, after.upstreams, one => one.name);
  t.same(change.added.map(one => one.name), ['new']);
  t.same(change.removed.map(one => one.name), ['old']);
  t.same(change.changed.map(({ before: was, after: is }) => [was.port, is.port]), [[5060, 5061]]);
  t.same(diffList(before.upstreams, [...before.upstreams].reverse(), one => one.name), { added: [], removed: [], changed: [] }, 'order is no change');
});

t.test('equality of plain data', async t => {
  t.ok(sameValue({ a: undefined, b: 1 }, { b: 1 }));
  t.notOk(sameValue([], {}));
  t.notOk(sameValue({ a: null }, {}));
  fc.assert(fc.property(fc.jsonValue(), value => sameValue(value, structuredClone(value))));
  fc.assert(fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => sameValue(a, b) === (JSON.stringify(sorted(a)) === JSON.stringify(sorted(b)))));
});

/** Keys in one order, -0 as 0: what JSON text must not tell apart. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value === 'object' && value !== null) return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, item]) => [key, sorted(item)]).concat([['{}', null]]);
  return value;
}
