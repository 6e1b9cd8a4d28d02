/** FLV and fragmented MP4 as one viewer takes them. */
import { sameBytes } from '#core/bytes.ts';
import { flvHeader, flvTagBytes } from '#core/flv/mux.ts';
import { FlvPackager, type HevcForm } from '#core/flv/tags.ts';
import type { MediaTracks, MediaUnit } from '#core/media/unit.ts';
import { Mp4Fragmenter } from '#core/mp4/fragment.ts';
import type { Packer, Piece } from './stream-viewer.ts';

export class FlvPacker implements Packer {
  readonly #packager: FlvPackager;
  #begun = false;

  constructor(form: HevcForm) {
    this.#packager = new FlvPackager(form);
  }

  tracks(tracks: MediaTracks): readonly Piece[] {
    const header = this.#begun ? [] : [flvHeader(tracks)];
    this.#begun = true;
    return [[...header, ...this.#packager.tracks(tracks).flatMap(flvTagBytes)]];
  }

  unit(unit: MediaUnit): readonly Piece[] {
    return this.#packager.unit(unit).map(flvTagBytes);
  }
}

export interface Mp4PackerOptions {
  readonly keepG711: boolean;
  /**
   * A page feeds a MediaSource, which takes a new description in between; it is told the MIME type before each one:
   * `{"type":"init","mime":"video/mp4; codecs=\"avc1.42C01F\""}`. A file that a player reads ends where its description does.
   */
  readonly describes: boolean;
}

export class Mp4Packer implements Packer {
  readonly #fragmenter: Mp4Fragmenter;
  readonly #describes: boolean;
  #init: Uint8Array | undefined;

  constructor({ keepG711, describes }: Mp4PackerOptions) {
    this.#fragmenter = new Mp4Fragmenter({ keepG711 });
    this.#describes = describes;
  }

  tracks(tracks: MediaTracks): readonly Piece[] | 'end' {
    const last = this.#fragmenter.flush().map(fragment => fragment.bytes);
    const init = this.#fragmenter.tracks(tracks);
    if (init === undefined) return 'end';
    if (this.#init !== undefined && sameBytes(this.#init, init.bytes)) return last;
    if (this.#init !== undefined && !this.#describes) return 'end';
    this.#init = init.bytes;
    return [...last, JSON.stringify({ type: 'init', mime: init.mime }), [init.bytes]];
  }

  unit(unit: MediaUnit): readonly Piece[] {
    return this.#fragmenter.unit(unit).map(fragment => fragment.bytes);
  }
}
