import fc from 'fast-check';
import t, { type Test } from 'tap';
import { nalType, nalUnits } from '#core/media/h26x.ts';
import { withStartCodes } from '#core/media/parameter-sets.ts';
import type { MediaUnit } from '#core/media/unit.ts';
import type { RawUnit } from '#core/media/unit-intake.ts';
import { adtsHeader, audioSpecificConfig } from '#core/media/audio-tracks.ts';
import { type Depacketizer, type ElementaryFormat, type EsPacket, openDepacketizer, openPacketizer } from '#core/rtp/elementary.ts';
import { NO_PARAMETERS, parametersOf } from '#core/rtp/format-parameters.ts';
import { H264Packetizer } from '#core/rtp/h264-payload.ts';
import { H265Depacketizer, H265Packetizer } from '#core/rtp/h265-payload.ts';
import { TimestampLine, timestampOf } from '#core/rtp/media-clock.ts';

const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const filler = (length: number, seed = 1): Uint8Array => Uint8Array.from({ length }, (_, index) => 2 + ((index * 7 + seed * 13) % 250));
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

const SPS = bytesOf('67 64 00 28 ac d9');
const PPS = bytesOf('68 eb e3 cb');
const idr = (length: number): Uint8Array => joined(bytesOf('65 88'), filler(length));
const slice = (length: number, seed = 1): Uint8Array => joined(bytesOf('41 9a'), filler(length, seed));
const VPS5 = bytesOf('40 01 0c 01');
const SPS5 = bytesOf('42 01 01 01');
const PPS5 = bytesOf('44 01 c0 73');
const idr5 = (length: number): Uint8Array => joined(bytesOf('26 01 af'), filler(length));
const slice5 = (length: number): Uint8Array => joined(bytesOf('02 01 d0'), filler(length));

const unit = (codec: ElementaryFormat, bytes: Uint8Array, pts90k: number): MediaUnit => ({
  kind: codec === 'h264' || codec === 'h265' ? 'video' : 'audio', codec, pts90k, dts90k: pts90k, keyFrame: false, damaged: false, bytes,
});

const feed = (depacketizer: Depacketizer, packets: readonly EsPacket[]): RawUnit[] => packets.flatMap(({ payload, marker, timestamp }) => depacketizer.push(payload, marker, timestamp));
const nalsOf = (bytes: Uint8Array): string[] => nalUnits(bytes).map(({ at, end }) => hex(bytes.subarray(at, end)));

/** Every unit comes back as it was, and every payload fits. */
function roundTrip(t: Test, format: ElementaryFormat, units: readonly MediaUnit[], packets: readonly EsPacket[], depacketizer = openDepacketizer(format)): void {
  const back = [...feed(depacketizer, packets), ...depacketizer.flush()];
  t.same(back.map(each => nalsOf(each.bytes)), units.map(each => nalsOf(each.bytes)));
  t.same(back.map(each => [each.pts90k, each.damaged]), units.map(each => [each.pts90k, false]));
  t.ok(packets.every(({ payload }) => payload.length > 0 && payload.length <= 1400), 'within 1400 bytes');
}

t.test('H.264: single NAL units and FU-A both ways (RFC 6184 5.6, 5.8)', async t => {
  const units = [unit('h264', withStartCodes([SPS, PPS, idr(5000)]), 900_000), unit('h264', withStartCodes([slice(20)]), 903_600)];
  const packets = units.flatMap(each => openPacketizer('h264').packets(each));
  t.same(packets.slice(0, 2).map(({ payload }) => hex(payload)), [hex(SPS), hex(PPS)]);
  t.same(packets.slice(2, 6).map(({ payload }) => hex(payload.subarray(0, 2))), ['7c85', '7c05', '7c05', '7c45'], 'indicator, then S and E');
  t.same(packets.map(({ marker }) => marker), [false, false, false, false, false, true, true], 'marker on the last of a picture');
  t.same(packets.map(({ timestamp }) => timestamp), [...Array<number>(6).fill(900_000), 903_600]);
  roundTrip(t, 'h264', units, packets);
  t.same(openPacketizer('h264').packets(unit('h265', VPS5, 0)), [], 'another codec is nobody\'s');
  t.equal(feed(openDepacketizer('h264'), packets)[0]!.keyFrame, true);
});

