import fc from 'fast-check';
import t from 'tap';
import { concatBytes, toByteString } from '#core/bytes.ts';
import { walkTcp } from '#core/diagnose/tcp-walk.ts';
import { type Agreed, MEDIA_RULES, validateMedia } from '#core/diagnose/validate-media.ts';
import { newPsFacts, walkPs } from '#core/diagnose/ps-walk.ts';
import { packHeader, pesHeader, systemHeader } from '#core/ps/mux.ts';
import { writePsm } from '#core/ps/psm.ts';
import { writeRtpHeader } from '#core/rtp/packet.ts';
import { systemRandom } from '#kit/random.ts';
import { inputAt } from '../../../scripts/lib/fuzz/mutate.ts';
import { type FootageName, loadFootage } from '../../../scripts/media/footage.ts';
import type { Quirk } from '../../../scripts/simulators/camera/quirks.ts';
import { CameraStream } from '../../../scripts/simulators/camera/stream.ts';

const SSRC = 200_000_001;
const AGREED: Agreed = { ssrc: SSRC, payloadType: 96, place: '192.0.2.71:15060', format: 'ps' };
const from = (packets: readonly Uint8Array[], port = 15_060): { bytes: Uint8Array; address: string; port: number }[] => packets.map(bytes => ({ bytes, address: '192.0.2.71', port }));
const rulesIn = (packets: readonly Uint8Array[], agreed = AGREED): string[] => validateMedia(from(packets), agreed, 'camera').map(({ id }) => id).sort();

async function streamed(quirks: readonly Quirk[], name: FootageName = 'h264-g711a', seconds = 6): Promise<Uint8Array[]> {
  const stream = new CameraStream({ footage: await loadFootage(name), ssrc: SSRC, payloadType: 96, quirks: new Set(quirks), random: systemRandom, overTcp: false });
  return stream.due(seconds * 1000);
}

t.test('a camera without faults breaks no rule, whatever its codecs', async t => {
  for (const name of ['h264-g711a', 'h264-aac', 'h265-g711a', 'h265-aac', 'h264', 'h265'] as const) t.same(rulesIn(await streamed([], name)), [], name);
  t.same(rulesIn((await streamed([])).slice(150)), [], 'nor one that is looked at from the middle on');
  t.same(rulesIn([]), [], 'nor one that sends nothing');
});

/** What each habit of the simulator comes to, and nothing else. */
const HABITS: readonly (readonly [quirk: Quirk, rules: readonly string[], footage?: FootageName])[] = [
  ['private-pes', ['ps-private']],
  ['bad-psm-crc', ['ps-map-crc']],
  ['short-pack', ['ps-pack-header']],
  ['codec-flip', ['ps-codec', 'ps-map-changes', 'ps-map-crc']],
  ['pes-length-zero', ['ps-length-zero']],
  ['no-psm', ['ps-no-map']],
  ['late-psm', ['ps-no-map']],
  ['aac-as-g711', ['ps-codec'], 'h264-aac'],
  ['sample-clock', ['ps-sound-clock']],
  ['pts-wrap', ['ps-pts']],
  ['marker-never', ['rtp-marker']],
  ['marker-always', ['rtp-marker']],
  ['reorder', ['rtp-order']],
  ['loss', ['rtp-holes']],
  ['duplicates', ['rtp-repeats']],
  ['rtp-extension', ['rtp-extension']],
  ['ssrc-restart', ['rtp-ssrc-changes']],
  ['first-audio-timestamp-zero', ['rtp-timestamp']],
];

t.test('each habit of a camera is told as what it is', async t => {
  for (const [quirk, rules, footage] of HABITS) t.same(rulesIn(await streamed([quirk], footage)), [...rules].sort(), quirk);
});

const NAL = Uint8Array.of(0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 0, 1, 0x65, 4, 5);
const STREAMS = [{ streamType: 0x1b, streamId: 0xe0 }];
interface PictureParts {
  readonly pts?: number;
  readonly system?: boolean;
  readonly map?: Uint8Array;
  readonly streamId?: number;
  readonly length?: number;
}
const picture = (at: number, { pts = at * 3600, system = true, map = writePsm(STREAMS), streamId = 0xe0, length = NAL.length }: PictureParts = {}): Uint8Array =>
  concatBytes(packHeader(pts), ...(system ? [systemHeader(false)] : []), map, pesHeader(streamId, length, pts), NAL);
const packet = (sequence: number, timestamp: number, payload: Uint8Array, marker = true, ssrc = SSRC, type = 96): Uint8Array => {
  const bytes = new Uint8Array(12 + payload.length);
  writeRtpHeader(bytes, 0, marker, type, sequence, timestamp, ssrc);
  bytes.set(payload, 12);
  return bytes;
};
const pictures = (parts: (at: number) => PictureParts = () => ({})): Uint8Array[] => Array.from({ length: 30 }, (_, at) => packet(at, at * 3600, picture(at, parts(at))));

