import { networkInterfaces } from 'node:os';
import t from 'tap';
import { LocalAddresses, familyOf, isWildcard, plainAddress, requireIp } from '#kit/net.ts';
import { ManualClock } from '../rig/manual-clock.ts';

t.test('one spelling for one address', async t => {
  t.equal(plainAddress('::ffff:192.0.2.1'), '192.0.2.1');
  t.equal(plainAddress('fe80::1%eth0'), 'fe80::1');
  t.equal(plainAddress('2001:DB8:0:0::1'), '2001:db8::1');
  t.equal(plainAddress('192.0.2.1'), '192.0.2.1');
  t.same([familyOf('::1'), familyOf('192.0.2.1')], [6, 4]);
  t.same(['0.0.0.0', '::', '127.0.0.1'].map(isWildcard), [true, true, false]);
  t.equal(requireIp('[::1]'), '::1');
  for (const name of ['localhost', 'gb.example.com', '', '1.2.3']) t.throws(() => requireIp(name), TypeError, name);
});

t.test('the address that a packet would carry', async t => {
  const local = new LocalAddresses(new ManualClock());
  t.equal(local.sourceFor('127.0.0.1'), '127.0.0.1');
  t.equal(local.sourceFor('127.9.9.9'), '127.0.0.1');
  t.equal(local.sourceFor('::1'), '::1');
  t.equal(local.sourceFor('not an address'), undefined);
  const outside = Object.values(networkInterfaces()).flatMap(infos => infos ?? []).filter(info => !info.internal && info.family === 'IPv4');
  for (const { address, cidr } of outside) {
    t.equal(local.sourceFor(address), address, 'our own address speaks for itself');
    const neighbour = address.replace(/\d+$/, last => String((Number(last) ^ 1) || 2));
    if (cidr !== null && Number(cidr.split('/')[1]) <= 24) t.equal(local.sourceFor(neighbour), address, `a neighbour in ${cidr}`);
  }
  const far = local.sourceFor('198.51.100.1');
  t.ok(far === undefined || outside.some(info => info.address === far), `far away: ${far}`);
});
