import fc from 'fast-check';
import t from 'tap';
import { PacketGate } from '#core/rtp/packet-gate.ts';
import type { PacketColumns } from '#core/rtp/packet-columns.ts';
import { PacketStore } from '#core/rtp/packet-store.ts';
import { beginsKeyPicture, type PayloadKind } from '#core/rtp/payload-probe.ts';
import { type Seen, PictureLook } from '#core/rtp/picture-look.ts';
import { ms } from '#core/units.ts';

const hex = (text: string): number[] => (text.replaceAll(' ', '').match(/../g) ?? []).map(pair => parseInt(pair, 16));
const PACK = hex('000001ba4400dddd0401005f6bf8');
const SYSTEM_HEADER = hex('000001bb000c80ccf504e17fe0e190c0c020');
const PSM = hex('000001bc0012e0ff000000081be0000090c00000fedfb1d7');
const VIDEO_PES = hex('000001e0 0000 8c80 05 2100377741');
const AUDIO = [...PACK, ...hex('000001c0 0010 8480 05 2100377741 d5d5d5d5d5d5d5d5')];
const NAL = {
  h264: { key: hex('0000000167640028 acb4 00000001 68ee3cb0 00000001 65 88'), bareKey: hex('00000001 65 88'), secondSlice: hex('00000001 65 48'), other: hex('00000001 09f0 00000001 41 9a') },
  h265: { key: hex('00000001 40010c01 00000001 42010101 00000001 4401c172 00000001 2601 af'), bareKey: hex('00000001 2601 af'), secondSlice: hex('00000001 2601 2f'), other: hex('00000001 0201 d0') },
} as const;

const LOOKS: readonly { readonly name: string; readonly kind: PayloadKind; readonly packets: readonly (readonly number[])[]; readonly seen: Seen }[] = [
  ...(['h264', 'h265'] as const).flatMap(codec => [
    { name: `${codec} key with headers`, kind: 'ps' as const, packets: [[...PACK, ...SYSTEM_HEADER, ...PSM, ...VIDEO_PES, ...NAL[codec].key]], seen: 'key' as const },
    { name: `${codec} key without system header and PSM`, kind: 'ps' as const, packets: [[...PACK, ...VIDEO_PES, ...NAL[codec].key]], seen: 'key' as const },
    { name: `${codec} key without parameter sets`, kind: 'ps' as const, packets: [[...PACK, ...VIDEO_PES, ...NAL[codec].bareKey]], seen: 'key' as const },
    { name: `${codec} key, an octet a packet`, kind: 'ps' as const, packets: [...PACK, ...VIDEO_PES, ...NAL[codec].key].map(octet => [octet]), seen: 'key' as const },
    { name: `${codec} second slice of a key picture`, kind: 'ps' as const, packets: [[...PACK, ...VIDEO_PES, ...NAL[codec].secondSlice]], seen: 'other' as const },
    { name: `${codec} other with system header and PSM in front`, kind: 'ps' as const, packets: [[...PACK, ...SYSTEM_HEADER, ...PSM, ...VIDEO_PES, ...NAL[codec].other]], seen: 'other' as const },
    { name: `${codec} other`, kind: 'ps' as const, packets: [[...PACK, ...VIDEO_PES, ...NAL[codec].other]], seen: 'other' as const },
  ]),
  { name: 'nothing but headers', kind: 'ps', packets: [[...PACK, ...SYSTEM_HEADER, ...PSM]], seen: 'headers' },
  { name: 'parameter sets alone', kind: 'ps', packets: [[...PACK, ...VIDEO_PES, ...hex('0000000167640028')]], seen: 'parameters' },
  { name: 'sound', kind: 'ps', packets: [AUDIO], seen: 'audio' },
  { name: 'sound and private data', kind: 'ps', packets: [[...PACK, ...hex('000001bd0004 01020304'), ...AUDIO.slice(PACK.length)]], seen: 'audio' },
  { name: 'filler', kind: 'ps', packets: [[...PACK, ...VIDEO_PES, 9, 9, 9, 9]], seen: 'unknown' },
  { name: 'RTP/H.264 single IDR', kind: 'h264', packets: [hex('65 88 80 10')], seen: 'key' },
  { name: 'RTP/H.264 STAP-A of SPS and PPS, then FU-A of an IDR', kind: 'h264', packets: [hex('78 0004 67640028 0003 68ee3c'), hex('7c 85 88 80')], seen: 'key' },
  { name: 'RTP/H.264 FU-A of another slice', kind: 'h264', packets: [hex('7c 81 9a 80')], seen: 'other' },
  { name: 'RTP/H.264 middle of a FU-A', kind: 'h264', packets: [hex('7c 05 9a 80')], seen: 'other' },
  { name: 'RTP/H.265 aggregate of VPS and SPS, then FU of an IDR', kind: 'h265', packets: [hex('6001 0004 40010c01 0004 42010101'), hex('6201 93 af 80')], seen: 'key' },
  { name: 'RTP/H.265 FU of another slice', kind: 'h265', packets: [hex('6201 81 d0 80')], seen: 'other' },
  { name: 'RTP/H.265 RASL', kind: 'h265', packets: [hex('1201 d0 80')], seen: 'skippable' },
];

