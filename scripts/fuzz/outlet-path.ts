/** URLs of outlets and their tokens. */
import { toByteString } from '#core/bytes.ts';
import { parseOutletPath } from '#core/outlets/outlet-path.ts';
import { checkToken } from '#core/outlets/outlet-token.ts';
import { wallMs } from '#core/units.ts';

const bytes = (text: string): Uint8Array => Uint8Array.from(text, character => character.charCodeAt(0));

export default {
  name: 'outlet-path',
  seeds: [
    bytes('/live/34020000001320000001.flv?stream=1&token=1700000000.0123456789abcdef0123456789abcdef'),
    bytes('live/34020000002000000001-34020000001320000001/segment-12.m4s?rendition=small&rendition=large'),
    bytes('/live/..%2f..%2fetc/passwd?token=%00'),
  ],
  run(input: Uint8Array): void {
    const text = toByteString(input);
    const path = parseOutletPath(text);
    if (path.ok && /[^A-Za-z0-9._=-]/.test(path.value.channel + path.value.file + path.value.extension)) throw new Error('a path that should have been refused');
    checkToken(path.ok ? (path.value.token ?? '') : text, { channel: '34020000001320000001', streamNumber: text.length % 3 }, wallMs(1_600_000_000_000), each => each.padEnd(32, '0'));
  },
};
