/**
 * Keys and their use: DTLS as the server, then SRTP and SRTCP, all by werift. What comes from the far end is checked here first, in
 * bounded work: records of DTLS by their headers; RTP is not for us and goes no further; RTCP must have whole headers (fault 51).
 */
import { createHash } from 'node:crypto';
import { DtlsServer, keyLength, type RTCCertificate, RtpHeader, saltLength, SrtcpSession, type SrtpProfile, SrtpSession } from 'werift';
import { isRtcp, readUint16 } from '#core/rtp/packet.ts';
import type { WhepOffer } from '#core/webrtc/offer.ts';

/** AEAD_AES_128_GCM first: one pass over each packet (RFC 7714), then AES128_CM_HMAC_SHA1_80. */
const PROFILES: SrtpProfile[] = [7, 1];
const RECORD_HEADER_BYTES = 13;
const MAX_RECORDS = 16;
const MAX_DTLS_BYTES = 2048;
/** Of a whole session: a handshake with repetitions, and alerts. */
const MAX_DTLS_DATAGRAMS = 200;
/** SSRC and the rest of the first header, SRTCP index and tag. */
const LEAST_SRTCP_BYTES = 8 + 4 + 10;
const MAX_SRTCP_BYTES = 1500;

export interface SrtpPathOptions {
  readonly certificate: RTCCertificate;
  readonly fingerprints: WhepOffer['fingerprints'];
  send(bytes: Uint8Array): void;
  onConnected(): void;
  onClosed(why: string): void;
}

export type DatagramVerdict = 'taken' | 'rtp-refused' | 'malformed' | 'too-many' | 'unknown';

/** Whole records of DTLS 1.0 and later, and nothing else (RFC 6347 4.1). */
export function isDtlsDatagram(bytes: Uint8Array): boolean {
  if (bytes.length > MAX_DTLS_BYTES) return false;
  let records = 0;
  for (let at = 0; at < bytes.length; records += 1) {
    if (records >= MAX_RECORDS || at + RECORD_HEADER_BYTES > bytes.length) return false;
    const type = bytes[at]!;
    if (type < 20 || type > 25 || bytes[at + 1] !== 0xfe) return false;
    at += RECORD_HEADER_BYTES + readUint16(bytes, at + 11);
    if (at > bytes.length) return false;
  }
  return records > 0;
}

export class SrtpPath {
  readonly #options: SrtpPathOptions;
  readonly #dtls: DtlsServer;
  readonly #transport: { type: string; address: { address: string; family: string; port: number }; closed: boolean; onData: (data: Buffer, from: never) => void; send: (data: Buffer) => Promise<void>; close: () => Promise<void> };
  #srtp: SrtpSession | undefined;
  #srtcp: SrtcpSession | undefined;
  #dtlsDatagrams = 0;
  #closed = false;

  constructor(options: SrtpPathOptions) {
    this.#options = options;
    const { certificate } = options;
    this.#transport = {
      type: 'udp',
      address: { address: '0.0.0.0', family: 'IPv4', port: 0 },
      closed: false,
      onData: () => undefined,
      send: async data => options.send(data),
      close: async () => undefined,
    };
    this.#dtls = new DtlsServer({ cert: certificate.certPem, key: certificate.privateKey, signatureHash: certificate.signatureHash, transport: this.#transport as never, srtpProfiles: PROFILES, extendedMasterSecret: true, certificateRequest: true });
    this.#dtls.onConnect.once(() => this.#onConnected());
    this.#dtls.onError.subscribe(error => this.#end(`DTLS: ${error.message}`));
    this.#dtls.onClose.subscribe(() => this.#end('the viewer closed'));
  }

  get connected(): boolean {
    return this.#srtp !== undefined;
  }

  /** A datagram that is no STUN. Bytes of RTCP that are authentic come back in `feedback`. */
  take(bytes: Uint8Array): { readonly verdict: DatagramVerdict; readonly feedback?: Uint8Array } {
    const first = bytes[0] ?? 0;
    if (first >= 20 && first <= 63) return { verdict: this.#takeDtls(bytes) };
    if (first < 128 || first > 191) return { verdict: 'unknown' };
    if (!isRtcp(bytes, 0, bytes.length)) return { verdict: 'rtp-refused' };
    if (this.#srtcp === undefined || bytes.length < LEAST_SRTCP_BYTES || bytes.length > MAX_SRTCP_BYTES) return { verdict: 'malformed' };
    try {
      return { verdict: 'taken', feedback: this.#srtcp.decrypt(Buffer.from(bytes)) };
    } catch {
      // Not under our keys.
      return { verdict: 'malformed' };
    }
  }

  /** One RTP packet with a plain header of 12 bytes, under the keys. */
  protect(packet: Uint8Array): Buffer {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
    const header = new RtpHeader({
      payloadType: view.getUint8(1) & 0x7f,
      marker: (view.getUint8(1) & 0x80) !== 0,
      sequenceNumber: view.getUint16(2),
      timestamp: view.getUint32(4),
      ssrc: view.getUint32(8),
    });
    return this.#srtp!.encrypt(Buffer.from(packet.buffer, packet.byteOffset + 12, packet.length - 12), header);
  }

  protectRtcp(packet: Uint8Array): Buffer {
    return this.#srtcp!.encrypt(Buffer.from(packet));
  }

  close(): void {
    this.#closed = true;
  }

  #takeDtls(bytes: Uint8Array): DatagramVerdict {
    if (++this.#dtlsDatagrams > MAX_DTLS_DATAGRAMS) return 'too-many';
    if (!isDtlsDatagram(bytes)) return 'malformed';
    try {
      this.#transport.onData(Buffer.from(bytes), undefined as never);
      return 'taken';
    } catch {
      // A record whose inside cannot be read.
      return 'malformed';
    }
  }

  #onConnected(): void {
    if (this.#closed) return;
    const certificate = this.#dtls.remoteCertificate;
    const isTheirs = certificate !== undefined && this.#options.fingerprints.some(({ algorithm, value }) => createHash(algorithm.replace('-', '')).update(certificate).digest('hex').toUpperCase() === value.replaceAll(':', ''));
    if (!isTheirs) return this.#end('the certificate is not the one of the offer');
    const profile = this.#dtls.srtp.srtpProfile;
    if (profile === undefined) return this.#end('no SRTP profile in common');
    const { localKey, localSalt, remoteKey, remoteSalt } = this.#dtls.extractSessionKeys(keyLength(profile), saltLength(profile));
    const config = { keys: { localMasterKey: localKey, localMasterSalt: localSalt, remoteMasterKey: remoteKey, remoteMasterSalt: remoteSalt }, profile };
    this.#srtp = new SrtpSession(config);
    this.#srtcp = new SrtcpSession(config);
    this.#options.onConnected();
  }

  #end(why: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.onClosed(why);
  }
}
