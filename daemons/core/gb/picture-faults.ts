/**
 * What our own eyes say of a channel (5.4: VLOST, DEFECT): whoever subscribed the catalogue hears of a picture that is lost or broken
 * although its device says ON.
 *
 *   (fine) ──answered, but nothing came, or it fell silent──► VLOST ──it flows, or forgetMs went by──► (fine)
 *   (fine) ──frozen for defectMs──► DEFECT ──whole for healMs, or forgetMs went by──► (fine)
 *
 * It is forgotten after a while: platforms do not ask for what is lost, and then nobody would ever see that it is back.
 */
import { type Ms, addMs } from '../units.ts';
import { Deadlines } from '../deadlines.ts';

export type PictureFault = 'VLOST' | 'DEFECT';

export interface PictureFaultsOptions {
  readonly defectMs: number;
  readonly healMs: number;
  readonly forgetMs: number;
}

/** `fault` undefined: it is fine again. */
export interface FaultChange {
  readonly key: string;
  readonly fault: PictureFault | undefined;
}

interface Entry {
  fault: PictureFault | undefined;
  faultAt: Ms;
  /** First and last sign of freezing in the present spell. */
  frozenSince: Ms | undefined;
  frozenAt: Ms;
}

/** Channels that are watched for freezing at once. */
const MAX_ENTRIES = 20_000;

export class PictureFaults {
  readonly #options: PictureFaultsOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #deadlines = new Deadlines<string>();

  constructor(options: PictureFaultsOptions) {
    this.#options = options;
  }

  get deadline(): Ms {
    return this.#deadlines.next;
  }

  /** Its camera answered, and no packet comes. */
  lost(key: string, now: Ms): FaultChange[] {
    return this.#set(key, 'VLOST', now);
  }

  /** Packets come. What is broken in them is another question. */
  flows(key: string): FaultChange[] {
    return this.#entries.get(key)?.fault === 'VLOST' ? this.#clear(key) : [];
  }

  /** Pictures are held back because some of them is missing; said again and again as long as they are. */
  frozen(key: string, now: Ms): FaultChange[] {
    const entry = this.#entryOf(key, now);
    if (entry === undefined) return [];
    const { defectMs, healMs } = this.#options;
    if (entry.frozenSince === undefined || now - entry.frozenAt > healMs) entry.frozenSince = now;
    entry.frozenAt = now;
    if (entry.fault === undefined && now - entry.frozenSince >= defectMs) return this.#set(key, 'DEFECT', now);
    this.#arm(key, entry);
    return [];
  }

  tick(now: Ms): FaultChange[] {
    const changes: FaultChange[] = [];
    for (let key = this.#deadlines.takeDue(now); key !== undefined; key = this.#deadlines.takeDue(now)) {
      const entry = this.#entries.get(key)!;
      if (entry.fault !== undefined) changes.push(...this.#clear(key));
      else this.#forget(key);
    }
    return changes;
  }

  #entryOf(key: string, now: Ms): Entry | undefined {
    let entry = this.#entries.get(key);
    if (entry === undefined && this.#entries.size < MAX_ENTRIES) this.#entries.set(key, (entry = { fault: undefined, faultAt: now, frozenSince: undefined, frozenAt: now }));
    return entry;
  }

  #set(key: string, fault: PictureFault, now: Ms): FaultChange[] {
    const entry = this.#entryOf(key, now);
    if (entry === undefined) return [];
    const changed = entry.fault !== fault;
    entry.fault = fault;
    entry.faultAt = now;
    this.#arm(key, entry);
    return changed ? [{ key, fault }] : [];
  }

  #arm(key: string, { fault, faultAt, frozenAt }: Entry): void {
    const { healMs, forgetMs } = this.#options;
    const heals = addMs(frozenAt, healMs);
    const forgets = addMs(faultAt, forgetMs);
    this.#deadlines.set(key, fault === undefined ? heals : fault === 'VLOST' ? forgets : ((heals < forgets ? heals : forgets)));
  }

  #clear(key: string): FaultChange[] {
    this.#forget(key);
    return [{ key, fault: undefined }];
  }

  #forget(key: string): void {
    this.#entries.delete(key);
    this.#deadlines.delete(key);
  }
}
