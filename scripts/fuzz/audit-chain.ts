/** Lines of the audit log, and what is kept of its end: what was written follows and reads back, anything else gives a reason. */
import { fromByteString, toByteString } from '#core/bytes.ts';
import { appendLine, CHAIN_START, followLine, readHeader, readLine } from '#core/audit/chain.ts';
import { formatKeptHead, readKeptHead, SLOT_BYTES } from '#core/audit/head.ts';

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
    const kept = { ...made.head, keyedFrom: 1, droppedTo: 0, writes: text.length, sealedKey: 'enc:v1:0:x' };
    const slot = formatKeptHead(kept, mix);
    if (slot.length !== SLOT_BYTES || readKeptHead(slot, () => mix)?.writes !== kept.writes) throw new Error('what was kept does not read back');
    if (readKeptHead(text, () => mix) !== undefined) throw new Error('something else was kept');
  },
};
