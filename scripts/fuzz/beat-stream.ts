/** Heartbeats in a stream: whole or cut into bytes the same comes out, and never more than one beat waits. */
import { BeatFramer, frameBeat } from '#core/cluster/beat-stream.ts';
import { MAX_HEARTBEAT_BYTES } from '#core/cluster/heartbeat.ts';

const frames = (...lengths: readonly number[]): Uint8Array => Uint8Array.from(lengths.flatMap(length => [...frameBeat(new Uint8Array(length).fill(length))]));

export default {
  name: 'beat-stream',
  seeds: [frames(1, 2, MAX_HEARTBEAT_BYTES), frames(80, 80, 80), Uint8Array.of(0), Uint8Array.of(90, 1, 2, 3)],
  run(input: Uint8Array): void {
    const whole = new BeatFramer().push(input);
    const framer = new BeatFramer();
    const pieces: Uint8Array[] = [];
    let isStream = true;
    for (const byte of input) {
      const beats = framer.push(Uint8Array.of(byte));
      if (framer.waitingBytes > MAX_HEARTBEAT_BYTES) throw new Error(`${framer.waitingBytes} bytes wait`);
      isStream = beats !== undefined;
      if (!isStream) break;
      pieces.push(...beats!);
    }
    if (isStream !== (whole !== undefined)) throw new Error('whole it is a stream, in pieces not, or the other way round');
    if (whole !== undefined && JSON.stringify(whole) !== JSON.stringify(pieces)) throw new Error('other beats in pieces');
  },
};
