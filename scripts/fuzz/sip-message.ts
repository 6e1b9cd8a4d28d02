/** SIP messages as datagrams and as frames: what is accepted must be written so that it reads the same. */
import { readFileSync, readdirSync } from 'node:fs';
import { sameBytes } from '#core/bytes.ts';
import { MAX_HEAD_OCTETS, parseMessage } from '#core/sip/parse.ts';
import { serializeMessage, serializeRejection } from '#core/sip/serialize.ts';
import { validateRequest } from '#core/sip/validate.ts';

const VECTORS = new URL('../../test/vectors/rfc4475/', import.meta.url);

export const tortureSeeds: readonly Uint8Array[] = readdirSync(VECTORS).filter(file => file.endsWith('.dat')).map(file => new Uint8Array(readFileSync(new URL(file, VECTORS))));

/** Throws when parser and serializer contradict each other. */
export function checkMessage(input: Uint8Array): void {
  const parsed = parseMessage(input, 'datagram', { lenientLength: input.length % 2 === 0 });
  parseMessage(input, 'stream-frame');
  if (!parsed.ok) {
    const { status, partial } = parsed.error;
    if ((status === null) !== (partial === null)) throw new Error('a status without a partial message, or the reverse');
    if (status !== null && partial !== null) checkRejection(serializeRejection(status, partial, { toTag: 't', received: '192.0.2.1', receivedPort: 5060 }));
    return;
  }
  if (parsed.value.type === 'request') validateRequest(parsed.value);
  const written = serializeMessage(parsed.value);
  if (written.length - parsed.value.body.length > MAX_HEAD_OCTETS) return;
  const again = parseMessage(written, 'stream-frame');
  if (!again.ok) throw new Error(`what was written does not read: ${again.error.why}`);
  if (!sameBytes(serializeMessage(again.value), written)) throw new Error('what was written reads as something else');
}

/** However broken the echo, an answer ends where it should. */
function checkRejection(bytes: Uint8Array): void {
  const text = Buffer.from(bytes).toString('latin1');
  if (text.indexOf('\r\n\r\n') !== text.length - 4 || /\r(?!\n)|[^\r]\n/.test(text)) throw new Error('an answer with a line of its own making');
}

export default { name: 'sip-message', seeds: [...tortureSeeds], run: checkMessage };
