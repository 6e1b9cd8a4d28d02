import * as fc from 'fast-check';
import t from 'tap';
import { hostSchema } from '#core/config/host-schema.ts';
import { type BanRow, formatBanFile, parseBanFile, restoredBan, shutOutOf } from '#core/host/ban-file.ts';
import { BanPolicy, type Evidence, type Offence, OFFENCE_POINTS } from '#core/host/ban-policy.ts';
import { meets, siteOf } from '#core/host/site.ts';
import { contains, parseIp, parseNetwork } from '#core/ip.ts';
import { ms } from '#core/units.ts';

const rules = hostSchema.parse({ bans: { points: 10, windowS: 600, banS: 3600, maxBanS: 10_000 } }).bans;
const evidence = (address: string, offence: Offence, line = 'OPTIONS sip:100@192.0.2.1 SIP/2.0'): Evidence => ({ address, offence, proven: false, line: () => line });
const policyWith = (mayBan: (site: string, proven: boolean) => boolean = () => true, given = rules): BanPolicy => new BanPolicy({ rules: () => given, mayBan });

t.test('evidence is weighed, kept, and ends with its time; the next ban is longer', async t => {
  const policy = policyWith();
  t.equal(policy.note(evidence('203.0.113.7', 'scanner', 'OPTIONS sip:100@a SIP/2.0'), ms(1000)), undefined);
  t.notOk(policy.isBanned('203.0.113.7', ms(1000)));
  const ban = policy.note(evidence('203.0.113.7', 'scanner', 'OPTIONS sip:101@a SIP/2.0'), ms(2000));
  t.match(ban, { site: '203.0.113.7', reason: 'scanner', count: 2, times: 1, first: 'OPTIONS sip:100@a SIP/2.0', last: 'OPTIONS sip:101@a SIP/2.0', firstMs: 1000, lastMs: 2000, untilMs: 3_602_000 });
  t.ok(policy.isBanned('203.0.113.7', ms(3_601_999)));
  t.notOk(policy.isBanned('203.0.113.8', ms(2001)));
  t.equal(policy.note(evidence('203.0.113.7', 'scanner'), ms(3000)), undefined, 'who is not heard gives no evidence');
  t.equal(policy.deadline, 3_602_000);
  t.same(policy.expire(ms(3_602_000)).map(({ site }) => site), ['203.0.113.7']);
  t.equal(policy.deadline, undefined);
  policy.note(evidence('203.0.113.7', 'scanner'), ms(4_000_000));
  t.match(policy.note(evidence('203.0.113.7', 'scanner'), ms(4_000_001)), { times: 2, untilMs: 4_000_001 + 7_200_000, count: 4 });
  policy.expire(ms(20_000_000));
  policy.note(evidence('203.0.113.7', 'scanner'), ms(20_000_000));
  t.match(policy.note(evidence('203.0.113.7', 'scanner'), ms(20_000_000)), { times: 3, untilMs: 30_000_000 }, 'and no longer than maxBanS');
});

t.test('points outside the window do not count', async t => {
  const policy = policyWith();
  for (let i = 0; i < 50; i++) t.equal(policy.note(evidence('203.0.113.7', 'scanner'), ms(i * 600_001)), undefined);
  t.equal(policy.watched, 1);
});

t.test('who must not be shut out is not, whatever is said of it', async t => {
  const policy = policyWith((site, proven) => site !== '10.0.0.1' && (proven || site !== '10.0.0.2'));
  for (let i = 0; i < 100; i++) for (const address of ['10.0.0.1', '10.0.0.2']) t.equal(policy.note(evidence(address, 'scanner'), ms(i)), undefined);
  t.ok(policy.note({ ...evidence('10.0.0.2', 'password'), proven: true }, ms(20_000)), 'by what it has proven it is');
  const off = policyWith(() => true, { ...rules, enabled: false });
  for (let i = 0; i < 100; i++) t.equal(off.note(evidence('203.0.113.7', 'scanner'), ms(i)), undefined);
});

t.test('long lists are not read for every datagram', async t => {
  let asked = 0;
  const policy = policyWith(() => (asked++, false));
  for (let i = 0; i < 30_000; i++) policy.note(evidence('10.0.0.1', 'scanner'), ms(i));
  t.equal(asked, 3);
});

t.test('an IPv6 customer is one', async t => {
  const policy = policyWith();
  policy.note(evidence('2001:db8:1:2::1', 'scanner'), ms(0));
  t.equal(policy.note(evidence('2001:db8:1:2:ffff::9', 'scanner'), ms(1))?.site, '2001:db8:1:2::/64');
  t.ok(policy.isBanned('2001:db8:1:2::dead', ms(2)));
  t.notOk(policy.isBanned('2001:db8:1:3::1', ms(2)));
  t.ok(policy.pardon('2001:db8:1:2::1'));
  t.notOk(policy.isBanned('2001:db8:1:2::1', ms(3)));
  t.notOk(policy.pardon('2001:db8:1:2::1'));
});

