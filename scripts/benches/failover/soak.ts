/** Nothing but lost heartbeats and adverts, for long: nobody may take over. */
import { systemClock as clock } from '#kit/clock.ts';
import type { PairLab } from '../../lab/pair.ts';
import { pause } from '../../simulators/common/names.ts';
import type { Figure } from '../common/figures.ts';

const LOOK_MS = 1000;

/** Lines for `filter`: so many of a hundred are lost as they come in. */
export const lossy = (percent: number): readonly string[] => ['udp dport 7600', 'tcp dport 7600', 'tcp sport 7600', 'meta l4proto 112'].map(what => `input ${what} numgen random mod 100 < ${percent} drop`);

export async function soakFigure(lab: PairLab, minutes: number, percent: number): Promise<Figure> {
  await lab.ready(60_000);
  const terms = async (): Promise<number> => Math.max(...(await Promise.all(lab.nodes.map(node => node.report()))).map(report => report?.term ?? 0));
  const before = await terms();
  const beganWallMs = clock.wall();
  let silences = 0;
  let longestLookMs = 0;
  /** By node and time. */
  const changes = new Map<string, string>();
  if (percent > 0) for (const node of lab.nodes) node.filter(...lossy(percent));
  for (const until = clock.now() + minutes * 60_000; clock.now() < until; await pause(clock, LOOK_MS)) {
    for (const node of lab.nodes) {
      const askedAt = clock.now();
      const report = await node.report();
      longestLookMs = Math.max(longestLookMs, clock.now() - askedAt);
      if (report?.peer.alive === false) silences += 1;
      for (const { atWallMs, role, why } of report?.changes ?? []) if (atWallMs >= beganWallMs) changes.set(`${node.name} ${atWallMs}`, `${node.name} ${role}: ${why}`);
    }
  }
  for (const node of lab.nodes) node.filter();
  // An answer that takes long says that the machine stood still, and not the network.
  const beside = { 'looks without the peer': silences, 'slowest answer of clusterd, ms': Math.round(longestLookMs), ...Object.fromEntries([...changes.values()].map((what, i) => [`change ${i + 1}`, what])) };
  return { name: `${percent} % of heartbeats and adverts lost for ${minutes} min: switches`, value: (await terms()) - before, unit: '', limit: { most: 0 }, method: 'nft drops at random on both nodes; switches are terms', beside };
}
