/** Running relays on disk, so that a restarted sipd finds their dialogs again (faults.md 1). */
import type { Log } from '#kit/log.ts';
import type { StateStore } from '#kit/state-store.ts';
import type { StoredSource } from './source.ts';
import type { StoredViewer } from './viewer-plan.ts';

const SOURCE = 'source';
const VIEWER = 'viewer';
const MARKS = 'marks';

export class SessionStore {
  readonly #store: StateStore;
  /** As written. */
  readonly #marks = new Map<string, string>();

  constructor(store: StateStore) {
    this.#store = store;
  }

  sources(): StoredSource[] {
    return this.#rows<StoredSource>(SOURCE);
  }

  /** By bridge. */
  viewers(): ReadonlyMap<string, readonly StoredViewer[]> {
    return Map.groupBy(this.#rows<StoredViewer>(VIEWER), ({ bridgeId }) => bridgeId);
  }

  putSource(source: StoredSource): void {
    this.#store.putSession({ sessionId: source.plan.bridgeId, kind: SOURCE, json: JSON.stringify(source) });
  }

  putViewer(viewer: StoredViewer): void {
    this.#store.putSession({ sessionId: viewer.plan.sinkId, kind: VIEWER, json: JSON.stringify(viewer) });
  }

  /** Of the sinks of one mediad instance: the RTP sequence number that came next, a moment ago. */
  putMarks(instance: string, marks: Readonly<Record<string, number>>): void {
    const json = JSON.stringify(marks);
    if (this.#marks.get(instance) === json || (json === '{}' && !this.#marks.has(instance))) return;
    this.#marks.set(instance, json);
    this.#store.putSession({ sessionId: `${MARKS}-${instance}`, kind: MARKS, json });
  }

  marks(instance: string): Readonly<Record<string, number>> {
    const row = this.#store.loadSessions().find(({ sessionId, kind }) => kind === MARKS && sessionId === `${MARKS}-${instance}`);
    return row === undefined ? {} : (JSON.parse(row.json) as Record<string, number>);
  }

  delete(sessionId: string): void {
    this.#store.deleteSession(sessionId);
  }

  /** Undefined where that cannot be: its row is dropped with a word, and must not keep the daemon down. */
  restored<T>(sessionId: string, log: Log, restore: () => T): T | undefined {
    try {
      return restore();
    } catch (error) {
      log.error({ sessionId, err: error }, 'relay.row-dropped');
      this.delete(sessionId);
      return undefined;
    }
  }

  deleteSource(bridgeId: string): void {
    this.#store.deleteSession(bridgeId);
  }

  deleteViewer(sinkId: string): void {
    this.#store.deleteSession(sinkId);
  }

  #rows<T>(kind: string): T[] {
    return this.#store
      .loadSessions()
      .filter(row => row.kind === kind)
      .map(row => JSON.parse(row.json) as T);
  }
}
