/** The first line of a connection between nodes: no line names a daemon that is not for others, and what is taken is written the same. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { MAX_TARGET_BYTES, formatTarget, parseTarget, peerTargets } from '#core/cluster/peer-target.ts';

const KNOWN = peerTargets(12);

export default {
  name: 'peer-target',
  seeds: [...KNOWN.map(formatTarget), `${formatTarget('configd')}Content-Length: 2\r\n\r\n{}`, 'viewlink-peer/1 mediad-0\n', 'viewlink-peer/1 ../configd\n', 'GET / HTTP/1.1\r\n'].map(fromByteString),
  run(input: Uint8Array): void {
    const parsed = parseTarget(input, KNOWN);
    if (parsed === undefined && input.length >= MAX_TARGET_BYTES) throw new Error('waits for more than there can be');
    if (parsed?.ok !== true) return;
    const { name, length } = parsed.value;
    if (!KNOWN.includes(name) || formatTarget(name) !== toByteString(input, 0, length)) throw new Error(`taken: ${name}`);
  },
};