t.test('what a picture is, from its octets', async t => {
  for (const { name, kind, packets, seen } of LOOKS) {
    const look = new PictureLook();
    look.begin();
    for (const packet of packets) look.feed(kind, Uint8Array.from([0xff, ...packet]), 1, packet.length);
    t.equal(look.seen, seen, name);
    if (packets.length > 1 || packets[0]!.length < 4) continue;
    t.equal(beginsKeyPicture(kind, Uint8Array.from(packets[0]!), 0, packets[0]!.length), seen === 'key' || seen === 'parameters' || seen === 'headers', `${name}: by one packet`);
  }
});

interface Packet {
  readonly picture: number;
  readonly part: number;
  readonly parts: number;
  readonly key: boolean;
  readonly audio: boolean;
  readonly payload: Uint8Array;
  readonly marker: boolean;
  readonly timestamp: number;
  readonly index: number;
}

interface StreamShape {
  readonly codec: 'h264' | 'h265';
  readonly markers: 'ends' | 'none' | 'always' | 'some';
  readonly headers: boolean;
  readonly audio: boolean;
  readonly frozenClock?: boolean;
  /** RTP payloads of NAL units (RFC 6184, 7798), cut into fragments. */
  readonly elementary?: boolean;
  readonly gop?: number;
}

/** First octets of each part of a picture that is sent as NAL units: parameter sets, then one slice in fragments; small ones whole. */
function elementaryHead(codec: 'h264' | 'h265', key: boolean, part: number, parts: number): readonly number[] {
  if (key && part < 2) return hex(codec === 'h264' ? ['67640028', '68ee3cb0'][part]! : ['40010c01', '42010101'][part]!);
  if (!key && parts === 1) return hex(codec === 'h264' ? '419a8080' : '0201d080');
  const isFirst = part === (key ? 2 : 0);
  const bits = (isFirst ? 0x80 : 0) | (part === parts - 1 ? 0x40 : 0);
  return codec === 'h264' ? [0x7c, bits | (key ? 5 : 1), isFirst ? 0x88 : 0x11, 0x80] : [0x62, 1, bits | (key ? 19 : 1), isFirst ? 0xaf : 0x11];
}

