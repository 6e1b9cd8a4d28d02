import { spawnSync } from 'node:child_process';
import * as fc from 'fast-check';
import t from 'tap';
import { checkConfig } from '#core/config/check.ts';
import { gatewaySchema, type GatewayConfig } from '#core/config/schema.ts';
import type { ShutOut } from '#core/host/ban-file.ts';
import { banText, firewallText } from '#core/host/firewall.ts';
import { lockOut } from '#core/host/lock-out.ts';
import { networkSet, networkText, portText } from '#core/host/nft-text.ts';
import { siteOf } from '#core/host/site.ts';
import { mediaNetworks, sipNetworks } from '#core/host/reach.ts';
import { contains, parseIp, parseNetwork } from '#core/ip.ts';

/** The kernel's own opinion, in a namespace of its own; all texts in one process. */
function nftSays(texts: readonly string[]): string {
  const { status, stderr, error } = spawnSync('unshare', ['--net', 'nft', '--check', '--file', '-'], { input: texts.join('\n'), encoding: 'utf8' });
  if (error !== undefined) throw error;
  return status === 0 ? '' : stderr;
}

const ip4 = fc.ipV4();
const ip6 = fc.ipV6().filter(text => parseIp(text) !== undefined);
const cidr = fc.oneof(ip4, ip6, fc.tuple(ip4, fc.integer({ min: 0, max: 32 })).map(([ip, bits]) => `${ip}/${bits}`), fc.tuple(ip6, fc.integer({ min: 0, max: 128 })).map(([ip, bits]) => `${ip}/${bits}`)).filter(text => parseNetwork(text) !== undefined);
const cidrs = fc.array(cidr, { maxLength: 4 });
const port = fc.integer({ min: 1, max: 65_535 });
const some = fc.array(port, { minLength: 1, maxLength: 3 });

const input = fc.record({
  host: fc.record({ firewall: fc.constant(true), management: cidrs, managementPorts: some, viewers: cidrs, api: cidrs, ping: fc.boolean(), sipPacketsPerS: fc.integer({ min: 10, max: 1_000_000 }), egress: fc.constantFrom('open', 'declared'), services: cidrs }),
  sip: fc.record({ listen: fc.array(fc.record({ transport: fc.constantFrom('udp', 'tcp'), address: ip4, port }), { maxLength: 4 }) }),
  devices: fc.record({
    known: fc.array(fc.record({ id: fc.constant('34020000001110000001'), password: fc.constant('x'), networks: cidrs, mediaNetworks: cidrs }), { maxLength: 3 }),
    admit: fc.array(fc.record({ networks: fc.array(cidr, { minLength: 1, maxLength: 3 }), password: fc.constant('x') }), { maxLength: 2 }),
  }),
  upstreams: fc.array(fc.record({ name: fc.constant('city'), id: fc.constant('34020000002000000002'), localId: fc.constant('34020000002000000001'), address: fc.oneof(ip4, ip6), networks: cidrs, mediaNetworks: cidrs }), { maxLength: 2 }),
  media: fc.record({ instances: fc.integer({ min: 1, max: 32 }), ports: fc.record({ mode: fc.constantFrom('range', 'fixed'), first: fc.integer({ min: 1024, max: 30_000 }), last: fc.integer({ min: 31_000, max: 65_535 }), fixedUdp: fc.integer({ min: 1, max: 65_000 }), fixedTcp: fc.integer({ min: 1, max: 65_000 }) }) }),
  outlets: fc.record({ address: fc.constantFrom('', '10.0.0.1'), rtspPort: fc.constantFrom(0, 554), rtmpPort: fc.constantFrom(0, 1935), httpPort: fc.constantFrom(0, 8080), webrtcPort: fc.constantFrom(0, 8000) }),
  api: fc.record({ listen: fc.array(fc.record({ address: ip4, port }), { maxLength: 2 }), metricsNetworks: cidrs }),
});
const config = input.map(value => gatewaySchema.parse(value));
const shutOut: fc.Arbitrary<readonly ShutOut[]> = fc.uniqueArray(fc.record({ network: fc.oneof(ip4, ip6).map(ip => siteOf(ip)!), leftMs: fc.integer({ min: 1, max: 2_592_000_000 }) }), { maxLength: 6, selector: ({ network }) => network });