t.test('memory is bounded, whoever the senders claim to be', async t => {
  const policy = policyWith();
  for (let i = 0; i < 65_536; i++) {
    const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    policy.note(evidence(address, 'scanner'), ms(i));
    policy.note(evidence(address, i % 4 === 0 ? 'scanner' : 'flood'), ms(i));
  }
  t.ok(policy.watched <= 4096, `${policy.watched} watched`);
  t.equal(policy.bans.length, 4096);
  t.equal(policy.bans[0]!.lastMs, ms(65_536 - 4 * 4096), 'the ones that end first made room');
});

t.test('what changed sets free, and a restart does not', async t => {
  let banable = true;
  const policy = policyWith(() => banable);
  for (const address of ['203.0.113.7', '203.0.113.8']) for (let i = 0; i < 2; i++) policy.note(evidence(address, 'scanner'), ms(i));
  const after = policyWith(() => banable);
  after.restore(policy.bans);
  t.ok(after.isBanned('203.0.113.8', ms(5)));
  banable = false;
  t.equal(after.review().length, 2);
  t.notOk(after.isBanned('203.0.113.8', ms(5)));
});

const ip4 = fc.ipV4();
const ip6 = fc.ipV6().filter(text => parseIp(text) !== undefined);
const row: fc.Arbitrary<BanRow> = fc.record({
  site: fc.oneof(ip4, ip6).map(ip => siteOf(ip)!),
  reason: fc.constantFrom(...(Object.keys(OFFENCE_POINTS) as Offence[])),
  count: fc.nat(),
  times: fc.nat(100),
  first: fc.string({ maxLength: 40 }),
  last: fc.string({ maxLength: 40 }),
  untilWallMs: fc.nat(),
  firstWallMs: fc.nat(),
  lastWallMs: fc.nat(),
});

t.test('the file reads as it was written, and believes nothing else', async t => {
  fc.assert(fc.property(fc.array(row, { maxLength: 20 }), rows => void t.same(parseBanFile(formatBanFile(rows)), rows)));
  fc.assert(fc.property(fc.array(row, { minLength: 2, maxLength: 5 }), fc.nat(), (rows, cut) => parseBanFile(formatBanFile(rows).slice(0, cut)).length <= rows.length));
  fc.assert(fc.property(fc.string(), text => void parseBanFile(text)));
  const good: BanRow = { site: '192.0.2.1', reason: 'scanner', count: 1, times: 1, first: '', last: '', untilWallMs: 9, firstWallMs: 1, lastWallMs: 1 };
  for (const site of ['0.0.0.0/0', '10.0.0.0/8', '::/0', '2001:db8::/32', '2001:db8::1', '192.0.2.1; flush ruleset', '192.0.2.1 ', '']) t.same(parseBanFile(formatBanFile([{ ...good, site }])), [], site);
});

t.test('fault 110: a ban that was given by a clock twenty years ahead lasts as long as it was given for', async t => {
  const given: BanRow = { site: '192.0.2.1', reason: 'scanner', count: 1, times: 1, first: '', last: '', untilWallMs: 700_000, firstWallMs: 50_000, lastWallMs: 100_000 };
  const at = (nowWallMs: number): unknown => {
    const ban = restoredBan(given, ms(5000), nowWallMs);
    return ban && [ban.untilMs, ban.lastMs, ban.firstMs];
  };
  t.same(at(300_000), [405_000, -195_000, -245_000], 'the usual case');
  t.same(at(100), [605_000, 5000, 5000], 'set back: as long as ever');
  t.equal(at(700_000), undefined);
  const ahead = { ...given, untilWallMs: given.untilWallMs + 6e11, lastWallMs: given.lastWallMs + 6e11, firstWallMs: given.firstWallMs + 6e11 };
  t.match(restoredBan(ahead, ms(5000), 300_000), { untilMs: 605_000 });
  t.same(shutOutOf([ahead], [], 300_000), [{ network: '192.0.2.1', leftMs: 600_000 }], 'in the packet filter too');
  fc.assert(fc.property(row, fc.nat(), (each, nowWallMs) => {
    const ban = restoredBan(each, ms(0), nowWallMs);
    return ban === undefined || (ban.untilMs > 0 && ban.untilMs <= each.untilWallMs - each.lastWallMs && ban.lastMs <= 0 && ban.firstMs <= 0);
  }));
});

t.test('the packet filter shuts out the living, and nobody who is declared', async t => {
  const rows = ['192.0.2.1', '192.0.2.2', '10.1.2.3', '2001:db8::/64'].map((site, i): BanRow => ({ site, reason: 'flood', count: 1, times: 1, first: '', last: '', untilWallMs: 1000 * i, firstWallMs: 0, lastWallMs: 0 }));
  const never = ['10.1.0.0/16', '2001:db8::7'].map(text => parseNetwork(text)!);
  t.same(shutOutOf(rows, never, 500), [{ network: '192.0.2.2', leftMs: 500 }]);
  fc.assert(
    fc.property(row, fc.array(fc.oneof(ip4, ip6), { maxLength: 3 }), ({ site }, addresses) => {
      const networks = addresses.map(address => parseNetwork(address)!);
      return meets(site, networks) === addresses.some(address => contains(parseNetwork(site)!, parseIp(address)!));
    }),
  );
});
