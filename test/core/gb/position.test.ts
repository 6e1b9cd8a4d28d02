/** Positions of both editions, in both directions, and how often a subscriber hears of them. */
import fc from 'fast-check';
import t from 'tap';
import { LatestFeed, MAX_KEYS } from '#core/gb/latest-feed.ts';
import { parseManscdp, type Manscdp } from '#core/gb/manscdp.ts';
import { MAX_POSITIONS, type MobilePosition, buildMobilePositions, buildPtzPosition, readMobilePositions, readPtzPosition } from '#core/gb/position.ts';
import { NEVER, ms } from '#core/units.ts';

const CHANNEL = '33010000001320000701';
const PLATFORM = '33010000001180000007';
const read = (xml: string): Manscdp => {
  const parsed = parseManscdp(xml);
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
};

const FLAT = `<Notify><CmdType>MobilePosition</CmdType><SN>81</SN><Time>2026-03-10T08:01:05</Time><Longitude>120.1301</Longitude><Latitude>30.2702</Latitude><Speed>36.0</Speed><Direction>90.0</Direction><Altitude>12</Altitude></Notify>`;
const LISTED = `<Notify><CmdType>MobilePosition</CmdType><SN>81</SN><DeviceID>${PLATFORM}</DeviceID><Time>2026-03-10T08:01:05</Time><SumNum>1</SumNum><DeviceList Num="1"><Item><DeviceID>${CHANNEL}</DeviceID><CaptureTime>2026-03-10T08:01:04</CaptureTime><Longitude>120.1301</Longitude><Latitude>30.2702</Latitude><Speed>36.0</Speed><Direction>90</Direction><Altitude>12</Altitude><Height>3</Height></Item></DeviceList></Notify>`;

t.test('the 2016 form, without DeviceID and with one', async t => {
  const expected = { time: '2026-03-10T08:01:05', longitude: 120.1301, latitude: 30.2702, speedKmh: 36, direction: 90, altitudeM: 12, heightM: undefined };
  t.same(readMobilePositions(read(FLAT)), { positions: [{ deviceId: '', ...expected }], dropped: 0 });
  const named = FLAT.replace('<Time>', `<DeviceID>${CHANNEL}</DeviceID><Time>`);
  t.same(readMobilePositions(read(named)).positions, [{ deviceId: CHANNEL, ...expected }]);
});

t.test('the 2022 form: the item has its own ID and time', async t => {
  t.same(readMobilePositions(read(LISTED)), {
    positions: [{ deviceId: CHANNEL, time: '2026-03-10T08:01:04', longitude: 120.1301, latitude: 30.2702, speedKmh: 36, direction: 90, altitudeM: 12, heightM: 3 }],
    dropped: 0,
  });
});

t.test('what has no place on earth is dropped and counted, the rest is taken', async t => {
  const item = (longitude: string, latitude: string): string => `<Item><DeviceID>${CHANNEL}</DeviceID><Longitude>${longitude}</Longitude><Latitude>${latitude}</Latitude><Speed>fast</Speed></Item>`;
  const listed = (items: string): string => LISTED.replace(/<Item>.*<\/Item>/, items);
  const { positions, dropped } = readMobilePositions(read(listed([item('120', '30'), item('181', '0'), item('NaN', '1'), item('1e2', '1'), item('', ''), item('-0.5', '-89.9')].join(''))));
  t.same(positions.map(({ longitude, latitude, speedKmh }) => [longitude, latitude, speedKmh]), [[120, 30, undefined], [-0.5, -89.9, undefined]]);
  t.equal(dropped, 4);
  const flood = readMobilePositions(read(listed(item('1', '1').repeat(MAX_POSITIONS + 5))));
  t.equal(flood.positions.length, MAX_POSITIONS);
  t.equal(flood.dropped, 5);
});

