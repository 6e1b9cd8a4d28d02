/** FLV as a client reads it: header, then tags; pieces come cut anywhere. Throws at what is no FLV. */
export interface ReadTag {
  readonly type: number;
  readonly timestampMs: number;
  readonly body: Uint8Array;
  /** performance.now() when its last octet came. */
  readonly at: number;
}

const HEADER_BYTES = 13;
const TAG_HEADER_BYTES = 11;

export class FlvFile {
  #held = Buffer.alloc(0);
  /** Joined only when there is enough to go on. */
  #pieces: Uint8Array[] = [];
  #waiting = 0;
  #needed = 0;
  #begun = false;
  readonly tags: ReadTag[] = [];

  push(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#waiting += piece.length;
    if (this.#held.length + this.#waiting < this.#needed) return;
    this.#held = Buffer.concat([this.#held, ...this.#pieces]);
    this.#pieces = [];
    this.#waiting = 0;
    this.#needed = 0;
    if (!this.#begun) {
      if (this.#held.length < HEADER_BYTES) return;
      if (this.#held.toString('latin1', 0, 4) !== 'FLV\x01') throw new Error('no FLV header');
      this.#held = this.#held.subarray(HEADER_BYTES);
      this.#begun = true;
    }
    while (this.#held.length >= TAG_HEADER_BYTES) {
      const length = this.#held.readUIntBE(1, 3);
      const whole = TAG_HEADER_BYTES + length + 4;
      if (this.#held.length < whole) return void (this.#needed = whole);
      if (this.#held.readUInt32BE(TAG_HEADER_BYTES + length) !== TAG_HEADER_BYTES + length) throw new Error('PreviousTagSize is wrong');
      const timestampMs = this.#held.readUIntBE(4, 3) + this.#held[7]! * 2 ** 24;
      this.tags.push({ type: this.#held[0]!, timestampMs, body: new Uint8Array(this.#held.subarray(TAG_HEADER_BYTES, TAG_HEADER_BYTES + length)), at: performance.now() });
      this.#held = this.#held.subarray(whole);
    }
  }

  /** Tags with a picture in them. */
  get pictures(): readonly ReadTag[] {
    return this.tags.filter(({ type, body }) => type === 9 && !((body[0]! & 0x80) !== 0 ? (body[0]! & 0x0f) === 0 : body[1] === 0));
  }
}

export const isKeyPicture = ({ body }: ReadTag): boolean => ((body[0]! >> 4) & 7) === 1;