t.test('H.264: STAP-A is taken, the interleaved mode is refused (5.7.1, 5.4)', async t => {
  const stap = joined(bytesOf('78 00 06'), SPS, bytesOf('00 04'), PPS);
  const depacketizer = openDepacketizer('h264');
  const [key] = [...depacketizer.push(stap, false, 0), ...depacketizer.push(idr(10), true, 0)];
  t.same(nalsOf(key!.bytes), [hex(SPS), hex(PPS), hex(idr(10))]);
  for (const [what, payload, count] of [
    ['STAP-B', bytesOf('79 00 00 00 04 68 eb e3 cb'), 'refused'],
    ['MTAP16', bytesOf('7a 00 00'), 'refused'],
    ['MTAP24', bytesOf('7b 00 00'), 'refused'],
    ['FU-B', bytesOf('7d 85 00 00 88'), 'refused'],
    ['type 30', bytesOf('7e 00'), 'malformed'],
    ['a STAP-A that is longer than it is', bytesOf('78 00 09 67 64'), 'malformed'],
    ['an empty part', bytesOf('78 00 00'), 'malformed'],
    ['FU-A without content', bytesOf('7c 85'), 'malformed'],
    ['nothing', new Uint8Array(0), 'malformed'],
  ] as const) {
    const each = openDepacketizer('h264');
    each.push(payload, false, 0);
    t.equal(each.counters[count], 1, what);
    const [after] = each.push(slice(10), true, 0);
    t.equal(after?.damaged, payload.length > 0, what);
  }
});

t.test('H.265: single, FU and AP, with and without DONL both ways (RFC 7798 4.4)', async t => {
  const units = [unit('h265', withStartCodes([VPS5, SPS5, PPS5, idr5(4000)]), 2 ** 32 - 3600), unit('h265', withStartCodes([slice5(30)]), 2 ** 32)];
  const packets = units.flatMap(each => new H265Packetizer().packets(each));
  t.same(packets.slice(3, 6).map(({ payload }) => hex(payload.subarray(0, 3))), ['620193', '620113', '620153']);
  t.same(packets.at(-1)!.timestamp, 0, 'timestamps wrap');
  roundTrip(t, 'h265', units, packets);
  const plain = joined(bytesOf('60 01 00 04'), VPS5, bytesOf('00 04'), SPS5);
  const ordered = joined(bytesOf('60 01 00 07 00 04'), VPS5, bytesOf('00 00 04'), SPS5);
  for (const [payload, depacketizer] of [[plain, openDepacketizer('h265')], [ordered, new H265Depacketizer({ ...NO_PARAMETERS, hasDonl: true })]] as const) {
    depacketizer.push(payload, false, 0);
    t.same(nalsOf(depacketizer.flush()[0]!.bytes), [hex(VPS5), hex(SPS5)]);
  }
  const donl = new H265Depacketizer(parametersOf('sprop-max-don-diff=2'));
  const nal = idr5(20);
  const whole = donl.push(joined(nal.subarray(0, 2), bytesOf('00 01'), nal.subarray(2)), true, 0);
  t.same(nalsOf(whole[0]!.bytes), [hex(nal)]);
  donl.push(joined(bytesOf('62 01 93 00 02'), nal.subarray(2, 10)), false, 3600);
  const fragments = donl.push(joined(bytesOf('62 01 53'), nal.subarray(10)), true, 3600);
  t.same(nalsOf(fragments[0]!.bytes), [hex(nal)], 'only the first fragment has one');
  const refused = openDepacketizer('h265');
  refused.push(bytesOf('64 01 00 00'), false, 0);
  refused.push(bytesOf('62 01'), false, 0);
  t.match(refused.counters, { refused: 1, malformed: 1 });
});

t.test('loss: what is open or begins in the middle is damaged, nothing else is', async t => {
  const packetizer = new H264Packetizer();
  const pictures = [0, 1, 2, 3].map(index => unit('h264', withStartCodes(index === 0 ? [SPS, PPS, idr(6000)] : [slice(3000, index)]), index * 3600));
  const packets = pictures.flatMap((each, picture) => packetizer.packets(each).map(packet => ({ packet, picture })));
  for (let lost = 0; lost < packets.length; lost += 1) {
    const depacketizer = openDepacketizer('h264');
    const units: RawUnit[] = [];
    packets.forEach(({ packet }, index) => {
      if (index === lost) depacketizer.gap();
      else units.push(...depacketizer.push(packet.payload, packet.marker, packet.timestamp));
    });
    units.push(...depacketizer.flush());
    const hurt = packets[lost]!.picture;
    const others = units.filter(each => each.pts90k !== hurt * 3600);
    // Parameter sets are no pictures: without the SPS the picture is still whole, as far as slices tell.
    const isParameter = lost < 2;
    t.ok(isParameter || units.every(each => each.pts90k !== hurt * 3600 || each.damaged), `packet ${lost} of picture ${hurt}`);
    t.same(others.map(each => [each.pts90k, each.damaged]), [0, 1, 2, 3].filter(index => index !== hurt).map(index => [index * 3600, false]), `the others, packet ${lost}`);
  }
});

