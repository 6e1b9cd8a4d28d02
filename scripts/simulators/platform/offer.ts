/** SDP of the platform's INVITE: correct first, then as asked for. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { buildOffer } from '#core/sdp/build.ts';
import { parseFLine } from '#core/sdp/f-line.ts';
import { H264_PAYLOAD, H265_PAYLOAD, PS_PAYLOAD } from '#core/sdp/negotiate.ts';
import type { Mischiefs } from './mischief.ts';
import type { PlayTransport } from './receivers.ts';

/** TEST-NET-3: nobody's address (RFC 5737). */
const FOREIGN_ADDRESS = '203.0.113.99';
const PCMA_PAYLOAD = { payloadType: 8, encoding: 'PCMA', clockRate: 8000 };
const EXTRA_PAYLOADS = [
  { payloadType: 97, encoding: 'MPEG4', clockRate: 90000 },
  { payloadType: 98, encoding: 'H264', clockRate: 90000 },
  { payloadType: 100, encoding: 'H265', clockRate: 90000 },
];

/** What is asked for in place of the live picture. */
export interface HistoryAsked {
  /** Unix seconds. */
  readonly startS: number;
  readonly stopS: number;
  /** A download, at this multiple of real time. */
  readonly downloadSpeed?: number;
}

export interface OfferFacts {
  /** For u=. */
  readonly channelId: string;
  readonly history: HistoryAsked | undefined;
  readonly platformId: string;
  readonly address: string;
  readonly port: number;
  readonly transport: PlayTransport;
  readonly ssrc: number;
  readonly f: string | undefined;
}

export function writeOffer({ channelId, history, platformId, address, port, transport, ssrc, f }: OfferFacts, mischief: Mischiefs): Uint8Array {
  const declared = mischief.has('third-party-address') ? FOREIGN_ADDRESS : mischief.has('unspecified-address') ? '0.0.0.0' : address;
  const payloads = mischief.has('audio-only') ? [PCMA_PAYLOAD] : mischief.has('h264-only') ? [H264_PAYLOAD] : mischief.has('elementary') ? [H264_PAYLOAD, H265_PAYLOAD] : mischief.has('many-payloads') ? [PS_PAYLOAD, ...EXTRA_PAYLOADS] : [PS_PAYLOAD];
  const declaredPort = mischief.has('zero-port') ? 0 : mischief.has('odd-port') ? port | 1 : port;
  const asked =
    history === undefined
      ? ({ sessionName: 'Play' } as const)
      : { sessionName: history.downloadSpeed === undefined ? ('Playback' as const) : ('Download' as const), uri: `${channelId}:0`, time: history, downloadSpeed: history.downloadSpeed };
  const correct = buildOffer({ originUser: platformId, address: declared, port: declaredPort, transport, ssrc, ...asked, ...(mischief.has('audio-only') && { kind: 'audio' as const }), payloads, f: f === undefined ? undefined : parseFLine(f) });
  const lines = toByteString(correct).split('\r\n').filter(line => line !== '');
  const written = lines.flatMap(line => {
    if (line.startsWith('y=') && mischief.has('no-y')) return [];
    if (line.startsWith('y=') && mischief.has('long-y')) return [`${line}0`];
    return line.startsWith('a=setup') && mischief.has('no-setup') ? [] : [line];
  });
  return fromByteString(written.map(line => `${line}\r\n`).join(''));
}
