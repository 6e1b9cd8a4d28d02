/** How one way to a camera is asked for its media, and what its answer means. */
import type { LegTransport, MediaFormat } from '#contracts/mediad.ts';
import type { SourceLegTiming } from '#core/gb/source-leg-session.ts';
import type { GbSdp } from '#core/sdp/gb-sdp.ts';

/** What a camera's answer means for the leg; `unusable` says why it cannot be served. */
export type AnswerReading =
  | { readonly usable: true; readonly answer: GbSdp | undefined; readonly remote: { readonly address: string; readonly port: number }; readonly ssrc: number; readonly payloadType: number; readonly format: MediaFormat; readonly formatParameters: string | undefined; readonly nack?: boolean }
  | { readonly usable: false; readonly why: string };

/** What is asked of a recorder (gb28181.md 6.2). */
export interface History {
  readonly kind: 'Playback' | 'Download';
  /** Unix seconds. */
  readonly startS: number;
  readonly stopS: number;
  /** Behind the channel in u=: 0 all, 1 manual, 2 alarm, 3 time. */
  readonly type: string;
  /** Multiple of real time. */
  readonly downloadSpeed: number | undefined;
}

export interface LegPlan {
  readonly legId: string;
  readonly deviceId: string;
  readonly channelId: string;
  readonly streamNumber: number | null;
  readonly history?: History | undefined;
  /** Some devices want u= in live offers too. */
  readonly liveUri?: boolean | undefined;
  readonly streamAttribute?: 'streamnumber' | 'streamprofile' | 'streamMode' | 'stream' | undefined;
  readonly transport: LegTransport;
  readonly localAddress: string;
  readonly ssrc: number;
  readonly ssrcPolicy: 'exact' | 'adopt';
  readonly latch: 'strict' | 'nat';
  readonly allowed: readonly string[];
  readonly silenceMs: number;
  readonly timing: SourceLegTiming;
  /** It may be asked for lost packets again when it agrees. */
  readonly nack?: boolean | undefined;
  /** It is no camera of GB/T 28181: mediad pulls it or has it, and there is no dialog. `legId` is then the bridge's. */
  readonly inletId?: string | undefined;
  /** Where the inlet has a bridge of its own, which sends to this leg as a camera would: then `legId` is a leg's, and others can take over. */
  readonly feeder?: { readonly bridgeId: string; readonly instance: string; /** Where it sends from; absent in rows of older releases: loopback. */ readonly address?: string } | undefined;
}