t.test('senders that do not keep to it', async t => {
  const depacketizer = openDepacketizer('h264');
  const withMarkers = [...depacketizer.push(SPS, true, 0), ...depacketizer.push(PPS, true, 0), ...depacketizer.push(idr(10), true, 0)];
  t.equal(withMarkers.length, 1, 'SPS and PPS with markers are no pictures');
  const bare = openDepacketizer('h264');
  const never = [idr(10), slice(10), slice(11)].flatMap((nal, index) => bare.push(nal, false, index * 3600));
  t.equal(never.length, 2, 'no marker: another time tells');
  const frozen = openDepacketizer('h264');
  t.equal([idr(10), slice(10), slice(11)].flatMap(nal => frozen.push(nal, false, 0)).length, 2, 'neither marker nor time: the first slice tells');
  const annexB = openDepacketizer('h264').push(withStartCodes([SPS, PPS, idr(9)]), true, 0);
  t.same(nalsOf(annexB[0]!.bytes), [hex(SPS), hex(PPS), hex(idr(9))], 'Annex B in RTP');
  const forbidden = openDepacketizer('h264').push(joined(bytesOf('e5 88'), filler(9)), true, 0);
  t.equal(forbidden[0]!.damaged, true, 'forbidden_zero_bit');
  const huge = openDepacketizer('h264');
  huge.push(joined(bytesOf('7c 85'), filler(60_000)), false, 0);
  for (let index = 0; index < 80; index += 1) huge.push(joined(bytesOf('7c 05'), filler(60_000)), false, 0);
  const [over] = huge.push(slice(3), true, 3600);
  t.ok(over!.damaged && over!.bytes.length <= 4 * 1024 * 1024, 'bounded at 4 MiB');
  t.equal(huge.counters.oversizeUnits, 1);
});

t.test('markers on every packet: the first picture is cut in two, then time tells', async t => {
  const depacketizer = openDepacketizer('h264');
  const further = joined(bytesOf('41 1a'), filler(5));
  const units = [0, 3600, 7200, 10_800].flatMap(at => [slice(5), further].flatMap(nal => depacketizer.push(nal, true, at)));
  t.same(units.map(each => [each.pts90k, each.damaged, nalsOf(each.bytes).length]), [[0, false, 1], [0, true, 1], [3600, false, 2], [7200, false, 2]]);
});

t.test('AAC-hbr both ways (RFC 3640 3.3.6)', async t => {
  const parameters = parametersOf('streamtype=5; mode=AAC-hbr; config=1408; sizeLength=13; indexLength=3; indexDeltaLength=3');
  t.same(parameters.config, bytesOf('14 08'));
  t.same(audioSpecificConfig(2, 16_000, 1), bytesOf('14 08'));
  const frames = [100, 371, 3000].map((length, index) => joined(adtsHeader(2, 16_000, 1, length), filler(length, index)));
  const sent = unit('aac', joined(...frames), 90_000);
  const packets = openPacketizer('aac', 16_000).packets(sent);
  t.same(packets.map(({ payload }) => hex(payload.subarray(0, 4))), ['00100320', '00100b98', '00105dc0', '00105dc0', '00105dc0']);
  t.same(packets.map(({ marker }) => marker), [true, true, false, false, true]);
  t.same(packets.map(({ timestamp }) => timestamp), [16_000, 17_024, 18_048, 18_048, 18_048]);
  const depacketizer = openDepacketizer('aac', parameters, 16_000);
  const back = feed(depacketizer, packets);
  t.same(back.map(each => hex(each.bytes)), frames.map(hex));
  t.same(back.map(each => each.pts90k), [90_000, 95_760, 101_520]);
  const several = joined(bytesOf('00 20 00 18 00 20'), bytesOf('01 02 03'), bytesOf('04 05 06 07'));
  t.same(depacketizer.push(several, true, 0).map(each => each.bytes.length), [7 + 3 + 7 + 4], 'several frames in one unit');
  for (const [what, payload] of [['interleaved', bytesOf('00 20 00 18 00 21 01 02 03 04')], ['no headers', bytesOf('00 00 01')], ['headers longer than it', bytesOf('ff ff 01')], ['sizes that lie', bytesOf('00 20 00 18 00 80 01 02 03')], ['two bytes', bytesOf('00')]] as const) {
    t.same(depacketizer.push(payload, true, 0), [], what);
  }
  t.match(depacketizer.counters, { refused: 1, malformed: 4 });
  depacketizer.push(packets[2]!.payload, false, 50);
  depacketizer.gap();
  t.same(depacketizer.push(packets[4]!.payload, true, 50), [], 'the rest of a frame whose begin is missing');
});

