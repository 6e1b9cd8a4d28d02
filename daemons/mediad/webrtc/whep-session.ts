/**
 * One viewer over WHEP, seen from the outlet: its channel is open, its units go to the WebRTC thread once keys are agreed.
 *
 *   opening ──answer──► waiting ──keys agreed──► playing ──DELETE, stream ended, viewer gone──► closed
 */
import type { Rendition } from '#core/media/rendition.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import type { OutletPath } from '#core/outlets/outlet-path.ts';
import { GatewayError } from '#core/result.ts';
import type { Log } from '#kit/log.ts';
import type { Renderer, RenderedStream } from '../leg.ts';
import type { OutletDoor, OutletLease, OutletViewer } from '../outlet-door.ts';
import type { UnitSeat, UnitStream } from '../unit-stream.ts';
import type { RtcHost } from './host.ts';

export interface WhepWorld {
  readonly door: OutletDoor;
  readonly host: RtcHost;
  readonly renderer: Renderer;
  readonly log: Log;
  count(name: string): void;
}

/**
 * What a browser cannot take is turned: H.265 into H.264, AAC and the like into G.711, which all of them have (RFC 7874 3). Null: as it is.
 */
export function renditionForBrowser({ video, audio }: MediaTracks): Rendition | null {
  const passesVideo = video === null || video.codec === 'h264';
  const passesAudio = audio === null || audio.codec === 'g711a' || audio.codec === 'g711u';
  if (passesVideo && passesAudio) return null;
  return { video: passesVideo ? 'copy' : 'h264', size: null, bitrateKbps: null, fps: null, audio: passesAudio ? 'copy' : 'g711a' };
}

/** profile_idc: the byte behind the NAL unit header of the SPS (ITU-T H.264 7.3.2.1.1). */
function profileOf({ video }: MediaTracks): number | null {
  if (video === null) return null;
  const sps = video.parameterSets.find(set => (set[0]! & 0x1f) === 7);
  return sps?.[1] ?? 0x42;
}

export class WhepSession {
  readonly path: OutletPath;
  /** Once, whatever ended it. */
  onClosed: () => void = () => undefined;
  readonly #world: WhepWorld;
  readonly #lease: OutletLease;
  readonly #rendered: RenderedStream | undefined;
  #seat: UnitSeat | undefined;
  #id = '';
  #answer = '';
  #closed = false;

  private constructor(path: OutletPath, world: WhepWorld, lease: OutletLease, rendered: RenderedStream | undefined) {
    this.path = path;
    this.#world = world;
    this.#lease = lease;
    this.#rendered = rendered;
    lease.onEnd = why => this.close(why);
  }

  get id(): string {
    return this.#id;
  }

  get answer(): string {
    return this.#answer;
  }

  /** Rejects with a GatewayError; nothing is held then. */
  static async open(path: OutletPath, offer: string, who: Pick<OutletViewer, 'remote' | 'user'>, world: WhepWorld): Promise<WhepSession> {
    const held: { session?: WhepSession } = {};
    const report = (): { sentBytes: number; droppedUnits: number } => {
      const stats = held.session === undefined ? undefined : world.host.statsOf(held.session.id);
      return { sentBytes: stats?.sentBytes ?? 0, droppedUnits: stats?.droppedUnits ?? 0 };
    };
    const lease = await world.door.open(path, { protocol: 'webrtc', ...who, report });
    let rendered: RenderedStream | undefined;
    try {
      rendered = await renderFor(lease.stream, path, world);
      const session = new WhepSession(path, world, lease, rendered);
      held.session = session;
      await session.#negotiate(offer);
      return session;
    } catch (error) {
      rendered?.[Symbol.dispose]();
      lease[Symbol.dispose]();
      throw error;
    }
  }

  /** Twice is once. */
  close(why: string): void {
    this.#world.host.close(this.#id, why);
  }

  get #stream(): UnitStream {
    return this.#rendered?.stream ?? this.#lease.stream;
  }

  async #negotiate(offer: string): Promise<void> {
    const { tracks } = this.#stream;
    if (tracks === null) throw new GatewayError('MEDIA_UNAVAILABLE', { why: 'the stream has no pictures yet' });
    const { host } = this.#world;
    const { id, answer } = await host.open(
      { offer, profileIdc: profileOf(tracks), audio: tracks.audio?.codec ?? null },
      {
        onConnected: remote => this.#play(remote),
        onKeyFrameWanted: () => this.#seat?.wantKeyFrame(),
        onClosed: why => this.#end(why),
      },
    );
    this.#id = id;
    this.#answer = answer;
  }

  #play(remote: string): void {
    if (this.#closed || this.#seat !== undefined) return;
    const { host, log, count } = this.#world;
    count('webrtc.connected');
    log.info({ channel: this.path.channel, remote, session: this.#id }, 'webrtc.connected');
    let burst: MediaUnit[] | undefined = [];
    const seat = this.#stream.join({
      onTracks: () => undefined,
      onUnit: unit => {
        if (burst !== undefined) burst.push(unit);
        else host.unit(this.#id, unit);
      },
      onEnd: why => this.close(why),
    });
    if (burst.length > 0) host.burst(this.#id, burst);
    burst = undefined;
    if (this.#closed) seat[Symbol.dispose]();
    else this.#seat = seat;
  }

  #end(why: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#world.log.info({ channel: this.path.channel, session: this.#id, why }, 'webrtc.closed');
    this.#seat?.[Symbol.dispose]();
    this.#rendered?.[Symbol.dispose]();
    this.#lease[Symbol.dispose]();
    this.onClosed();
  }
}

/** Without room for a transcoder there are still pictures, if only the sound needed one. */
async function renderFor(stream: UnitStream, path: OutletPath, { renderer, log }: WhepWorld): Promise<RenderedStream | undefined> {
  const wanted = stream.tracks === null ? null : renditionForBrowser(stream.tracks);
  if (wanted === null) return undefined;
  try {
    return await renderer.render(stream, wanted, path.channel);
  } catch (error) {
    if (!(error instanceof GatewayError) || wanted.video !== 'copy') throw error;
    log.warn({ channel: path.channel, why: error.message }, 'webrtc.no-sound');
    return undefined;
  }
}
