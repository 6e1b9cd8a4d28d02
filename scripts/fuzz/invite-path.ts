/** Where an INVITE has been, from whoever wrote it there. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { readPath } from '#core/gb/invite-path.ts';

export default {
  name: 'invite-path',
  seeds: ['00112233445566aa', '00112233445566aa, ffeeddccbbaa9988', '00112233445566aa,,', ' aa '].map(fromByteString),
  run(input: Uint8Array): void {
    const marks = readPath(toByteString(input));
    if (marks.some(mark => !/^[0-9a-f]{8,32}$/.test(mark))) throw new Error('not a mark');
  },
};
