/** One live picture as RTP packets in real time: footage in a loop, time stamps and sequence going on. */
import type { AudioCodec } from '#core/media/audio.ts';
import { PsMuxer } from '#core/ps/mux.ts';
import { RtpSlicer } from '#core/ps/rtp-slicer.ts';
import { type Packetizer, openPacketizer } from '#core/rtp/elementary.ts';
import type { Random } from '#kit/random.ts';
import type { LoadedFootage } from '../../media/footage.ts';
import { PacketQuirks } from './packet-quirks.ts';
import { distortPack } from './ps-quirks.ts';
import type { Quirks } from './quirks.ts';

const RESTART_AFTER_S = 3;
const WRAP_32 = 2 ** 32;
const WRAP_LEAD_S = 4;
const MAX_BIG_PAYLOAD_BYTES = 60_000;
/** Six minutes, which is longer than anybody measures. */
const MAX_SENT = 9000;
/** Into a group of pictures, so that the first one cannot be decoded. */
const MID_GROUP_PICTURE = 7;

export interface StreamOptions {
  readonly footage: LoadedFootage;
  readonly ssrc: number;
  readonly payloadType: number;
  readonly quirks: Quirks;
  readonly random: Random;
  /** TCP: large payloads are possible. */
  readonly overTcp: boolean;
  readonly maxPayloadBytes?: number | undefined;
}

export interface SentPicture {
  readonly pts90k: number;
  /** Which picture of the footage. */
  readonly index: number;
}

export class CameraStream {
  /** The first MAX_SENT pictures. */
  readonly sent: SentPicture[] = [];
  readonly #options: StreamOptions;
  readonly #muxer: PsMuxer;
  readonly #mapless: PsMuxer;
  readonly #packetQuirks: PacketQuirks;
  readonly #packetizer: Packetizer | undefined;
  readonly #pts0: number;
  #slicer: RtpSlicer;
  #timestampOffset: number;
  #picture: number;
  #pictures = 0;
  #audioFrames = 0;
  #keyFrames = 0;
  #restarted = false;

  constructor(options: StreamOptions) {
    const { footage, quirks, random } = options;
    this.#options = options;
    const audio: AudioCodec | undefined = quirks.has('aac-as-g711') && footage.audioCodec === 'aac' ? 'g711a' : footage.audioCodec;
    const tracks = { video: footage.videoCodec, ...(audio === undefined ? {} : { audio }) };
    this.#muxer = new PsMuxer({ ...tracks, map: !quirks.has('no-psm') });
    this.#mapless = new PsMuxer({ ...tracks, map: false });
    this.#packetizer = quirks.has('elementary') ? openPacketizer(footage.videoCodec) : undefined;
    this.#packetQuirks = new PacketQuirks(quirks, options.overTcp);
    this.#pts0 = quirks.has('pts-wrap') ? WRAP_32 - WRAP_LEAD_S * 90000 : random.int(2 ** 31);
    this.#timestampOffset = 0;
    this.#slicer = this.#newSlicer(options.ssrc);
    this.#picture = quirks.has('starts-mid-gop') ? MID_GROUP_PICTURE : 0;
  }

  /** Pictures sent so far. */
  get pictures(): number {
    return this.#pictures;
  }

  /** When the next picture or sound is due, in ms after the start of the stream. */
  get nextDueMs(): number {
    const { footage } = this.#options;
    const picture = this.#pictures * footage.ticksPerPicture90k;
    const audio = footage.audioFrames.length === 0 ? Infinity : this.#audioFrames * footage.ticksPerAudioFrame90k;
    return Math.min(picture, audio) / 90;
  }

