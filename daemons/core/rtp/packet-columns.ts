/** Packets as columns: entry i is valid for i < count. What holds packets back gives them on in this form (mediad/media-batch.ts). */
import type { PayloadKind } from './payload-kind.ts';

export interface PacketTaker {
  add(memory: Uint8Array, payloadOffset: number, payloadLength: number, marker: boolean, timestamp: number, index: number): void;
}

export interface PacketColumns extends PacketTaker {
  readonly count: number;
  readonly memory: readonly Uint8Array[];
  readonly payloadOffset: readonly number[];
  readonly payloadLength: readonly number[];
  readonly marker: readonly boolean[];
  /** 32 bits. */
  readonly timestamp: readonly number[];
  /** Number on the source's one timeline (SequenceTracker). */
  readonly index: readonly number[];
  readonly kind: PayloadKind | null;
  /** Index of the first packet of a new run: what came before it and what comes from it on do not belong together, although the numbers follow. NaN: none. */
  readonly restartAt: number;
}
