/** Sessions of the sinks of one bridge as strain-watch.ts ends them: each for itself, but all that share a rendition together, for only then its process ends. */
import type { SinkSession } from './bridge-sinks.ts';
import type { Endable } from './strain-watch.ts';

export function sessionEndables(sessions: readonly SinkSession[]): readonly Endable[] {
  const shared = new Map<string, SinkSession[]>();
  const endables: Endable[] = [];
  for (const session of sessions) {
    const { priority, since, rendition } = session;
    if (rendition === null) endables.push({ kind: 'pass-through', priority, since, end: () => session.end() });
    else shared.set(rendition, [...(shared.get(rendition) ?? []), session]);
  }
  for (const group of shared.values()) {
    // Whoever is most important, or was there first, speaks for all.
    const priority = Math.max(...group.map(each => each.priority));
    const since = group.reduce((first, each) => (each.since < first ? each.since : first), group[0]!.since);
    endables.push({ kind: 'transcode', priority, since, end: () => group.forEach(each => each.end()) });
  }
  return endables;
}
