/** What goes into a server session and what comes out of it. */
import type { MediaTracks } from '../media/unit.ts';
import type { OutletPath } from '../outlets/outlet-path.ts';
import type { RtspRequest, RtspResponse } from './message.ts';
import type { RtspStreamError } from './reader.ts';
import type { RtspTrack } from './sdp-write.ts';
import type { TransportSpec } from './transport.ts';

/** Where the media of one track begins. */
export interface TrackStart {
  readonly track: number;
  readonly sequence: number;
  readonly rtpTime: number;
}

export type ServerInput =
  | { readonly type: 'request'; readonly request: RtspRequest }
  /** The stream cannot be read any more. */
  | { readonly type: 'broken'; readonly error: RtspStreamError }
  | { readonly type: 'opened'; readonly tracks: MediaTracks }
  | { readonly type: 'refused'; readonly status: number }
  /** `transport`: the client's, with our ports and SSRC. */
  | { readonly type: 'bound'; readonly transport: TransportSpec }
  | { readonly type: 'started'; readonly starts: readonly TrackStart[] }
  /** The source ended, or the viewer is too slow for it. */
  | { readonly type: 'ended' }
  /** RTCP of the viewer. */
  | { readonly type: 'alive' }
  /** Whether a request has begun and is not whole yet. */
  | { readonly type: 'midway'; readonly isMidway: boolean }
  | { readonly type: 'tick' };

export type ServerOutput =
  | { readonly type: 'respond'; readonly response: RtspResponse }
  /** Answer with `opened` or `refused`. */
  | { readonly type: 'open'; readonly path: OutletPath }
  /** Answer with `bound` or `refused`. */
  | { readonly type: 'bind'; readonly track: number; readonly media: RtspTrack; readonly transport: TransportSpec }
  /** Join the stream and hold what it gives; answer with `started`, then send at `flow`. */
  | { readonly type: 'start' }
  | { readonly type: 'flow' }
  | { readonly type: 'pause' }
  /** Legs and channel. */
  | { readonly type: 'release' }
  | { readonly type: 'auth-failed' }
  | { readonly type: 'close'; readonly why: string };
