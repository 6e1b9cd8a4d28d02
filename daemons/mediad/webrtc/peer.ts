/**
 * One WHEP viewer in the thread that speaks WebRTC.
 *
 *   checking ──ICE check──► handshaking ──DTLS done, certificate as offered──► sending
 *      │ 15 s without a check    │ 10 s                                          │ 30 s without a check, alert, BYE
 *      └─────────────────────────┴──────────────► closed ◄────────────────────────┘
 */
import { createHmac } from 'node:crypto';
import type { RTCCertificate } from 'werift';
import type { MediaUnit } from '#core/media/unit.ts';
import { addMs, type Ms } from '#core/units.ts';
import { buildWhepAnswer, type SentTrack } from '#core/webrtc/answer.ts';
import { parseFeedback } from '#core/webrtc/feedback.ts';
import { type IceAddress, IceLite } from '#core/webrtc/ice-lite.ts';
import type { WhepOffer } from '#core/webrtc/offer.ts';
import type { Clock } from '#kit/clock.ts';
import type { Random } from '#kit/random.ts';
import { SrtpPath } from './srtp-path.ts';
import { TrackSender } from './track-sender.ts';

const HANDSHAKE_MS = 10_000;
/** A viewer that wants key frames all the time gets one a second. */
const KEY_FRAME_EVERY_MS = 1000;

export interface PeerOptions {
  readonly id: string;
  readonly offer: WhepOffer;
  readonly tracks: readonly SentTrack[];
  readonly address: string;
  readonly port: number;
  readonly certificate: RTCCertificate;
  readonly clock: Clock;
  readonly random: Random;
  send(bytes: Uint8Array, to: IceAddress): void;
  count(name: string): void;
  onConnected(remote: string): void;
  onKeyFrameWanted(): void;
  onClosed(why: string): void;
}

export class Peer {
  readonly id: string;
  readonly iceFragment: string;
  readonly ice: IceLite;
  readonly sender: TrackSender;
  readonly #options: PeerOptions;
  readonly #password: string;
  readonly #path: SrtpPath;
  readonly #openedAt: Ms;
  #askedAt = -Infinity as Ms;
  #closed = false;

  constructor(options: PeerOptions) {
    const { id, offer, tracks, clock, random, certificate } = options;
    this.id = id;
    this.#options = options;
    this.#openedAt = clock.now();
    this.iceFragment = random.hex(4);
    this.#password = random.hex(16);
    const password = this.#password;
    this.ice = new IceLite(this.iceFragment, offer.iceFragment, bytes => createHmac('sha1', password).update(bytes).digest(), this.#openedAt);
    this.#path = new SrtpPath({
      certificate,
      fingerprints: offer.fingerprints,
      send: bytes => this.#send(bytes),
      onConnected: () => options.onConnected(this.#remote),
      onClosed: why => this.close(why),
    });
    this.sender = new TrackSender({ tracks, clock, random, protect: packet => this.#path.protect(packet), protectRtcp: packet => this.#path.protectRtcp(packet), send: bytes => this.#send(bytes) });
  }

  answer(): string {
    const { offer, tracks, address, port, certificate, random } = this.#options;
    const [fingerprint] = certificate.getFingerprints();
    return buildWhepAnswer({ offer, tracks, sessionId: String(random.int(2 ** 32)), address, port, iceFragment: this.iceFragment, icePassword: this.#password, fingerprint: `${fingerprint!.algorithm} ${fingerprint!.value}` });
  }

  /** True when the check is good: datagrams from there are of this viewer. */
  onCheck(datagram: Uint8Array, from: IceAddress, now: Ms): boolean {
    const answer = this.ice.onCheck(datagram, from, now);
    if (answer.ok) this.#options.send(answer.value, from);
    else this.#options.count('webrtc.dropped.check');
    return answer.ok;
  }

  onDatagram(datagram: Uint8Array): void {
    const { verdict, feedback } = this.#path.take(datagram);
    if (verdict !== 'taken') this.#options.count(`webrtc.dropped.${verdict}`);
    if (feedback !== undefined) this.#onFeedback(feedback);
  }

  give(units: readonly MediaUnit[], isBurst: boolean): void {
    if (!this.#path.connected || this.#closed) return;
    if (isBurst) this.sender.burst(units);
    else for (const unit of units) this.sender.unit(unit);
  }

  tick(now: Ms): void {
    if (now >= this.ice.deadline) return this.close(this.ice.selected === undefined ? 'the viewer never came' : 'the viewer is gone');
    if (!this.#path.connected && now >= addMs(this.#openedAt, HANDSHAKE_MS)) return this.close('no DTLS handshake in time');
    if (this.#path.connected) this.sender.tick(now);
  }

  close(why: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#path.close();
    this.sender.close();
    this.#options.onClosed(why);
  }

  get #remote(): string {
    const { selected } = this.ice;
    return selected === undefined ? '' : `${selected.address}:${selected.port}`;
  }

  #onFeedback(bytes: Uint8Array): void {
    const { clock, count, onKeyFrameWanted } = this.#options;
    const feedback = parseFeedback(bytes);
    if (!feedback.ok) return count('webrtc.dropped.feedback');
    const { nacks, keyFrameWanted, goodbye } = feedback.value;
    if (nacks.length > 0) this.sender.repeat(nacks);
    const now = clock.now();
    if (keyFrameWanted && now - this.#askedAt >= KEY_FRAME_EVERY_MS) {
      this.#askedAt = now;
      onKeyFrameWanted();
    }
    if (goodbye) count('webrtc.goodbyes');
  }

  #send(bytes: Uint8Array): void {
    if (this.ice.selected !== undefined) this.#options.send(bytes, this.ice.selected);
  }
}
