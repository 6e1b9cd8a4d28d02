/** What every outlet (RTSP, RTMP, HTTP, WebRTC) is given: who may watch, and the stream of a channel for as long as it is held. */
import type { OutletPath } from '#core/outlets/outlet-path.ts';
import type { UnitStream } from './unit-stream.ts';

/** Who watches, for logs and `vlink show sessions`. */
export interface OutletViewer {
  readonly protocol: 'rtsp' | 'rtmp' | 'flv' | 'ws-flv' | 'fmp4' | 'ws-fmp4' | 'hls' | 'webrtc' | 'snapshot' | 'push';
  /** Address and port of the far end. */
  readonly remote: string;
  /** Who said a name; default: it came with a token. */
  readonly user?: string | undefined;
  /** What it was given so far. */
  readonly report?: () => { readonly sentBytes: number; readonly droppedUnits: number };
}

export interface OutletLease extends Disposable {
  readonly stream: UnitStream;
  /** Runs once when the stream ends before it was disposed. */
  onEnd: (why: string) => void;
}

export interface OutletUser {
  readonly name: string;
  /** Lower-case hex of MD5(name:OUTLET_REALM:password). */
  readonly ha1: string;
}

/** Realm of all outlets: HA1s of the configuration are made with it. */
export const OUTLET_REALM = 'viewlink';

export interface OutletDoor {
  /** The token of the URL is valid for its channel. */
  tokenFits(path: OutletPath): boolean;
  /** A digest user who may see this channel. The caller checks the digest. */
  user(name: string, path: OutletPath): OutletUser | undefined;
  /**
   * Opens the channel, or joins it where it runs, and settles when pictures may be joined. Rejects with a GatewayError: CHANNEL_UNKNOWN,
   * PEER_OFFLINE, CAPACITY_EXHAUSTED, MEDIA_SILENT ... (HTTP status: HTTP_STATUS of core/result).
   */
  open(path: OutletPath, viewer: OutletViewer): Promise<OutletLease>;
}
