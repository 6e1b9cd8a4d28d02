/** RTMP as one viewer takes it, or the server that we push to. */
import type { Socket } from 'node:net';
import { FlvPackager, type FlvTag, type HevcForm } from '#core/flv/tags.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import type { Clock } from '#kit/clock.ts';
import type { ViewerPipe } from './http-pipe.ts';
import type { Packer, Piece } from './stream-viewer.ts';
import { closeSoon } from './tcp-close.ts';

/** Either end of RTMP that sends media. */
export interface MediaSession {
  media(tag: FlvTag): void;
  drain(): readonly Uint8Array[];
  end(): void;
}

export class RtmpPacker implements Packer {
  readonly #session: MediaSession;
  readonly #packager: FlvPackager;

  constructor(session: MediaSession, form: HevcForm) {
    this.#session = session;
    this.#packager = new FlvPackager(form);
  }

  tracks(tracks: MediaTracks): readonly Piece[] {
    return this.#pieces(this.#packager.tracks(tracks));
  }

  unit(unit: MediaUnit): readonly Piece[] {
    return this.#pieces(this.#packager.unit(unit));
  }

  #pieces(tags: readonly FlvTag[]): readonly Piece[] {
    for (const tag of tags) this.#session.media(tag);
    return [this.#session.drain()];
  }
}

export class RtmpPipe implements ViewerPipe {
  readonly #socket: Socket;
  readonly #session: MediaSession;
  readonly #clock: Clock;
  sentBytes = 0;

  constructor(socket: Socket, session: MediaSession, clock: Clock) {
    this.#socket = socket;
    this.#session = session;
    this.#clock = clock;
  }

  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  write(parts: readonly Uint8Array[]): void {
    this.#socket.cork();
    for (const part of parts) {
      this.sentBytes += part.length;
      this.#socket.write(part);
    }
    this.#socket.uncork();
  }

  tell(): void {
    // Whatever is to be said is a message of the session.
  }

  end(): void {
    this.#session.end();
    this.write(this.#session.drain());
    void closeSoon(this.#socket, this.#clock);
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