t.test('the kernel takes the text of every configuration', async t => {
  const texts: string[] = [];
  fc.assert(fc.property(config, shutOut, (one, banned) => void texts.push(firewallText(one, banned), banText(banned))), { numRuns: 150 });
  t.equal(nftSays(texts), '');
  t.match(nftSays([firewallText(gatewaySchema.parse({ host: { firewall: true } }), []).replace('policy drop', 'policy dorp')]), /syntax error/, 'and would not take another');
});

t.test('whatever else it says: what is not declared is dropped, and management passes before anything can stop it', async t => {
  fc.assert(
    fc.property(config, shutOut, (one, banned) => {
      const text = firewallText(one, banned);
      const chain = /chain input \{\n([^}]*\n {2}\})/.exec(text.replace(/\{ [^}]* \}/g, ports => ports.replaceAll('}', ')')))![1]!;
      const lines = chain.split('\n').map(line => line.trim());
      t.match(lines[0], /policy drop/);
      const firstDrop = lines.findIndex(line => line.includes('drop') && !line.includes('policy'));
      const management = lines.flatMap((line, i) => (line.includes('@management') || (/^meta nfproto/.test(line) && i < firstDrop) ? [i] : []));
      const { v4, v6, any4, any6 } = networkSet(one.host.management);
      t.equal(management.length, Number(any4 || v4.length > 0) + Number(any6 || v6.length > 0));
      t.ok(management.every(i => i < firstDrop));
    }),
    { numRuns: 50 },
  );
});

const withHost = (host: object, more: object = {}): GatewayConfig => gatewaySchema.parse({ host: { firewall: true, management: ['10.9.0.0/24'], ...host }, ...more });

t.test('who may come is who was declared', async t => {
  const one = withHost({}, {
    sip: { listen: [{ transport: 'udp', address: '10.0.0.1', port: 5060 }] },
    devices: { known: [{ id: '34020000001110000001', password: 'x', networks: ['10.1.0.0/16'], mediaNetworks: ['10.2.0.9'] }], admit: [{ networks: ['10.3.0.0/24'], digest: false }] },
    upstreams: [{ name: 'city', id: '34020000002000000002', localId: '34020000002000000001', address: '172.16.0.9', mediaNetworks: ['172.16.8.0/24'] }, { name: 'old', enabled: false, id: '34020000002000000003', localId: '34020000002000000001', address: '172.16.0.10' }],
    inlets: [{ id: '34020000001320000001', name: 'dock', kind: 'rtsp', url: 'rtsp://10.4.0.7/main' }],
  });
  t.same(sipNetworks(one).v4, ['10.1.0.0/16', '10.3.0.0/24', '172.16.0.9']);
  t.same(mediaNetworks(one).v4, ['10.1.0.0/16', '10.2.0.9', '10.3.0.0/24', '10.4.0.7', '172.16.0.9', '172.16.8.0/24']);
  const text = firewallText(one, []);
  t.match(text, /ip saddr @sip4 udp dport \{ 5060 \} jump signalling/);
  t.match(text, /ip saddr @media4 udp dport \{ 30000-39999 \} accept/);
  t.notMatch(text, /tcp dport \{ 5060 \}/, 'nothing listens there');
  t.notMatch(text, /chain output/, 'what we send is our own affair');
});

t.test('a device that may come from anywhere opens SIP to all, and nothing else', async t => {
  const one = withHost({}, { sip: { listen: [{ transport: 'udp', address: '10.0.0.1' }] }, devices: { known: [{ id: '34020000001110000001', password: 'x' }] } });
  t.match(firewallText(one, []), /meta nfproto ipv4 udp dport \{ 5060 \} jump signalling/);
  t.match(firewallText(one, []), /ip saddr @management4 tcp dport \{ 22 \} accept/);
});