/** Pictures of one to nine packets; every payload ends with what it is part of. */
function stream(shape: StreamShape, pictures: number): Packet[] {
  const packets: Packet[] = [];
  const push = (picture: number, part: number, parts: number, key: boolean, audio: boolean, head: readonly number[], timestamp: number): void => {
    const ends = part === parts - 1;
    const marker = shape.markers === 'always' || (ends && (shape.markers === 'ends' || (shape.markers === 'some' && picture % 7 !== 3)));
    packets.push({ picture, part, parts, key, audio, payload: Uint8Array.from([...head, 9, 9, 9, picture & 0xff, part]), marker, timestamp: shape.frozenClock === true ? 77 : timestamp, index: packets.length });
  };
  for (let picture = 0; picture < pictures; picture++) {
    const key = picture % (shape.gop ?? 12) === 0;
    const parts = key ? 9 : 1 + ((picture * 7) % 5);
    const nal = NAL[shape.codec][key ? 'key' : 'other'];
    for (let part = 0; part < parts; part++) push(picture, part, parts, key, false, shape.elementary === true ? elementaryHead(shape.codec, key, part, parts) : part > 0 ? [] : [...PACK, ...(key && shape.headers ? [...SYSTEM_HEADER, ...PSM] : []), ...VIDEO_PES, ...nal], picture * 3600);
    if (shape.audio) push(picture, 0, 1, false, true, AUDIO, picture * 3600 + 1800);
  }
  return packets;
}

class Columns implements PacketColumns {
  count = 0;
  readonly memory: Uint8Array[] = [];
  readonly payloadOffset: number[] = [];
  readonly payloadLength: number[] = [];
  readonly marker: boolean[] = [];
  readonly timestamp: number[] = [];
  readonly index: number[] = [];
  kind: PayloadKind | null = 'ps';
  restartAt = NaN;

  add(memory: Uint8Array, offset: number, length: number, marker: boolean, timestamp: number, index: number): void {
    this.memory.push(memory);
    this.payloadOffset.push(offset);
    this.payloadLength.push(length);
    this.marker.push(marker);
    this.timestamp.push(timestamp);
    this.index.push(index);
    this.count++;
  }
}

interface Left {
  readonly payload: Uint8Array;
  readonly index: number;
  readonly at: number;
}

/** Batches of one size through a gate, 5 ms a batch; memory is used again after each, as in mediad. */
function gated(packets: readonly Packet[], batchSize: number, restartAt = NaN, kind: PayloadKind = 'ps'): { left: Left[]; gate: PacketGate; store: PacketStore } {
  const store = new PacketStore();
  const gate = new PacketGate(store);
  const left: Left[] = [];
  for (let at = 0; at < packets.length; at += batchSize) {
    const [batch, out] = [new Columns(), new Columns()];
    for (const packet of packets.slice(at, at + batchSize)) batch.add(Uint8Array.from([0xff, ...packet.payload]), 1, packet.payload.length, packet.marker, packet.timestamp, packet.index);
    batch.kind = kind;
    if (batch.index.some(index => index === restartAt)) batch.restartAt = restartAt;
    const now = (at / batchSize) * 5;
    gate.take(batch, out, ms(now));
    for (let i = 0; i < out.count; i++) left.push({ payload: out.memory[i]!.slice(out.payloadOffset[i], out.payloadOffset[i]! + out.payloadLength[i]!), index: out.index[i]!, at: now });
    for (const memory of batch.memory) memory.fill(0xee);
    store.recycle(true);
  }
  return { left, gate, store };
}

/** Why what left is no stream of whole pictures that a decoder can show; undefined when it is. `sent`: everything, before loss. */
function damage(left: readonly Left[], sent: readonly Packet[]): string | undefined {
  const bySent = new Map(sent.map(packet => [Buffer.from(packet.payload).toString('latin1') + (packet.audio ? packet.picture : ''), packet]));
  let picture = -1;
  for (let i = 0; i < left.length; ) {
    if (left[i]!.index !== left[0]!.index + i) return `number ${i}`;
    const payload = Buffer.from(left[i]!.payload).toString('latin1');
    const audio = left[i]!.payload.length === AUDIO.length + 5;
    if (audio) {
      i++;
      continue;
    }
    const first = bySent.get(payload);
    if (first === undefined || first.part !== 0) return `picture begins with ${first?.picture} part ${first?.part}`;
    for (let part = 0; part < first.parts; part++, i++) {
      const packet = bySent.get(Buffer.from(left[i]?.payload ?? []).toString('latin1'));
      if (packet?.picture !== first.picture || packet.part !== part) return `picture ${first.picture} without part ${part}`;
    }
    if (!first.key && first.picture !== picture + 1) return `picture ${first.picture} after ${picture}`;
    picture = first.picture;
  }
  return undefined;
}

