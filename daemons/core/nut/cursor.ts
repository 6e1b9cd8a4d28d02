/** Numbers of NUT at a place in bytes. Behind the end everything is 0 and `isShort` stays set. */
export class NutCursor {
  readonly bytes: Uint8Array;
  at = 0;
  isShort = false;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get left(): number {
    return Math.max(0, this.bytes.length - this.at);
  }

  byte(): number {
    const value = this.bytes[this.at];
    if (value === undefined) {
      this.isShort = true;
      return 0;
    }
    this.at += 1;
    return value;
  }

  uint32(): number {
    return ((this.byte() << 24) | (this.byte() << 16) | (this.byte() << 8) | this.byte()) >>> 0;
  }

  /** Seven bits an octet. More than a safe integer holds becomes Infinity, which no limit lets pass. */
  number(): number {
    let value = 0;
    for (let octets = 0; octets < MAX_OCTETS; octets++) {
      const octet = this.byte();
      value = value * 128 + (octet & 0x7f);
      if (octet < 0x80) return value <= Number.MAX_SAFE_INTEGER ? value : Infinity;
    }
    return Infinity;
  }

  signed(): number {
    const value = this.number() + 1;
    return value % 2 === 1 ? -Math.floor(value / 2) : value / 2;
  }

  /** Length and bytes. */
  block(): Uint8Array {
    const length = this.number();
    if (length > this.left) {
      this.isShort = true;
      return new Uint8Array(0);
    }
    this.at += length;
    return this.bytes.slice(this.at - length, this.at);
  }
}

const MAX_OCTETS = 10;
