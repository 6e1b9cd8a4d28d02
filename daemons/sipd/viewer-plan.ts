/** What is agreed on with an upstream about one viewer, and what of it must outlive this process. */
import type { Endpoint, LegTransport, MediaFormat } from '#contracts/mediad.ts';
import type { Rendition } from '#core/media/rendition.ts';
import type { DialogState } from '#kit/sip-endpoint.ts';

export interface ViewerPlan {
  readonly sessionId: string;
  readonly sinkId: string;
  readonly upstream: string;
  readonly mappedId: string;
  readonly transport: LegTransport;
  readonly localAddress: string;
  readonly remote: { readonly address: string; readonly port: number };
  readonly ssrc: number;
  /** The SSRC is one of ours, to be given back. */
  readonly ssrcIsOurs: boolean;
  /** What it gets; undefined: as the camera sends. */
  readonly rendition?: Rendition | undefined;
  readonly allowed: readonly string[];
  readonly connectTimeoutMs: number;
  /** Absent in rows of older releases. */
  readonly pictures?: 'whole' | 'as-received';
  /** It may ask for lost packets again. */
  readonly nack?: boolean;
  /** Of its upstream; absent in rows of older releases, which are never ended under strain. */
  readonly priority?: number;
  /** RTP sequence number that it began with; absent in rows of older releases. */
  readonly firstSequence?: number | undefined;
}

export interface StoredViewer {
  readonly plan: ViewerPlan;
  readonly bridgeId: string;
  readonly dialog: DialogState;
  /** Our SDP as a byte string. */
  readonly answer: string;
  /** Its sink as agreed; absent in rows of older releases. */
  readonly media?: SinkMedia | undefined;
}

export interface SinkMedia {
  readonly local: { readonly address: string; readonly port: number };
  readonly payloadType: number;
  readonly format?: MediaFormat | undefined;
  readonly rendition?: Rendition | undefined;
}

/** A sink that stands again: where it is now, and the RTP number that it begins with. */
export interface RevivedSink {
  readonly local: Endpoint;
  readonly firstSequence: number | undefined;
}
