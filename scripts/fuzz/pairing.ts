/** Codes as people type them, and lines of a node that wants to pair: no input crashes, and what is read is written and read the same. */
import { toByteString } from '#core/bytes.ts';
import { fingerprintDigits, formatPairingCode, parsePairingCode, secretDigits } from '#core/cluster/pairing-code.ts';
import { formatLine, helloSchema, misfit, parseLine, refusedSchema, welcomeSchema } from '#core/cluster/pairing-lines.ts';
import { wallMs } from '#core/units.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(text, char => char.charCodeAt(0) & 0xff);
const CODE = formatPairingCode({ secret: secretDigits(Array.from({ length: 20 }, (_, i) => i)), fingerprint: fingerprintDigits('0123456789abcdef'.repeat(4)) });
const HELLO = { format: 1, proof: 'ab'.repeat(32), publicKey: 'AAAA', wallMs: 1_800_000_000_000, release: '0.1.0', schemaVersion: 1, localAddress: '10.98.0.2', wishes: { name: 'b', link: null, lan: '10.97.0.2', media: null } };
const OURS = { wallMs: wallMs(1_800_000_000_000), schemaVersion: 1, release: '0.1.0' };

export default {
  name: 'pairing',
  seeds: [CODE, CODE.toLowerCase().replaceAll('-', ' '), formatLine(HELLO), formatLine({ refused: 'wrong code' }), formatLine({ proof: 'ab'.repeat(32), own: 'b', peer: 'a', authority: '', certificate: '', text: 'node: {}\n' })].map(bytes),
  run(input: Uint8Array): void {
    const text = toByteString(input);
    const code = parsePairingCode(text);
    if (code.ok) {
      const again = parsePairingCode(formatPairingCode(code.value));
      if (!again.ok || JSON.stringify(again.value) !== JSON.stringify(code.value)) throw new Error(`code changed: ${text}`);
    }
    const hello = parseLine(helloSchema, text);
    if (hello.ok) misfit(hello.value, OURS);
    for (const schema of [welcomeSchema, refusedSchema]) parseLine<unknown>(schema, text);
  },
};
