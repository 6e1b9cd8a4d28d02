/** TLS 1.3 between two nodes that were paired: each side shows its certificate, and takes that of the other node and no other. */
import { type ConnectionOptions, type DetailedPeerCertificate, type PeerCertificate, type TLSSocket, type TlsOptions, connect } from 'node:tls';
import type { PairTrust } from './pair-trust.ts';

const ANSWER_MS = 2000;

/** Of the pair's own authority: no other is believed. */
const ours = ({ authority, certificate, key }: PairTrust): Pick<TlsOptions, 'ca' | 'cert' | 'key' | 'minVersion'> => ({ ca: [authority], cert: certificate, key, minVersion: 'TLSv1.3' });

/** Half-open: who has said everything may still be answered. */
export const peerServerOptions = (trust: PairTrust, handshakeTimeoutMs: number): TlsOptions => ({ ...ours(trust), requestCert: true, rejectUnauthorized: true, handshakeTimeout: handshakeTimeoutMs, allowHalfOpen: true });

const isNamed = (certificate: PeerCertificate | DetailedPeerCertificate | undefined, name: string): boolean => certificate?.subject?.CN === name;

/** After the handshake: whether it is the other node. */
export const isPeer = (socket: TLSSocket, { peer }: PairTrust): boolean => socket.authorized && isNamed(socket.getPeerCertificate(), peer);

export interface PeerPlace {
  readonly host: string;
  readonly port: number;
  /** The other node takes nobody from elsewhere. */
  readonly localAddress: string;
}

/** Whether the other node answers there, and is the other node. */
export function answers(trust: PairTrust, place: PeerPlace): Promise<boolean> {
  const socket = dialPeer(trust, place).setTimeout(ANSWER_MS);
  return new Promise<boolean>(resolve => {
    socket.once('secureConnect', () => resolve(true)).once('timeout', () => resolve(false)).once('error', () => resolve(false));
  }).finally(() => socket.destroy());
}

/** Emits `secureConnect` when it is the other node that answers there, else `error`. */
export function dialPeer(trust: PairTrust, place: PeerPlace): TLSSocket {
  const { peer } = trust;
  const options: ConnectionOptions & PeerPlace & { readonly allowHalfOpen: true } = {
    ...ours(trust),
    ...place,
    allowHalfOpen: true,
    checkServerIdentity: (_host, certificate) => (isNamed(certificate, peer) ? undefined : new Error(`not the certificate of ${peer}`)),
  };
  return connect(options).setNoDelay(true);
}
