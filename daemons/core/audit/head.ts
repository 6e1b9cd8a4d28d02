/**
 * Where the audit log had come to, kept beside it: whoever cuts the end of the log off leaves this behind. It is written after
 * each entry, so that a power cut leaves the log at most one entry ahead of it, never behind.
 *
 *   log == kept, or one entry ahead that follows --> 'whole'
 *   log ends before it ----------------------------> 'cut': what is between is missing, numbers go on behind it
 *   anything else ---------------------------------> 'other': these are not the entries that were written
 */
import type { ChainHead } from './chain.ts';

/** Room of one on the disk: a sector. */
export const SLOT_BYTES = 512;

export interface KeptHead extends ChainHead {
  /** From this entry on the chain is keyed; before it, it is plain SHA-256. */
  readonly keyedFrom: number;
  /** Last entry that went because there was no room for it. */
  readonly droppedTo: number;
  /** Grows with each writing: of two, the newer one counts. */
  readonly writes: number;
  /** Of the chain, sealed with a key of the secrets. */
  readonly sealedKey: string;
}

/** Of the text under the key of the chain; lower-case hex. */
export type Mac = (text: string) => string;

const SLOT = /^(\{"sequence":\d{1,15},"hash":"[0-9a-f]{64}","keyedFrom":\d{1,15},"droppedTo":\d{1,15},"writes":\d{1,15},"sealedKey":"[\w:-]{1,300}"\}) ([0-9a-f]{64}) *\n?$/;

/** Exactly SLOT_BYTES characters. */
export function formatKeptHead({ sequence, hash, keyedFrom, droppedTo, writes, sealedKey }: KeptHead, mac: Mac): string {
  const body = JSON.stringify({ sequence, hash, keyedFrom, droppedTo, writes, sealedKey });
  return `${`${body} ${mac(body)}`.padEnd(SLOT_BYTES - 1)}\n`;
}

/** Undefined: none, or not one that this key wrote. `macFor`: undefined when the key cannot be opened. */
export function readKeptHead(slot: string, macFor: (sealedKey: string) => Mac | undefined): KeptHead | undefined {
  const [, body, written] = SLOT.exec(slot) ?? [];
  if (body === undefined) return undefined;
  const head = JSON.parse(body) as KeptHead;
  return macFor(head.sealedKey)?.(body) === written ? head : undefined;
}

export type HeadJudgement = 'whole' | 'cut' | 'other';

/** `follows`: the last entry of the log goes on from `kept`. */
export function judgeHead(log: ChainHead, kept: ChainHead, follows: boolean): HeadJudgement {
  if (log.sequence < kept.sequence) return 'cut';
  if (log.sequence === kept.sequence) return log.hash === kept.hash ? 'whole' : 'other';
  return log.sequence === kept.sequence + 1 && follows ? 'whole' : 'other';
}
