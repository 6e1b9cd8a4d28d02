/**
 * The file that says where the audit log had come to (core/audit/head.ts), with the key of its chain, which is sealed with the keys
 * of the secrets. Two places in it are written in turn, each synchronized: a torn one leaves the other. It never grows.
 */
import { createHmac } from 'node:crypto';
import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { ChainHead } from '#core/audit/chain.ts';
import { formatKeptHead, type KeptHead, type Mac, readKeptHead, SLOT_BYTES } from '#core/audit/head.ts';
import { storeFailure, writeDurably } from './durable.ts';
import type { Random } from './random.ts';
import { type KeyRing, openSecret, sealSecret } from './secret-box.ts';

const KEY_BYTES = 32;
const SLOTS = 2;

export interface AuditHeadOptions {
  readonly path: string;
  /** As it is now: it changes when the keys do. */
  readonly ring: () => KeyRing;
  readonly random: Random;
}

const macUnder = (key: string): Mac => text => createHmac('sha256', Buffer.from(key, 'hex')).update(text, 'utf8').digest('hex');

export class AuditHead implements Disposable {
  readonly #options: AuditHeadOptions;
  /** Before anything was made anew: whether there was a file, and whether it could be read. */
  readonly found: 'read' | 'missing' | 'unreadable';
  #kept: KeptHead | undefined;
  #key = '';
  #file = -1;

  constructor(options: AuditHeadOptions) {
    this.#options = options;
    this.#kept = this.#read();
    this.found = this.#kept !== undefined ? 'read' : existsSync(options.path) ? 'unreadable' : 'missing';
    if (this.#kept !== undefined) {
      this.#key = openSecret(options.ring(), this.#kept.sealedKey)!;
      this.#file = openSync(options.path, 'r+');
    }
  }

  /** Undefined until `begin` when none was found. */
  get kept(): KeptHead | undefined {
    return this.#kept;
  }

  /** HMAC-SHA256 under the key of the chain. */
  readonly mac: Mac = text => macUnder(this.#key)(text);

  /** With a key of its own. STORE_FAILED. */
  begin(head: ChainHead, droppedTo: number): void {
    this.#key = this.#options.random.hex(KEY_BYTES);
    this.#kept = { ...head, keyedFrom: head.sequence + 1, droppedTo, writes: 1, sealedKey: this.#sealed() };
    this.#replace();
  }

  /** On the disk when it returns. STORE_FAILED: what was kept before still is. */
  put(change: Partial<Pick<KeptHead, 'sequence' | 'hash' | 'droppedTo'>>): void {
    const next = { ...this.#kept!, ...change, writes: this.#kept!.writes + 1 };
    try {
      writeSync(this.#file, formatKeptHead(next, this.mac), (next.writes % SLOTS) * SLOT_BYTES);
      fdatasyncSync(this.#file);
    } catch (error) {
      throw storeFailure(this.#options.path, error);
    }
    this.#kept = next;
  }

  /** The key of the chain is sealed with the newest key of the secrets; nothing is sealed with the others afterwards. */
  reseal(): void {
    this.#kept = { ...this.#kept!, sealedKey: this.#sealed() };
    this.#replace();
  }

  /** The file still says what was written last. */
  isUntouched(): boolean {
    const read = this.#read();
    return read !== undefined && read.writes === this.#kept!.writes && read.hash === this.#kept!.hash;
  }

  [Symbol.dispose](): void {
    if (this.#file >= 0) closeSync(this.#file);
    this.#file = -1;
  }

  #sealed(): string {
    return sealSecret(this.#options.ring(), this.#key, this.#options.random);
  }

  #replace(): void {
    writeDurably(this.#options.path, formatKeptHead(this.#kept!, this.mac).repeat(SLOTS));
    this[Symbol.dispose]();
    this.#file = openSync(this.#options.path, 'r+');
  }

  #read(): KeptHead | undefined {
    const { path, ring } = this.#options;
    const text = existsSync(path) ? readFileSync(path, 'latin1') : '';
    const macFor = (sealedKey: string): Mac | undefined => {
      const key = openSecret(ring(), sealedKey);
      return key === undefined ? undefined : macUnder(key);
    };
    const slots = [0, 1].map(at => readKeptHead(text.slice(at * SLOT_BYTES, (at + 1) * SLOT_BYTES), macFor));
    return slots.filter(slot => slot !== undefined).sort((a, b) => b.writes - a.writes)[0];
  }
}