t.test('next to the meridian there is no 1e-7: decimals, written and read', async t => {
  const near: MobilePosition = { deviceId: CHANNEL, time: undefined, longitude: -0.000_000_1, latitude: 1e-12, speedKmh: 0.000_000_5, direction: 0, altitudeM: -0, heightM: 1e-9 };
  for (const version of ['2016', '2022'] as const) {
    const [xml] = buildMobilePositions(version, { sn: 7, deviceId: PLATFORM }, [near]);
    t.match(xml, '<Longitude>-0.0000001</Longitude><Latitude>0.000000000001</Latitude><Speed>0.0000005</Speed><Direction>0</Direction><Altitude>0</Altitude>');
  }
  t.match(buildPtzPosition({ sn: 7, deviceId: CHANNEL }, { pan: 2.5e-7, tilt: -90, zoom: undefined, horizontalFieldAngle: undefined, verticalFieldAngle: undefined, maxViewDistance: 1e6 }), /<Pan>0\.00000025<\/Pan>\r\n<Tilt>-90<\/Tilt>\r\n<MaxViewDistance>1000000</);
});

t.test('written for one edition and read again', async t => {
  const number = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min: min * 1000, max: max * 1000 }).map(value => value / 1000);
  const optional = (min: number, max: number): fc.Arbitrary<number | undefined> => fc.option(number(min, max), { nil: undefined });
  const position: fc.Arbitrary<MobilePosition> = fc.record({
    deviceId: fc.stringMatching(/^\d{20}$/), time: fc.constant('2026-03-10T08:01:05'), longitude: number(-180, 180), latitude: number(-90, 90),
    speedKmh: optional(0, 300), direction: optional(0, 360), altitudeM: optional(-100, 9000), heightM: optional(-5, 500),
  });
  fc.assert(
    fc.property(fc.array(position, { minLength: 1, maxLength: 5 }), positions => {
      const [whole, ...others] = buildMobilePositions('2022', { sn: 7, deviceId: PLATFORM }, positions);
      t.equal(others.length, 0);
      t.same(readMobilePositions(read(whole!)), { positions, dropped: 0 });
      const messages = buildMobilePositions('2016', { sn: 7, deviceId: PLATFORM }, positions).map(read);
      t.same(messages.map(({ sn }) => sn), positions.map((_, i) => 7 + i), 'each has its own SN');
      t.same(messages.flatMap(message => readMobilePositions(message).positions), positions.map(each => ({ ...each, heightM: undefined })));
    }),
    { numRuns: 50 },
  );
});

t.test('PTZ position in both directions; what says nothing is none', async t => {
  const position = { pan: 87.5, tilt: 12, zoom: 4, horizontalFieldAngle: 60, verticalFieldAngle: 34, maxViewDistance: 80 };
  const xml = buildPtzPosition({ sn: 93, deviceId: CHANNEL }, position);
  t.match(xml, /<Notify>[^]*<Pan>87.5<\/Pan>[^]*<MaxViewDistance>80<\/MaxViewDistance>/);
  t.same(readPtzPosition(read(xml)), position);
  t.equal(readPtzPosition(read(`<Notify><CmdType>PTZPosition</CmdType><SN>1</SN><DeviceID>${CHANNEL}</DeviceID><Pan>left</Pan></Notify>`)), undefined);
});

t.test('a subscriber hears the newest of each, once an interval, one message at a time', async t => {
  const feed = new LatestFeed<string>(5000, 2);
  feed.put('a', 'a1', ms(0));
  feed.put('b', 'b1', ms(0));
  feed.put('c', 'c1', ms(0));
  t.equal(feed.deadline, 0);
  t.same(feed.take(ms(0)), ['a1', 'b1'], 'so many in one message');
  t.same(feed.take(ms(0)), [], 'one is under way');
  t.equal(feed.deadline, NEVER);
  feed.put('a', 'a2', ms(100));
  feed.put('a', 'a3', ms(200));
  feed.settled();
  t.same(feed.take(ms(300)), ['c1']);
  feed.settled();
  t.equal(feed.deadline, 5000, 'an interval after it was told');
  t.same(feed.take(ms(4999)), []);
  t.same(feed.take(ms(5000)), ['a3'], 'what lay between is gone');
  feed.settled();
  t.equal(feed.deadline, NEVER);
  feed.put('a', 'a4', ms(20_000));
  t.same(feed.take(ms(20_000)), ['a4'], 'after a pause at once');
});

t.test('keys are bounded', async t => {
  const feed = new LatestFeed<number>(1000, 10);
  for (let i = 0; i < MAX_KEYS + 3; i++) feed.put(String(i), i, ms(0));
  t.equal(feed.dropped, 3);
  feed.put('0', 99, ms(0));
  t.equal(feed.take(ms(0))[0], 99, 'those that are known go on');
});
