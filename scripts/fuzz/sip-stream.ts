/** SIP over a stream: cut anywhere, the same messages come out. The first octet of the input says how it is cut. */
import { sameBytes } from '#core/bytes.ts';
import { type FramerOutput, StreamFramer } from '#core/sip/framer.ts';
import { parseMessage } from '#core/sip/parse.ts';
import { tortureSeeds } from './sip-message.ts';

function framed(stream: Uint8Array, segment: number): FramerOutput[] {
  const framer = new StreamFramer();
  const outputs: FramerOutput[] = [];
  for (let at = 0; at < stream.length; at += segment) outputs.push(...framer.push(stream.subarray(at, at + segment)));
  return outputs;
}

/** Pings are left out: glued ones count as one, so their number depends on the cut. */
const messages = (outputs: readonly FramerOutput[]): Uint8Array[] => outputs.flatMap(output => (output.type === 'message' ? [output.bytes] : []));

export function checkStream(input: Uint8Array): void {
  const stream = input.subarray(1);
  const whole = framed(stream, Math.max(stream.length, 1));
  const cut = framed(stream, 1 + (input[0] ?? 0));
  const left = messages(whole);
  const right = messages(cut);
  if (left.length !== right.length || left.some((bytes, i) => !sameBytes(bytes, right[i]!))) throw new Error('a cut changed the messages');
  const error = (outputs: readonly FramerOutput[]): string => outputs.map(output => (output.type === 'error' ? output.why : '')).join('');
  if (error(whole) !== error(cut)) throw new Error(`a cut changed the error: ${error(whole)} / ${error(cut)}`);
  for (const bytes of left) parseMessage(bytes, 'stream-frame');
}

const cutBy = (octet: number, stream: Uint8Array): Uint8Array => Uint8Array.of(octet, ...stream);

export default {
  name: 'sip-stream',
  seeds: [...tortureSeeds.map((bytes, i) => cutBy(i, bytes)), cutBy(3, Uint8Array.from([...tortureSeeds[0]!, 13, 10, 13, 10, ...tortureSeeds[1]!]))],
  run: checkStream,
};
