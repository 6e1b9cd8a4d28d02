/** What is done to the active node, and undone. */
import { type PairLab, type PairNode, SEVERED } from '../../lab/pair.ts';

/** `severed`: everything is dropped and no interface knows. `split`: only between the two. */
export const KINDS = ['killed', 'cut', 'stopped', 'switch', 'severed', 'split'] as const;
export type Kind = (typeof KINDS)[number];

export async function strike(kind: Kind, lab: PairLab, active: PairNode): Promise<void> {
  switch (kind) {
    case 'killed':
      return lab.kill(active);
    case 'cut':
      active.cable(false);
      return active.link(false);
    case 'stopped':
      return await lab.stop(active);
    case 'switch': {
      await using clusterd = await active.clusterd();
      await clusterd.call('switchOver', {});
      return;
    }
    case 'severed':
      return active.filter(...SEVERED);
    case 'split':
      return lab.isolate(true);
  }
}

export async function heal(kind: Kind, lab: PairLab, node: PairNode): Promise<void> {
  if (kind === 'killed' || kind === 'stopped') await lab.revive(node);
  if (kind === 'cut') [node.cable(true), node.link(true)];
  if (kind === 'severed') node.filter();
  if (kind === 'split') lab.isolate(false);
}
