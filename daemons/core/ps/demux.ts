/**
 * Demultiplexer of a GB/T 28181 program stream: bytes in, access units out. A stream, never packets: headers may be cut anywhere.
 * Total and bounded: any bytes are taken, memory is at most MAX_STREAMS units. Tolerances: gb28181.md 6.6 rules 1-8, faults.md 65-70.
 */
import { PesScanner, type ScanCounters } from './pes-scanner.ts';
import { type PsEvent, UnitAssembler, type UnitCounters } from './unit-assembler.ts';

export type { PsEvent, PsMapSeen, PsUnit } from './unit-assembler.ts';

export class PsDemuxer {
  readonly #assembler = new UnitAssembler();
  readonly #scanner = new PesScanner(this.#assembler);
  #pictureEnded = false;

  get counters(): Readonly<ScanCounters & UnitCounters> {
    return { ...this.#scanner.counters, ...this.#assembler.counters };
  }

  /**
   * The next bytes. A unit is told when the one after it begins. `endsPicture`: the transport says so (RTP marker or a new RTP
   * timestamp next); it is only used to judge a gap that follows.
   */
  push(bytes: Uint8Array, endsPicture = false): PsEvent[] {
    this.#scanner.push(bytes);
    this.#pictureEnded = endsPicture;
    return this.#assembler.takeEvents();
  }

  /** Bytes are missing here: closes what is open as damaged, unless the picture had ended before, and waits for the next pack. */
  gap(): PsEvent[] {
    const complete = this.#pictureEnded && (this.#scanner.isBetweenPackets || this.#scanner.isInOpenEndedPacket);
    return this.#close(complete);
  }

  /** The stream ended. A packet that its length says is unfinished is damaged. */
  flush(): PsEvent[] {
    return this.#close(this.#scanner.isBetweenPackets || this.#scanner.isInOpenEndedPacket);
  }

  #close(complete: boolean): PsEvent[] {
    this.#scanner.cut(complete);
    this.#assembler.closeAll();
    this.#pictureEnded = false;
    return this.#assembler.takeEvents();
  }
}