/** What no simulator does. */
const CASES: readonly (readonly [rule: string, packets: readonly Uint8Array[], agreed?: Agreed])[] = [
  ['rtp-malformed', [...pictures(), Uint8Array.of(0x12, 1, 2)]],
  ['rtp-ssrc', pictures(), { ...AGREED, ssrc: 7 }],
  ['rtp-payload-type', pictures(), { ...AGREED, payloadType: 98 }],
  ['rtp-source', pictures(), { ...AGREED, place: '192.0.2.71:9999' }],
  ['ps-missing', Array.from({ length: 30 }, (_, at) => packet(at, at * 3600, NAL))],
  ['ps-system-header', pictures(at => ({ system: at % 2 === 0 }))],
  ['ps-map-broken', pictures(at => (at === 9 ? { map: concatBytes(writePsm(STREAMS), Uint8Array.of(0, 0, 1, 0xbc, 0, 2, 0xe0, 0xff)) } : {}))],
  ['ps-unmapped', pictures(at => (at === 9 ? { streamId: 0xe1 } : {}))],
  ['ps-length', pictures(at => (at === 9 ? { length: NAL.length + 5 } : {}))],
  ['ps-pes-header', Array.from({ length: 30 }, (_, at) => packet(at, at * 3600, at === 9 ? concatBytes(packHeader(at), systemHeader(false), writePsm(STREAMS), Uint8Array.of(0, 0, 1, 0xe0, 0, 4, 0x80, 0, 40, 0)) : picture(at)))],
];

t.test('what no simulator does', async t => {
  t.same(rulesIn(pictures()), []);
  for (const [rule, packets, agreed] of CASES) t.same(rulesIn(packets, agreed), [rule], rule);
  t.same(rulesIn(Array.from({ length: 30 }, (_, at) => packet(at, at * 3600, NAL)), { ...AGREED, format: 'h264' }), [], 'an elementary stream that was agreed on is none');
  const covered = new Set(['tcp-interleaved', 'tcp-empty', 'tcp-desync', ...HABITS.flatMap(([, rules]) => rules), ...CASES.map(([rule]) => rule)]);
  t.same(MEDIA_RULES.map(({ id }) => id).filter(id => !covered.has(id)), [], 'every rule has a case');
});

/** As a connection carries them. */
const framed = (packets: readonly Uint8Array[], wrap: (packet: Uint8Array) => Uint8Array = plainFrame): Uint8Array[] => packets.map(wrap);
const plainFrame = (bytes: Uint8Array): Uint8Array => concatBytes(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes);
const rulesOver = (chunks: readonly Uint8Array[], fromStart = true): string[] => {
  const { packets, facts } = walkTcp(chunks, SSRC, 96, fromStart);
  return validateMedia(from(packets), AGREED, 'camera', facts).map(({ id }) => id).sort();
};

t.test('the framing of TCP, cut anywhere', async t => {
  const stream = concatBytes(...framed(pictures()));
  t.same(rulesOver([stream]), []);
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: stream.length - 1 }), { maxLength: 20 }), cuts => {
    const at = [0, ...cuts.sort((a, b) => a - b), stream.length];
    return rulesOver(at.slice(1).map((end, i) => stream.subarray(at[i], end))).length === 0;
  }));
  t.same(rulesOver(framed(pictures(), bytes => concatBytes(Uint8Array.of(0x24, 0), plainFrame(bytes)))), ['tcp-interleaved']);
  t.same(rulesOver(framed(pictures(), bytes => concatBytes(Uint8Array.of(0, 0), plainFrame(bytes)))), ['tcp-empty']);
  t.same(rulesOver([Uint8Array.of(0x17, 0x99, 0x31, 7, 7, 7), ...framed(pictures())]), ['tcp-desync'], 'stale octets in front');
  const middle = walkTcp([stream.subarray(40)], SSRC, 96, false);
  t.match(middle.facts, { strayBytes: 0, strayPlaces: 0 }, 'who begins to look in the middle of a frame blames nobody');
  t.equal(middle.packets.length, 29);
  t.equal(toByteString(plainFrame(middle.packets[0]!)), toByteString(stream.subarray(40 + middle.leadBytes, 40 + middle.leadBytes + 2 + middle.packets[0]!.length)));
});

t.test('numbers and timestamps that wrap are no fault', async t => {
  const wrapping = Array.from({ length: 40 }, (_, at) => packet((65_520 + at) & 0xffff, (2 ** 32 - 36_000 + at * 3600) >>> 0, picture(at)));
  t.same(rulesIn(wrapping), []);
  t.match(validateMedia(from([...wrapping.slice(0, 10), ...wrapping.slice(13)]), AGREED, 'camera'), [{ id: 'rtp-holes', detail: '3 of 40', by: 'camera' }]);
});

t.test('any octets: no exception, and bounded work', async () => {
  const seeds = pictures().slice(0, 4);
  fc.assert(fc.property(fc.array(fc.nat(), { maxLength: 30 }), picks => validateMedia(from(picks.map((seed, index) => inputAt(seeds, seed, index))), AGREED, 'x').every(({ detail }) => detail !== '')), { numRuns: 300 });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 4000 }), bytes => { const facts = newPsFacts(); walkPs(bytes, facts); return facts.packs.length <= bytes.length; }));
});
