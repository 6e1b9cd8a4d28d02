/** Heartbeats in a stream: each is a byte with its length, and itself. What comes may be cut anywhere. */
import { MAX_HEARTBEAT_BYTES } from './heartbeat.ts';

/** `bytes` with its length before it; of at most MAX_HEARTBEAT_BYTES. */
export function frameBeat(bytes: Uint8Array): Uint8Array {
  const framed = new Uint8Array(1 + bytes.length);
  framed[0] = bytes.length;
  framed.set(bytes, 1);
  return framed;
}

export class BeatFramer {
  #rest: Uint8Array = new Uint8Array(0);

  /** The heartbeats that are complete, in order; undefined: this is no such stream, and nothing more can be read of it. */
  push(bytes: Uint8Array): readonly Uint8Array[] | undefined {
    const all = new Uint8Array(this.#rest.length + bytes.length);
    all.set(this.#rest);
    all.set(bytes, this.#rest.length);
    const beats: Uint8Array[] = [];
    let at = 0;
    for (let length = all[at]; length !== undefined; length = all[at]) {
      if (length === 0 || length > MAX_HEARTBEAT_BYTES) return undefined;
      if (at + 1 + length > all.length) break;
      beats.push(all.subarray(at + 1, at + 1 + length));
      at += 1 + length;
    }
    this.#rest = all.slice(at);
    return beats;
  }

  /** Of a beat that is not complete; never more than one. */
  get waitingBytes(): number {
    return this.#rest.length;
  }
}
