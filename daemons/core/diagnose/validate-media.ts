/** Rules for the media of one leg: RTP against what was agreed on, and the program stream inside (GB/T 28181-2016 Annex C, RFC 3550, ISO/IEC 13818-1). */
import { type PsFacts, newPsFacts, walkPs } from './ps-walk.ts';
import { type Finding, Findings, type Rule } from './rule.ts';
import type { TcpFacts } from './tcp-walk.ts';
import { type RtpFacts, type SeenPacket, walkRtp } from './rtp-walk.ts';

/** What offer and answer say; undefined: not known, and then not judged. */
export interface Agreed {
  readonly ssrc: number | undefined;
  readonly payloadType: number | undefined;
  /** `address:port` that media was to come from. */
  readonly place: string | undefined;
  /** `ps`, or what the elementary stream is. */
  readonly format: string | undefined;
}

export interface MediaSubject {
  readonly rtp: RtpFacts;
  readonly ps: PsFacts;
  readonly agreed: Agreed;
  /** Undefined: it came in datagrams, or its framing was not seen. */
  readonly tcp: TcpFacts | undefined;
}

const GB_PS = 'GB/T 28181-2016 Annex C, ISO/IEC 13818-1';
/** Fewer pictures say nothing about a habit. */
const LEAST_PICTURES = 5;
const LEAST_PACKETS = 20;
/** Some senders mark sounds apart: markers are judged when a tenth of the pictures differs. */
const HABIT = 0.1;
const MAX_PTS_STEP = 900_000;
const MAX_PTS = 2 ** 33;
/** The clock of pictures and of sounds run alike; 8 kHz against 90 kHz is a ninth. */
const CLOCK_RATIO = 0.5;
const LEAST_SPAN = 45_000;

const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;
const counted = (count: number, what: string): string | undefined => (count > 0 ? `${count} ${what}` : undefined);

function otherSource({ rtp, agreed }: MediaSubject): string | undefined {
  const other = agreed.place === undefined ? undefined : [...rtp.sources].find(source => source !== agreed.place);
  return other === undefined ? undefined : `from ${other}, the answer names ${agreed.place}`;
}

function otherType({ rtp, agreed }: MediaSubject): string | undefined {
  const other = agreed.payloadType === undefined ? undefined : [...rtp.payloadTypes.keys()].find(type => type !== agreed.payloadType);
  return other === undefined ? undefined : `${other}, the answer says ${agreed.payloadType}`;
}

function otherSsrc({ rtp, agreed }: MediaSubject): string | undefined {
  const [first] = rtp.ssrcs;
  return first === undefined || agreed.ssrc === undefined || first === agreed.ssrc ? undefined : `${hex(first, 8)}, agreed on ${hex(agreed.ssrc, 8)} (y=${String(agreed.ssrc).padStart(10, '0')})`;
}

function markers({ rtp }: MediaSubject): string | undefined {
  if (rtp.pictures < LEAST_PICTURES) return undefined;
  if (rtp.unmarked > rtp.pictures * HABIT) return `${rtp.unmarked} of ${rtp.pictures} pictures end without it`;
  return rtp.markersInside > rtp.pictures * HABIT ? `${rtp.markersInside} inside of pictures` : undefined;
}

const isPs = ({ agreed, ps }: MediaSubject): boolean => (agreed.format ?? 'ps') === 'ps' && ps.packs.length > 0;
/** Rules for what is a program stream. */
const ps = (judge: (facts: PsFacts) => string | undefined) => (subject: MediaSubject): string | undefined => (isPs(subject) ? judge(subject.ps) : undefined);

function keysWithout(what: 'map' | 'systemHeader', name: string): (facts: PsFacts) => string | undefined {
  return ({ packs }) => {
    const keys = packs.filter(({ key }) => key);
    const without = keys.filter(pack => !pack[what]).length;
    return without > 0 ? `${without} of ${keys.length} key pictures without ${name}` : undefined;
  };
}

function ptsLeaps({ pts }: PsFacts): string | undefined {
  for (const [id, all] of pts) {
    for (let i = 1; i < all.length; i++) {
      const step = (all[i]! - all[i - 1]! + MAX_PTS) % MAX_PTS;
      // Pictures may stand in decoding order: a small step back is none.
      if (step > MAX_PTS_STEP && step < MAX_PTS - MAX_PTS_STEP) return `stream ${hex(id, 2)}: ${all[i - 1]} -> ${all[i]}`;
    }
  }
  return undefined;
}

