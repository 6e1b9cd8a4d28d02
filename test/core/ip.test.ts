import fc from 'fast-check';
import t from 'tap';
import { bracketed, contains, formatIp, inNetwork, isBroadcast, isLinkLocal, isLoopback, isMulticast, isUnspecified, normalizeHost, normalizeIp, parseIp, parseNetwork, sameIp } from '#core/ip.ts';

t.test('one text for one address', async t => {
  const cases: readonly (readonly [text: string, one: string | undefined])[] = [
    ['192.0.2.1', '192.0.2.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    ['[2001:DB8::0:1]', '2001:db8::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['::192.0.2.1', '::c000:201'],
    ['::ffff:192.0.2.10', '192.0.2.10'],
    ['::FFFF:c000:020a', '192.0.2.10'],
    ['[::ffff:192.0.2.10]', '192.0.2.10'],
    ['2001:db8:::192.0.2.1', '2001:db8::c000:201'],
    ['', undefined],
    ['[]', undefined],
    ['[192.0.2.1]', undefined],
    ['192.0.2', undefined],
    ['192.0.2.1.5', undefined],
    ['192.0.2.256', undefined],
    ['192.0.2.01', undefined],
    ['0300.0.2.1', undefined],
    ['0x7f.0.0.1', undefined],
    ['192.0.2.1 ', undefined],
    ['192.0..1', undefined],
    ['1:2:3:4:5:6:7', undefined],
    ['1:2:3:4:5:6:7:8:9', undefined],
    ['1:2:3:4:5:6:7:8::', undefined],
    ['1::2::3', undefined],
    [':::', undefined],
    ['2001:db8:::1', undefined],
    ['::::', undefined],
    ['1:2:3:4:5:6:7:', undefined],
    [':1:2:3:4:5:6:7', undefined],
    ['12345::', undefined],
    ['::g', undefined],
    ['fe80::1%eth0', undefined],
    ['::1.2.3', undefined],
    ['1.2.3.4::', undefined],
    ['3402000000', undefined],
    ['localhost', undefined],
  ];
  for (const [text, one] of cases) t.equal(normalizeIp(text), one, JSON.stringify(text));
  t.ok(sameIp('::ffff:10.0.0.1', '10.0.0.1'));
  t.notOk(sameIp('x', 'x'), 'what is no address is not the same');
  t.equal(normalizeHost('Gate.Example.'), 'gate.example');
  t.equal(bracketed('::1'), '[::1]');
  t.equal(bracketed('[::1]'), '[::1]');
  t.equal(bracketed('10.0.0.1'), '10.0.0.1');
});

t.test('networks', async t => {
  const cases: readonly (readonly [address: string, cidr: string, inside: boolean])[] = [
    ['192.0.2.77', '192.0.2.0/24', true],
    ['192.0.3.1', '192.0.2.0/24', false],
    ['192.0.2.129', '192.0.2.128/25', true],
    ['192.0.2.127', '192.0.2.128/25', false],
    ['10.1.2.3', '0.0.0.0/0', true],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.4', '10.1.2.3/32', false],
    ['10.1.2.4', '10.1.2.3/31', false],
    ['10.1.2.2', '10.1.2.3/31', true],
    ['2001:db8:1::5', '2001:db8::/32', true],
    ['2001:db9::5', '2001:db8::/32', false],
    ['::ffff:10.1.2.3', '10.0.0.0/8', true],
    ['10.1.2.3', '::ffff:10.0.0.0/104', true],
    ['11.1.2.3', '::ffff:10.0.0.0/104', false],
    ['10.1.2.3', '::/0', false],
    ['10.1.2.3', '10.0.0.0/33', false],
    ['10.1.2.3', '10.0.0.0/', false],
    ['10.1.2.3', '10.0.0.0/-1', false],
    ['10.1.2.3', '10.0.0.0/8/8', false],
    ['10.1.2.3', '', false],
    ['gate.example', '0.0.0.0/0', false],
  ];
  for (const [address, cidr, inside] of cases) t.equal(inNetwork(address, cidr), inside, `${address} in ${cidr}`);
});

t.test('classes that nothing is sent to', async t => {
  const classes = { isLoopback, isMulticast, isLinkLocal, isBroadcast, isUnspecified };
  const cases: readonly (readonly [address: string, only: keyof typeof classes | 'none'])[] = [
    ['127.0.0.1', 'isLoopback'], ['127.255.0.9', 'isLoopback'], ['::1', 'isLoopback'], ['::ffff:127.0.0.1', 'isLoopback'],
    ['224.0.0.1', 'isMulticast'], ['239.255.255.255', 'isMulticast'], ['ff02::1', 'isMulticast'],
    ['169.254.7.7', 'isLinkLocal'], ['fe80::1', 'isLinkLocal'], ['febf::1', 'isLinkLocal'],
    ['255.255.255.255', 'isBroadcast'],
    ['0.0.0.0', 'isUnspecified'], ['0.1.2.3', 'isUnspecified'], ['::', 'isUnspecified'],
    ['192.0.2.1', 'none'], ['128.0.0.1', 'none'], ['223.255.255.255', 'none'], ['240.0.0.1', 'none'], ['fec0::1', 'none'], ['2001:db8::1', 'none'], ['junk', 'none'],
  ];
  for (const [address, only] of cases) {
    const found = Object.entries(classes).filter(([, is]) => is(address)).map(([name]) => name);
    t.same(found, only === 'none' ? [] : [only], address);
  }
});

t.test('properties', async t => {
  fc.assert(fc.property(fc.ipV4(), text => formatIp(parseIp(text)!) === text));
  fc.assert(fc.property(fc.ipV6(), text => {
    const one = normalizeIp(text)!;
    return normalizeIp(one) === one && normalizeIp(text.toUpperCase()) === one && normalizeIp(`[${one.includes(':') ? one : `::ffff:${one}`}]`) === one;
  }));
  fc.assert(fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), octets => {
    const text = formatIp({ family: 6, octets });
    const back = parseIp(text)!;
    return back.family === 4 || back.octets.every((octet, i) => octet === octets[i]);
  }));
  fc.assert(fc.property(fc.ipV4(), fc.ipV4(), fc.integer({ min: 0, max: 32 }), (address, base, bits) => {
    const number = (text: string): number => text.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
    const size = 2 ** (32 - bits);
    return inNetwork(address, `${base}/${bits}`) === (Math.floor(number(address) / size) === Math.floor(number(base) / size));
  }));
  fc.assert(fc.property(fc.string(), fc.string(), (text, other) => {
    const network = parseNetwork(text);
    const ip = parseIp(other);
    return network === undefined || ip === undefined || typeof contains(network, ip) === 'boolean';
  }));
  t.pass('held');
});
