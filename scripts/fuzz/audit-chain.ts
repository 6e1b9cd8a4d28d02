/** Lines of the audit log: what was written follows, anything else gives a reason. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { appendLine, CHAIN_START, followLine, readHeader, readLine } from '#core/audit/chain.ts';

const SEEDS = ['{"follows":0,"hash":"' + CHAIN_START + '"}', '{"sequence":1,"hash":"' + CHAIN_START + '"}', '{', '{"a":"","hash":"x"}'];
const START = { sequence: 0, hash: CHAIN_START };
/** Not a hash, but it depends on every character. */
const mix = (text: string): string => Array.from(text).reduce((sum, character) => (Math.imul(sum, 31) + character.charCodeAt(0)) >>> 0, 7).toString(16).padStart(64, '0');

export default {
  name: 'audit-chain',
  seeds: SEEDS.map(fromByteString),
  run(input: Uint8Array): void {
    const text = toByteString(input);
    readLine(text);
    readHeader(text);
    const made = appendLine(START, { author: { user: text, via: 'cli', address: null }, action: 'fuzz', target: text, before: text, after: null, result: 'done', detail: text }, 1, 2, mix);
    const followed = followLine(START, made.line, mix);
    if (typeof followed === 'string' || followed.hash !== made.head.hash) throw new Error(`an entry does not follow: ${JSON.stringify(followed)}`);
    if (typeof followLine(made.head, text, mix) !== 'string') throw new Error('something else followed');
  },
};
