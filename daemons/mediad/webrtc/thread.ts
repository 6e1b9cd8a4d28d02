/**
 * The thread that speaks WebRTC: one UDP port for all viewers, werift and everything that it parses. What goes wrong in here ends this
 * thread and its viewers, never the relay (host.ts starts it anew).
 */
import { parentPort, workerData } from 'node:worker_threads';
import { RTCDtlsTransport, type RTCCertificate } from 'werift';
import { addMs } from '#core/units.ts';
import type { SentTrack } from '#core/webrtc/answer.ts';
import { localFragmentOf } from '#core/webrtc/ice-lite.ts';
import { parseWhepOffer, pickAudio, pickH264, type WhepOffer } from '#core/webrtc/offer.ts';
import { isStun } from '#core/webrtc/stun.ts';
import { systemClock as clock } from '#kit/clock.ts';
import { systemRandom as random } from '#kit/random.ts';
import { openDgramUdp } from '#kit/udp-dgram.ts';
import { DatagramBatch, type UdpPort } from '#kit/udp-port.ts';
import type { FromThread, RtcThreadData, ToThread } from './messages.ts';
import { Peer } from './peer.ts';

const TICK_MS = 250;
const STATS_EVERY_TICKS = 8;
const RECEIVE_BUFFER_BYTES = 1024 * 1024;
const SEND_BUFFER_BYTES = 4 * 1024 * 1024;

class RtcThread {
  readonly #udp: UdpPort;
  readonly #certificate: RTCCertificate;
  readonly #candidate: string;
  readonly #peers = new Map<string, Peer>();
  readonly #byFragment = new Map<string, Peer>();
  readonly #byAddress = new Map<string, Peer>();
  readonly #counters = new Map<string, number>();
  readonly #batch = new DatagramBatch();
  #ticks = 0;

  private constructor(udp: UdpPort, certificate: RTCCertificate, candidate: string) {
    this.#udp = udp;
    this.#certificate = certificate;
    this.#candidate = candidate;
    this.#tick();
  }

  static async open({ address, candidate, port }: RtcThreadData): Promise<void> {
    const certificate = await RTCDtlsTransport.SetupCertificate();
    const told: { thread?: RtcThread } = {};
    const udp = await openDgramUdp({ address, port, receiveBufferBytes: RECEIVE_BUFFER_BYTES, sendBufferBytes: SEND_BUFFER_BYTES, onBatch: batch => told.thread?.onBatch(batch), onError: () => undefined });
    const thread = new RtcThread(udp, certificate, candidate);
    told.thread = thread;
    parentPort!.on('message', (message: ToThread) => thread.onMessage(message));
    tell({ type: 'ready', port: udp.port });
  }

  onMessage(message: ToThread): void {
    switch (message.type) {
      case 'open':
        return this.#open(message);
      case 'burst':
        return this.#peers.get(message.id)?.give(message.units, true);
      case 'unit':
        return this.#peers.get(message.id)?.give([message.unit], false);
      case 'close':
        return this.#peers.get(message.id)?.close(message.why);
      case 'ping':
        return this.#report();
    }
  }

  onBatch(batch: DatagramBatch): void {
    const now = clock.now();
    for (let i = 0; i < batch.count; i++) {
      const bytes = batch.memory[i]!.subarray(batch.offset[i], batch.offset[i]! + batch.length[i]!);
      const from = { address: batch.address[i]!, port: batch.port[i]! };
      const key = `${from.address} ${from.port}`;
      if (!isStun(bytes)) {
        const peer = this.#byAddress.get(key);
        if (peer === undefined) this.#count('webrtc.dropped.nobody');
        else peer.onDatagram(bytes);
        continue;
      }
      const peer = this.#byFragment.get(localFragmentOf(bytes) ?? '');
      if (peer === undefined) this.#count('webrtc.dropped.nobody');
      else if (peer.onCheck(bytes, from, now)) this.#byAddress.set(key, peer);
    }
  }

  #open({ id, offer: text, profileIdc, audio }: Extract<ToThread, { type: 'open' }>): void {
    const offer = parseWhepOffer(text);
    if (!offer.ok) return tell({ type: 'refused', id, why: offer.error.why });
    const tracks = chooseTracks(offer.value, profileIdc, audio);
    if (!tracks.some(({ kind }) => kind === 'video') && profileIdc !== null) return tell({ type: 'refused', id, why: 'the offer takes no H.264 in packetization mode 1' });
    if (tracks.length === 0) return tell({ type: 'refused', id, why: 'the offer takes nothing that the channel has' });
    const peer = new Peer({
      id,
      offer: offer.value,
      tracks,
      address: this.#candidate,
      port: this.#udp.port,
      certificate: this.#certificate,
      clock,
      random,
      send: (bytes, to) => this.#send(bytes, to.address, to.port),
      count: name => this.#count(name),
      onConnected: remote => tell({ type: 'connected', id, remote }),
      onKeyFrameWanted: () => tell({ type: 'key-frame-wanted', id }),
      onClosed: why => this.#closed(peer, why),
    });
    this.#peers.set(id, peer);
    this.#byFragment.set(peer.iceFragment, peer);
    tell({ type: 'opened', id, answer: peer.answer() });
  }

  #closed(peer: Peer, why: string): void {
    this.#peers.delete(peer.id);
    this.#byFragment.delete(peer.iceFragment);
    for (const [key, other] of this.#byAddress) if (other === peer) this.#byAddress.delete(key);
    tell({ type: 'closed', id: peer.id, why });
  }

  #send(bytes: Uint8Array, address: string, port: number): void {
    this.#batch.count = 0;
    this.#batch.add(bytes, 0, bytes.length, address, port);
    this.#udp.send(this.#batch);
  }

  #tick(): void {
    const now = clock.now();
    for (const peer of [...this.#peers.values()]) peer.tick(now);
    this.#ticks += 1;
    if (this.#ticks % STATS_EVERY_TICKS === 0) this.#report();
    clock.schedule(addMs(now, TICK_MS), () => this.#tick());
  }

  #report(): void {
    const peers = [...this.#peers.values()];
    const sessions = peers.map(({ id, sender }) => ({ id, sentBytes: sender.sentBytes, droppedUnits: sender.droppedUnits }));
    tell({ type: 'stats', sessions, counters: { ...Object.fromEntries(this.#counters), 'webrtc.repeated-packets': peers.reduce((sum, { sender }) => sum + sender.repeated, 0) } });
  }

  #count(name: string): void {
    this.#counters.set(name, (this.#counters.get(name) ?? 0) + 1);
  }
}

function chooseTracks(offer: WhepOffer, profileIdc: number | null, audio: string | null): SentTrack[] {
  const tracks: SentTrack[] = [];
  for (const media of offer.media) {
    if (!media.receives || media.kind === 'other' || tracks.some(({ kind }) => kind === media.kind)) continue;
    const payload = media.kind === 'video' ? (profileIdc === null ? undefined : pickH264(media, profileIdc)) : audio === 'g711a' || audio === 'g711u' ? pickAudio(media, audio) : undefined;
    if (payload !== undefined) tracks.push({ mid: media.mid, kind: media.kind, payload, ssrc: random.int(2 ** 32) });
  }
  return tracks;
}

const tell = (message: FromThread): void => parentPort!.postMessage(message);

await RtcThread.open(workerData as RtcThreadData);
