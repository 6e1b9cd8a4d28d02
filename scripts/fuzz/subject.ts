/** Subject of an INVITE: what can be read is written and read back the same. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { formatSubject, parseSubject } from '#core/gb/subject.ts';

const SEEDS = ['33010000001320000701:0100000001,33010000002000000001:0', '33010000001320000701:0', ' a:b , c:d ', '33010000001320000701,33010000002000000001', ':,:'];

export default {
  name: 'subject',
  seeds: SEEDS.map(fromByteString),
  run(input: Uint8Array): void {
    const subject = parseSubject(toByteString(input));
    if (subject === undefined || subject.receiverId === '') return;
    const again = parseSubject(formatSubject(subject));
    if (JSON.stringify(again) !== JSON.stringify(subject)) throw new Error(`subject changed: ${JSON.stringify(subject)}`);
  },
};
