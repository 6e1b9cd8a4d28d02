/** Rules between the fields of one upstream's view, which its schema cannot say. */
import type { FieldProblem } from './field-problem.ts';
import type { GatewayConfig } from './schema.ts';
import type { ViewConfig } from './view-schema.ts';

type Path = readonly (string | number)[];

export function* checkViews({ upstreams, sip, channels }: GatewayConfig): Generator<FieldProblem> {
  const platforms = new Set([sip.id, ...upstreams.flatMap(({ id, localId }) => [id, localId])]);
  for (const [i, { view }] of upstreams.entries()) {
    const path: Path = ['upstreams', i, 'view'];
    yield* checkGroups(view, path);
    yield* checkFixed(view, path, platforms);
    for (const [j, { allow }] of view.rules.entries()) for (const [k, { from, to }] of allow.entries()) if (from === to) yield { path: [...path, 'rules', j, 'allow', k, 'to'], why: `no time between ${from} and ${to}` };
  }
  const seen = new Set<string>();
  for (const [i, { id, device }] of channels.entries()) {
    if (seen.has(`${device}/${id}`)) yield { path: ['channels', i, 'id'], why: `channel ${id} is already described` };
    seen.add(`${device}/${id}`);
  }
}

function* checkGroups({ groups }: ViewConfig, path: Path): Generator<FieldProblem> {
  const known = new Set<string>();
  for (const [i, group] of groups.entries()) {
    const at: Path = [...path, 'groups', i];
    if (known.has(group.id)) yield { path: [...at, 'id'], why: `group ${group.id} is already there` };
    known.add(group.id);
    const above = new Map(group.organisations.map(({ id, parent }) => [id, parent]));
    for (const [j, { id, parent }] of group.organisations.entries()) {
      const here: Path = [...at, 'organisations', j];
      if (known.has(id)) yield { path: [...here, 'id'], why: `organisation ${id} is already there` };
      known.add(id);
      if (parent !== '' && !above.has(parent)) yield { path: [...here, 'parent'], why: `this group has no organisation ${parent}` };
      else if (isInLoop(id, above)) yield { path: [...here, 'parent'], why: `organisation ${id} would stand above itself` };
    }
  }
}

function isInLoop(id: string, above: ReadonlyMap<string, string>): boolean {
  let here = above.get(id);
  for (let steps = 0; here !== undefined && here !== '' && steps <= above.size; steps++) {
    if (here === id) return true;
    here = above.get(here);
  }
  return false;
}

function* checkFixed({ fixed, groups }: ViewConfig, path: Path, platforms: ReadonlySet<string>): Generator<FieldProblem> {
  const nodes = new Set(groups.flatMap(group => [group.id, ...group.organisations.map(({ id }) => id)]));
  const ids = new Set<string>();
  const channels = new Set<string>();
  for (const [i, { id, channel, device }] of fixed.entries()) {
    const at: Path = [...path, 'fixed', i];
    if (channels.has(`${device}/${channel}`)) yield { path: [...at, 'channel'], why: `channel ${channel} is already fixed` };
    channels.add(`${device}/${channel}`);
    if (id === '') continue;
    if (platforms.has(id)) yield { path: [...at, 'id'], why: `${id} is the ID of a platform` };
    else if (nodes.has(id)) yield { path: [...at, 'id'], why: `${id} is the ID of a group` };
    else if (ids.has(id)) yield { path: [...at, 'id'], why: `ID ${id} is already given` };
    ids.add(id);
  }
}