const kindOf = ({ elementary, codec }: StreamShape): PayloadKind => (elementary === true ? codec : 'ps');
const videoOf = (packets: readonly { readonly payload: Uint8Array }[]): number => packets.filter(({ payload }) => payload.length !== AUDIO.length + 5).length;

const SHAPES: readonly StreamShape[] = (['h264', 'h265'] as const).flatMap(codec =>
  (['ends', 'none', 'always', 'some'] as const).flatMap(markers => [
    { codec, markers, headers: true, audio: true },
    { codec, markers, headers: false, audio: false },
    { codec, markers, headers: false, audio: false, elementary: true },
  ]),
);

t.test('no loss: everything leaves, at the latest with the end of its picture', async t => {
  for (const shape of SHAPES) {
    const name = `${shape.codec} ${shape.markers} ${shape.headers}`;
    const packets = stream(shape, 200);
    for (const batchSize of [1, 3, 64]) {
      const { left, gate } = gated(packets, batchSize, NaN, kindOf(shape));
      t.equal(damage(left, packets), undefined, name);
      // The last one has no end when nothing follows it.
      t.ok(left.length >= packets.length - 9, `${name}: ${left.length} of ${packets.length}`);
      t.match(gate, { state: 'flowing', freezes: 0, picturesDropped: 0 }, name);
      if (batchSize > 1 || shape.markers !== 'ends') continue;
      const late = left.slice(200).filter(({ at }, i) => at - packets[200 + i]!.index * 5 > 45);
      t.same(late, [], `${name}: not held beyond the end`);
      t.equal(left.length, packets.length);
    }
  }
});

t.test('any loss, any batches, any markers: only whole pictures, each on its own references, numbered without a gap', async t => {
  fc.assert(
    fc.property(fc.constantFrom(...SHAPES), fc.integer({ min: 1, max: 70 }), fc.array(fc.integer({ min: 0, max: 1400 }), { minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 6 }), (shape, batchSize, lost, burst) => {
      const packets = stream(shape, 150);
      const gone = new Set(lost.flatMap(at => Array.from({ length: burst }, (_, i) => at + i)));
      const { left } = gated(packets.filter(packet => !gone.has(packet.index)), batchSize, NaN, kindOf(shape));
      const why = damage(left, packets);
      if (why !== undefined) throw new Error(why);
      return true;
    }),
    { numRuns: 600 },
  );
  t.pass();
});

t.test('one lost packet: frozen from there to the next key picture, and sound goes on', async t => {
  const packets = stream({ codec: 'h264', markers: 'ends', headers: true, audio: true }, 60);
  const gone = packets.find(packet => packet.picture === 31 && packet.part === 1 && !packet.audio)!;
  const kept = packets.filter(packet => packet !== gone);
  const { left, gate, store } = gated(kept, 1);
  t.equal(damage(left, packets), undefined);
  const missing = packets.filter(packet => !packet.audio && packet.picture >= 31 && packet.picture < 36);
  t.equal(videoOf(left), videoOf(packets) - missing.length);
  t.ok(left.length - videoOf(left) >= 59, 'sound');
  t.match(gate, { state: 'flowing', freezes: 1, picturesDropped: 5 });
  t.ok(gate.frozenMs(ms(1e6)) > 5 && gate.frozenForMs(ms(1e6)) === null);
  t.equal(store.used, 0);
});