  /** The next picture is one that decoding can begin with. */
  requestKeyFrame(): void {
    const { pictures } = this.#options.footage;
    for (let ahead = 0; ahead < pictures.length; ahead += 1) {
      const at = (this.#picture + ahead) % pictures.length;
      if (pictures[at]!.keyFrame) {
        this.#picture = at;
        return;
      }
    }
  }

  /** Goes on at another place of the recording, with a picture that decoding can begin with. */
  seek(elapsedMs: number): void {
    const { footage } = this.#options;
    this.#pictures = Math.ceil((elapsedMs * 90) / footage.ticksPerPicture90k);
    this.#audioFrames = footage.audioFrames.length === 0 ? 0 : Math.ceil((elapsedMs * 90) / footage.ticksPerAudioFrame90k);
    this.requestKeyFrame();
  }

  /** One picture that can be shown by itself, of that place: what a camera sends backwards. */
  single(elapsedMs: number): Uint8Array[] {
    this.requestKeyFrame();
    return this.#nextPicture(elapsedMs * 90);
  }

  /** Packets of everything that is due `elapsedMs` after the start. */
  due(elapsedMs: number): Uint8Array[] {
    const packets: Uint8Array[] = [];
    while (this.nextDueMs <= elapsedMs) packets.push(...this.#next());
    return packets;
  }

  #next(): Uint8Array[] {
    const { footage } = this.#options;
    const pictureAt = this.#pictures * footage.ticksPerPicture90k;
    const audioAt = this.#audioFrames * footage.ticksPerAudioFrame90k;
    return footage.audioFrames.length > 0 && audioAt < pictureAt ? this.#nextAudio(audioAt) : this.#nextPicture(pictureAt);
  }

  #nextPicture(at90k: number): Uint8Array[] {
    const { footage, quirks, ssrc } = this.#options;
    if (quirks.has('ssrc-restart') && !this.#restarted && at90k >= RESTART_AFTER_S * 90000) this.#restart(ssrc);
    const { bytes, keyFrame } = footage.pictures[this.#picture]!;
    if (this.sent.length < MAX_SENT) this.sent.push({ pts90k: this.#pts(at90k), index: this.#picture });
    this.#picture = (this.#picture + 1) % footage.pictures.length;
    this.#pictures += 1;
    if (keyFrame) this.#keyFrames += 1;
    if (this.#packetizer !== undefined) return this.#elementary(this.#packetizer, bytes, keyFrame, this.#pts(at90k));
    const muxer = quirks.has('late-psm') && this.#keyFrames < 3 ? this.#mapless : this.#muxer;
    const pack = muxer.video({ bytes, keyFrame, pts90k: this.#pts(at90k) });
    return this.#slice(distortPack(pack, quirks, this.#keyFrames), at90k);
  }

  #elementary(packetizer: Packetizer, bytes: Uint8Array, keyFrame: boolean, pts90k: number): Uint8Array[] {
    const unit = { kind: 'video', codec: this.#options.footage.videoCodec, pts90k, dts90k: pts90k, keyFrame, damaged: false, bytes } as const;
    return this.#packetQuirks.apply(packetizer.packets(unit).flatMap(({ payload, marker, timestamp }) => this.#slicer.slice(payload, timestamp + this.#timestampOffset, marker)));
  }

  #nextAudio(at90k: number): Uint8Array[] {
    const { footage, quirks } = this.#options;
    const { bytes } = footage.audioFrames[this.#audioFrames % footage.audioFrames.length]!;
    const isFirst = this.#audioFrames < 3;
    this.#audioFrames += 1;
    const pts90k = quirks.has('sample-clock') ? Math.round(this.#pts(at90k) / 11.25) : this.#pts(at90k);
    if (this.#packetizer !== undefined) return [];
    const packets = this.#muxer.audio({ bytes, pts90k });
    if (quirks.has('first-audio-timestamp-zero') && isFirst) return this.#packetQuirks.apply(this.#slicer.slice(packets, 0));
    return this.#slice(packets, at90k);
  }

  #pts(at90k: number): number {
    const pts90k = Math.round(this.#pts0 + at90k);
    return this.#options.quirks.has('pts-wrap') ? pts90k % WRAP_32 : pts90k;
  }

  #slice(bytes: Uint8Array, at90k: number): Uint8Array[] {
    const { quirks } = this.#options;
    const marker = !quirks.has('marker-never');
    return this.#packetQuirks.apply(this.#slicer.slice(bytes, this.#pts(at90k) + this.#timestampOffset, marker));
  }

  #newSlicer(ssrc: number): RtpSlicer {
    const { payloadType, quirks, random, overTcp, maxPayloadBytes } = this.#options;
    const payloadBytes = overTcp && quirks.has('big-frames') ? MAX_BIG_PAYLOAD_BYTES : maxPayloadBytes;
    return new RtpSlicer({ ssrc, payloadType, firstSequence: random.int(0x10000), ...(payloadBytes === undefined ? {} : { maxPayloadBytes: payloadBytes }) });
  }

  #restart(ssrc: number): void {
    this.#restarted = true;
    this.#slicer = this.#newSlicer((ssrc ^ 0x5a5a5a) >>> 0);
    this.#timestampOffset = this.#options.random.int(2 ** 31);
    this.requestKeyFrame();
  }
}
