/** The octets of one TCP leg as they came, taken apart into packets (RFC 4571), with what is wrong about their framing. */
import { Deframer } from '../rtp/tcp-framing.ts';

export interface TcpFacts {
  readonly interleavedFrames: number;
  readonly emptyFrames: number;
  /** Octets outside of frames, and how often there were some. */
  readonly strayBytes: number;
  readonly strayPlaces: number;
}

export interface TcpWalk {
  readonly facts: TcpFacts;
  readonly packets: readonly Uint8Array[];
  /** In front of the first frame. */
  readonly leadBytes: number;
}

/** `fromStart`: the first octets are the first of the connection; otherwise they may be from the middle of a frame. */
export function walkTcp(chunks: readonly Uint8Array[], ssrc: number | undefined, payloadType: number | undefined, fromStart: boolean): TcpWalk {
  const deframer = new Deframer();
  deframer.expect(ssrc, payloadType);
  const packets: Uint8Array[] = [];
  let lead: { readonly bytes: number; readonly places: number } | undefined;
  for (const chunk of chunks) {
    // The deframer takes over what it is fed.
    deframer.feed(chunk.slice());
    for (let step = deframer.next(); step === 'frame'; step = deframer.next()) {
      lead ??= { bytes: deframer.skippedBytes, places: deframer.resyncs };
      packets.push(deframer.memory.slice(deframer.offset, deframer.offset + deframer.length));
    }
  }
  const { bytes = 0, places = 0 } = lead ?? {};
  const excused = fromStart ? { bytes: 0, places: 0 } : { bytes, places };
  return {
    facts: { interleavedFrames: deframer.interleavedFrames, emptyFrames: deframer.emptyFrames, strayBytes: deframer.skippedBytes - excused.bytes, strayPlaces: deframer.resyncs - excused.places },
    packets,
    leadBytes: bytes,
  };
}