t.test('G.711 both ways', async t => {
  const bytes = filler(3000);
  const packets = openPacketizer('g711a').packets(unit('g711a', bytes, 45_000));
  t.same(packets.map(({ payload, timestamp }) => [payload.length, timestamp]), [[1280, 4000], [1280, 5280], [440, 6560]]);
  const back = feed(openDepacketizer('g711a'), packets);
  t.same(hex(joined(...back.map(each => each.bytes))), hex(bytes));
  t.same(back.map(each => each.pts90k), [45_000, 59_400, 73_800]);
  const memory = Buffer.from(filler(100));
  const [kept] = openDepacketizer('g711u').push(memory, true, 0);
  memory.fill(0);
  t.same(hex(kept!.bytes), hex(filler(100)), 'its memory may be used again, of Node\'s Buffer too');
});

t.test('a=fmtp', async t => {
  const sets = parametersOf('packetization-mode=1;profile-level-id=64001F;sprop-parameter-sets=Z2QAKKzZ,aOvjyw==').parameterSets;
  t.same(sets.map(hex), [hex(SPS), hex(PPS)]);
  t.same(parametersOf('sprop-vps=QAEMAQ==; sprop-sps=QgEBAQ==; sprop-pps=RAHAcw==').parameterSets.map(hex), [hex(VPS5), hex(SPS5), hex(PPS5)]);
  for (const text of [undefined, '', ';;;=', 'config=xyz', 'sprop-parameter-sets=***', 'sizelength=99', `config=${'00'.repeat(100)}`, 'x'.repeat(20_000)]) {
    t.match(parametersOf(text), { parameterSets: [], sizeLength: 13, hasDonl: false }, String(text).slice(0, 20));
    t.equal(parametersOf(text).config.length, 0);
  }
});

t.test('clocks', async t => {
  const line = new TimestampLine(8000);
  t.same([2 ** 32 - 800, 0, 800, 400].map(timestamp => line.ticks90k(timestamp) - Math.round(((2 ** 32 - 800) * 90_000) / 8000)), [0, 9000, 18_000, 13_500]);
  t.equal(timestampOf(-90_000, 90_000), 2 ** 32 - 90_000);
  t.equal(timestampOf(2 ** 34 + 11.25, 8000), Math.round(((2 ** 34 + 11.25) * 8000) / 90_000) % 2 ** 32);
});

t.test('any NAL units come back; anything else is survived', async () => {
  const nal = fc.tuple(fc.constantFrom(0x41, 0x61, 0x06), fc.uint8Array({ minLength: 1, maxLength: 5000 })).map(([header, bytes]) => Uint8Array.of(header, 0x80, ...bytes.map(byte => byte | 4)));
  const nal5 = fc.tuple(fc.constantFrom(0x02, 0x2a, 0x4e), fc.uint8Array({ minLength: 1, maxLength: 5000 })).map(([header, bytes]) => Uint8Array.of(header, 1, 0x80, ...bytes.map(byte => byte | 4)));
  for (const [format, nals, packetizer] of [['h264', nal, (max: number) => new H264Packetizer(max)], ['h265', nal5, (max: number) => new H265Packetizer(max)]] as const) {
    fc.assert(
      fc.property(fc.array(nals, { minLength: 1, maxLength: 4 }), fc.integer({ min: 20, max: 1400 }), (list, max) => {
        const packets = packetizer(max).packets(unit(format, withStartCodes(list), 0));
        const depacketizer = openDepacketizer(format);
        const back = [...feed(depacketizer, packets.map(packet => ({ ...packet, marker: false }))), ...depacketizer.flush()];
        const got = back.flatMap(each => nalUnits(each.bytes).map(({ at, end }) => each.bytes.subarray(at, end)));
        return packets.every(({ payload }) => payload.length <= max) && got.length === list.length && got.every((each, index) => Buffer.compare(each, list[index]!) === 0 && nalType(format, each[0]!) === nalType(format, list[index]![0]!));
      }),
      { numRuns: 60 },
    );
  }
  const event = fc.oneof(fc.constant('gap' as const), fc.record({ payload: fc.uint8Array({ maxLength: 200 }), marker: fc.boolean(), timestamp: fc.integer({ min: 0, max: 5 }) }));
  fc.assert(
    fc.property(fc.constantFrom<ElementaryFormat>('h264', 'h265', 'aac', 'g711a'), fc.boolean(), fc.array(event, { maxLength: 60 }), (format, hasDonl, events) => {
      const depacketizer = openDepacketizer(format, { ...NO_PARAMETERS, hasDonl });
      let given = 0;
      let got = 0;
      for (const each of events) {
        if (each === 'gap') depacketizer.gap();
        else {
          given += each.payload.length;
          for (const one of depacketizer.push(each.payload, each.marker, each.timestamp)) got += one.bytes.length;
        }
      }
      for (const one of depacketizer.flush()) got += one.bytes.length;
      return got <= given * 8 + 64;
    }),
    { numRuns: 300 },
  );
});