t.test('the other node of a pair comes in to what a pair needs', async t => {
  const nodes = [{ name: 'a', link: '192.168.7.1', lan: '10.0.0.1' }, { name: 'b', link: '192.168.7.2', lan: '10.0.0.2' }];
  const text = firewallText(withHost({}, { node: { name: 'a' }, cluster: { nodes, key: 'x'.repeat(32) } }), []);
  t.match(text, /set pair4 \{[^}]*elements = \{ 10\.0\.0\.2, 192\.168\.7\.2 \}/);
  for (const rule of ['udp dport { 7600 }', 'tcp dport { 7600-7601 }', 'meta l4proto 112']) t.ok(text.includes(`ip saddr @pair4 ${rule} accept`), rule);
  t.ok(text.includes('    ip saddr 192.168.7.2 tcp dport { 7602 } accept\n'), 'its daemons, from the link only');
  t.equal(nftSays([text]), '');
});

t.test('who stands alone is paired from where it says, and a pair from the other node only', async t => {
  const rule = '    ip saddr 10.98.0.0/24 tcp dport { 7602 } accept\n';
  t.notMatch(firewallText(withHost({}, {}), []), /7602/);
  t.ok(firewallText(withHost({}, { cluster: { pairFrom: ['10.98.0.0/24'] } }), []).includes(rule));
  t.equal(nftSays([firewallText(withHost({ egress: 'declared' }, { cluster: { pairFrom: ['10.98.0.0/24'] } }), [])]), '');
  const nodes = [{ name: 'a', link: '10.98.0.1', lan: '10.0.0.1' }, { name: 'b', link: '10.98.0.2', lan: '10.0.0.2' }];
  t.notOk(firewallText(withHost({}, { node: { name: 'a' }, cluster: { nodes, key: 'x'.repeat(32), pairFrom: ['10.98.0.0/24'] } }), []).includes(rule));
});

t.test('a gap: what leaves is declared too', async t => {
  const one = withHost({ egress: 'declared', services: ['10.9.0.2'] }, { upstreams: [{ name: 'city', id: '34020000002000000002', localId: '34020000002000000001', address: '172.16.0.9' }] });
  t.match(firewallText(one, []), /set reachable4 \{[^}]*elements = \{ 10\.9\.0\.2, 172\.16\.0\.9 \}/);
  t.match(firewallText(one, []), /hook output priority filter; policy drop;[^]*ip daddr @reachable4 accept/);
});

t.test('off: our table goes, and nobody else\'s', async t => {
  t.equal(firewallText(gatewaySchema.parse({}), []), 'table inet viewlink {}\ndelete table inet viewlink\n');
});

t.test('nobody locks himself out unawares', async t => {
  t.match(checkConfig(gatewaySchema.parse({ host: { firewall: true } })), [{ path: ['host', 'management'], why: /nobody could come by SSH/ }]);
  t.same(checkConfig(withHost({})), []);
  const one = withHost({ api: ['10.8.0.0/24'] });
  t.equal(lockOut(one, { via: 'cli', address: '10.9.0.7' }), null);
  t.match(lockOut(one, { via: 'cli', address: '10.8.0.7' }), /could not come back from 10\.8\.0\.7: name its network in host\.management, or use commit confirm/);
  t.equal(lockOut(one, { via: 'api', address: '10.8.0.7' }), null);
  t.match(lockOut(one, { via: 'api', address: '10.9.0.7' }), /host\.api/);
  for (const address of [null, '127.0.0.1', '::1']) t.equal(lockOut(one, { via: 'cli', address }), null, 'at the console');
  t.equal(lockOut(gatewaySchema.parse({}), { via: 'cli', address: '203.0.113.1' }), null, 'nothing is dropped');
});

t.test('a network is written so that it holds the same addresses', async t => {
  fc.assert(
    fc.property(cidr, fc.oneof(ip4, ip6), (text, address) => {
      const [before, after, ip] = [parseNetwork(text)!, parseNetwork(networkText(parseNetwork(text)!))!, parseIp(address)!];
      return contains(before, ip) === contains(after, ip) && contains(after, before.address);
    }),
  );
  t.equal(networkText(parseNetwork('10.1.2.3/12')!), '10.0.0.0/12');
  t.equal(networkText(parseNetwork('2001:db8::1')!), '2001:db8::1');
  t.equal(portText([{ first: 30_000, last: 39_999 }, { first: 5060, last: 5060 }, { first: 35_000, last: 40_000 }, { first: 5061, last: 5061 }]), '{ 5060-5061, 30000-40000 }');
  t.equal(portText([]), undefined);
});
