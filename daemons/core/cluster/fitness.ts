/** How well this node could do the work of the active one: 100 all is well, 0 not at all (design.md 8). */

export interface FitnessFacts {
  /** sipd answers. */
  readonly sipd: boolean;
  readonly mediad: { readonly up: number; readonly configured: number };
  /** Network interfaces that we have addresses on. */
  readonly links: { readonly up: number; readonly known: number };
  /** Of the file system that holds the state. */
  readonly diskFreePercent: number;
  /** What the other node writes arrives here; null: there is nothing to be in step with. */
  readonly inSync: boolean | null;
  /** Why the configuration of the other node cannot be in force here; null: it is, or nothing is known of it. */
  readonly configurationHeld: string | null;
}

export interface Fitness {
  readonly value: number;
  /** What is missing from 100, worst first. */
  readonly lacks: readonly string[];
}

const DISK_LOW_PERCENT = 10;
const DISK_FULL_PERCENT = 1;
const WORTH = { mediad: 40, links: 30, diskLow: 10, diskFull: 30, sync: 20 } as const;

export function fitnessOf(facts: FitnessFacts): Fitness {
  const { sipd, mediad, links, diskFreePercent, inSync, configurationHeld } = facts;
  if (!sipd) return { value: 0, lacks: ['sipd does not answer'] };
  if (mediad.up === 0) return { value: 0, lacks: ['no mediad answers'] };
  if (configurationHeld !== null) return { value: 0, lacks: [`the configuration of the other node cannot be used here: ${configurationHeld}`] };
  const lacks: [points: number, says: string][] = [];
  if (mediad.up < mediad.configured) lacks.push([WORTH.mediad * (1 - mediad.up / mediad.configured), `${mediad.configured - mediad.up} of ${mediad.configured} mediad do not answer`]);
  if (links.up < links.known) lacks.push([WORTH.links * (1 - links.up / links.known), `${links.known - links.up} of ${links.known} links are down`]);
  if (diskFreePercent < DISK_FULL_PERCENT) lacks.push([WORTH.diskFull, 'the disk is full']);
  else if (diskFreePercent < DISK_LOW_PERCENT) lacks.push([WORTH.diskLow, `${Math.round(diskFreePercent)} % of the disk is free`]);
  if (inSync === false) lacks.push([WORTH.sync, 'the state of the other node does not arrive here']);
  lacks.sort(([a], [b]) => b - a);
  const value = Math.round(100 - lacks.reduce((sum, [points]) => sum + points, 0));
  return { value: Math.max(1, value), lacks: lacks.map(([, says]) => says) };
}