t.test('a restart inside of a picture: neither its first half nor what the new run begins with in the middle leaves', async t => {
  const shape = { codec: 'h265', markers: 'none', headers: false, audio: false } as const;
  const [first, second] = [stream(shape, 20), stream(shape, 30)];
  const cut = first.findIndex(packet => packet.picture === 12 && packet.part === 4);
  const rest = second.slice(second.findIndex(packet => packet.picture === 5)).map((packet, i) => ({ ...packet, index: cut + i, timestamp: packet.timestamp + 1e6 }));
  const { left, gate } = gated([...first.slice(0, cut), ...rest], 4, cut);
  const before = first.filter(packet => packet.picture < 12).length;
  t.equal(damage(left.slice(0, before), first), undefined);
  t.equal(damage(left.slice(before), second), undefined);
  t.equal(gate.freezes, 1);
});

t.test('time stands still (fault 56): markers tell pictures apart', async t => {
  const packets = stream({ codec: 'h264', markers: 'ends', headers: true, audio: true, frozenClock: true }, 100);
  const { left, gate } = gated(packets, 3);
  t.equal(damage(left, packets), undefined);
  t.equal(left.length, packets.length);
  const lossy = gated(packets.filter(({ index }) => index !== 100), 3);
  t.equal(damage(lossy.left, packets), undefined);
  t.equal(gate.state, 'flowing');
});

t.test('no key picture ever (fault 73): after ten seconds whole pictures leave without one', async t => {
  const packets = stream({ codec: 'h264', markers: 'ends', headers: false, audio: false, gop: 1e9 }, 3000).filter(packet => !packet.key);
  const { left, gate } = gated(packets.map((packet, index) => ({ ...packet, index })), 1);
  t.equal(gate.state, 'ungated');
  t.ok(left.length > 1000 && left[0]!.at > 10_000 && left[0]!.at < 10_200, `${left[0]?.at}`);
});

t.test('what nobody knows, and what has no borders, passes after a while', async t => {
  for (const kind of ['unknown', 'ps'] as const) {
    const store = new PacketStore();
    const gate = new PacketGate(store);
    let [passed, firstAt] = [0, NaN];
    for (let i = 0; i < 800; i++) {
      const [batch, out] = [new Columns(), new Columns()];
      batch.kind = kind;
      batch.add(Uint8Array.of(1, 2, 3, 4, 5), 0, 5, false, 5, i);
      gate.take(batch, out, ms(i * 10));
      passed += out.count;
      if (out.count > 0 && Number.isNaN(firstAt)) firstAt = i * 10;
      store.recycle(true);
    }
    t.equal(gate.state, 'ungated');
    t.ok(passed > 400 && firstAt <= 3000, `${kind}: ${passed} from ${firstAt}`);
    t.equal(store.used, 0);
  }
});

t.test('a picture of more than 4 MiB is dropped, and its memory given back (fault 72)', async t => {
  const store = new PacketStore();
  const gate = new PacketGate(store);
  const run = (payload: readonly number[], index: number, timestamp: number, marker: boolean): number => {
    const [batch, out] = [new Columns(), new Columns()];
    const bytes = new Uint8Array(60_000).fill(9);
    bytes.set(payload);
    batch.add(bytes, 0, bytes.length, marker, timestamp, index);
    gate.take(batch, out, ms(index));
    store.recycle(true);
    return out.count;
  };
  const key = [...PACK, ...SYSTEM_HEADER, ...PSM, ...VIDEO_PES, ...NAL.h264.key];
  for (let i = 0; i < 4; i++) run(key, i, i, true);
  let left = 0;
  for (let i = 4; i < 100; i++) left += run(i === 4 ? key : [], i, 4, i === 99);
  t.equal(left, 0);
  t.equal(gate.state, 'frozen');
  t.ok(store.used === 0, `${store.used}`);
  run(key, 100, 100, true);
  run(key, 101, 101, true);
  t.equal(gate.state, 'flowing');
});
