/** Running relays on disk, so that a restarted sipd finds their dialogs again (faults.md 1). */
import type { StateStore } from '#kit/state-store.ts';
import type { StoredSource } from './source.ts';
import type { StoredViewer } from './viewer.ts';

const SOURCE = 'source';
const VIEWER = 'viewer';

export class SessionStore {
  readonly #store: StateStore;

  constructor(store: StateStore) {
    this.#store = store;
  }

  sources(): StoredSource[] {
    return this.#rows<StoredSource>(SOURCE);
  }

  viewersOf(bridgeId: string): StoredViewer[] {
    return this.#rows<StoredViewer>(VIEWER).filter(viewer => viewer.bridgeId === bridgeId);
  }

  putSource(source: StoredSource): void {
    this.#store.putSession({ sessionId: source.plan.bridgeId, kind: SOURCE, json: JSON.stringify(source) });
  }

  putViewer(viewer: StoredViewer): void {
    this.#store.putSession({ sessionId: viewer.plan.sinkId, kind: VIEWER, json: JSON.stringify(viewer) });
  }

  delete(sessionId: string): void {
    this.#store.deleteSession(sessionId);
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