function slowSound({ pts }: PsFacts): string | undefined {
  const span = (isOne: (id: number) => boolean): number => {
    const all = [...pts].find(([id]) => isOne(id))?.[1] ?? [];
    return all.length < 2 ? 0 : all.at(-1)! - all[0]!;
  };
  const [pictures, sounds] = [span(id => id >= 0xe0), span(id => id < 0xe0)];
  return pictures >= LEAST_SPAN && sounds > 0 && sounds < pictures * CLOCK_RATIO ? `sounds go on by ${sounds} ticks while pictures do by ${pictures}` : undefined;
}

export const MEDIA_RULES: readonly Rule<MediaSubject>[] = [
  { id: 'tcp-interleaved', clause: 'RFC 4571 2, GB/T 28181-2016 Annex L', severity: 'wrong', says: 'RTP over TCP with the framing of RTSP ($, channel, length)', broken: ({ tcp }) => counted(tcp?.interleavedFrames ?? 0, 'frames') },
  { id: 'tcp-empty', clause: 'RFC 4571 2', severity: 'loose', says: 'empty frames', broken: ({ tcp }) => counted(tcp?.emptyFrames ?? 0, 'frames') },
  { id: 'tcp-desync', clause: 'RFC 4571 2, GB/T 28181-2016 Annex L', severity: 'wrong', says: 'octets that belong to no frame', broken: ({ tcp }) => (tcp !== undefined && tcp.strayBytes > 0 ? `${tcp.strayBytes} octets in ${tcp.strayPlaces} places` : undefined) },
  { id: 'rtp-malformed', clause: 'RFC 3550 5.1', severity: 'wrong', says: 'packets that are no RTP', broken: ({ rtp }) => counted(rtp.malformed, 'packets') },
  { id: 'rtp-ssrc', clause: 'GB/T 28181-2016 Annex F (y field)', severity: 'wrong', says: 'the SSRC is not that of y=', broken: otherSsrc },
  { id: 'rtp-ssrc-changes', clause: 'RFC 3550 8', severity: 'loose', says: 'the SSRC changes within a session', broken: ({ rtp }) => (rtp.ssrcs.size > 1 ? [...rtp.ssrcs].slice(0, 4).map(ssrc => hex(ssrc, 8)).join(', ') : undefined) },
  { id: 'rtp-payload-type', clause: 'RFC 3264 6.1, GB/T 28181-2016 Annex C', severity: 'wrong', says: 'the payload type is not that of the answer', broken: otherType },
  { id: 'rtp-source', clause: 'RFC 4961, GB/T 28181-2016 Annex F (m field)', severity: 'loose', says: 'media comes from another place than the answer names', broken: otherSource },
  { id: 'rtp-holes', clause: 'RFC 3550 6.4.1', severity: 'wrong', says: 'sequence numbers that never came', broken: ({ rtp }) => counted(rtp.holes, `of ${rtp.packets + rtp.holes}`) },
  { id: 'rtp-order', clause: 'RFC 3550 5.1', severity: 'loose', says: 'packets out of order', broken: ({ rtp }) => counted(rtp.reordered, `of ${rtp.packets}`) },
  { id: 'rtp-repeats', clause: 'RFC 3550 5.1', severity: 'loose', says: 'packets that came before', broken: ({ rtp }) => counted(rtp.repeated, `of ${rtp.packets}`) },
  { id: 'rtp-marker', clause: 'RFC 3551 4.1, GB/T 28181-2022 Annex C', severity: 'loose', says: 'the marker does not stand on the last packet of a picture', broken: markers },
  { id: 'rtp-timestamp', clause: 'RFC 3550 5.1, GB/T 28181-2022 Annex C', severity: 'wrong', says: 'timestamps step back or leap', broken: ({ rtp }) => (rtp.leapCount > 0 ? `${rtp.leapCount} times, first ${rtp.leaps[0]}` : undefined) },
  { id: 'rtp-extension', clause: 'RFC 3550 5.3.1', severity: 'loose', says: 'header extensions, CSRCs or padding', broken: ({ rtp }) => counted(rtp.extended, `of ${rtp.packets} packets`) },
  { id: 'ps-missing', clause: GB_PS, severity: 'wrong', says: 'the payload is no program stream', broken: subject => ((subject.agreed.format ?? 'ps') === 'ps' && subject.ps.packs.length === 0 && subject.rtp.packets >= LEAST_PACKETS ? `no pack header in ${subject.rtp.packets} packets` : undefined) },
  { id: 'ps-pack-header', clause: `${GB_PS} 2.5.3.3`, severity: 'wrong', says: 'pack headers that are cut or broken', broken: ps(({ badPackHeaders, packs }) => counted(badPackHeaders, `of ${packs.length} packs`)) },
  { id: 'ps-no-map', clause: `${GB_PS} 2.5.4`, severity: 'wrong', says: 'key picture without a program stream map', broken: ps(keysWithout('map', 'a map')) },
  { id: 'ps-system-header', clause: `${GB_PS} 2.5.3.5`, severity: 'loose', says: 'key picture without a system header', broken: ps(keysWithout('systemHeader', 'a system header')) },
  { id: 'ps-map-broken', clause: `${GB_PS} 2.5.4.1`, severity: 'wrong', says: 'program stream maps that cannot be read', broken: ps(({ badMaps }) => counted(badMaps, 'maps')) },
  { id: 'ps-map-crc', clause: `${GB_PS} 2.5.4.2`, severity: 'loose', says: 'CRC of the program stream map is wrong', broken: ps(({ badCrcs, maps }) => counted(badCrcs, `of ${maps} maps`)) },
  { id: 'ps-map-changes', clause: `${GB_PS} 2.5.4.2`, severity: 'wrong', says: 'maps say different things in turn', broken: ps(({ mapped }) => (mapped.size > 1 ? [...mapped].slice(0, 3).join(', then ') : undefined)) },
  { id: 'ps-codec', clause: `${GB_PS} 2.5.4.2`, severity: 'wrong', says: 'the map names another codec than comes', broken: ps(({ lies }) => (lies.size > 0 ? `the map says ${[...lies].join(', ')}` : undefined)) },
  { id: 'ps-unmapped', clause: `${GB_PS} 2.5.4.2`, severity: 'wrong', says: 'streams that the map does not name', broken: ps(({ unmapped }) => (unmapped.size > 0 ? [...unmapped].map(id => hex(id, 2)).join(', ') : undefined)) },
  { id: 'ps-private', clause: `${GB_PS} 2.4.3.7`, severity: 'loose', says: 'private or padding packets between pictures', broken: ps(({ privatePackets }) => counted(privatePackets, 'packets')) },
  { id: 'ps-length-zero', clause: `${GB_PS} 2.4.3.7`, severity: 'wrong', says: 'PES_packet_length is zero, which only a transport stream may say', broken: ps(({ zeroLengths, pesPackets }) => counted(zeroLengths, `of ${pesPackets} packets`)) },
  { id: 'ps-length', clause: `${GB_PS} 2.4.3.7`, severity: 'wrong', says: 'PES_packet_length is not where the packet ends', broken: ps(({ wrongLengths, pesPackets }) => counted(wrongLengths, `of ${pesPackets} packets`)) },
  { id: 'ps-pes-header', clause: `${GB_PS} 2.4.3.6`, severity: 'wrong', says: 'PES headers that cannot be read', broken: ps(({ badPesHeaders }) => counted(badPesHeaders, 'packets')) },
  { id: 'ps-pts', clause: `${GB_PS} 2.4.3.7`, severity: 'wrong', says: 'PTS leaps', broken: ps(ptsLeaps) },
  { id: 'ps-sound-clock', clause: `${GB_PS} 2.4.3.7`, severity: 'wrong', says: 'PTS of sounds do not count 90 kHz', broken: ps(slowSound) },
];

/** Packets of one leg in the order in which they came. `by`: who sent them; `tcp`: what their framing was like. */
export function validateMedia(packets: readonly SeenPacket[], agreed: Agreed, by: string, tcp?: TcpFacts): Finding[] {
  const rtp = walkRtp(packets);
  const facts = newPsFacts();
  for (const run of rtp.runs) walkPs(run, facts);
  const findings = new Findings();
  findings.check(MEDIA_RULES, { rtp, ps: facts, agreed, tcp }, by);
  return findings.list();
}
