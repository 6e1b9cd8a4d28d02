/** A pair has one configuration but for what belongs to one machine of the two: the same revision on each, with these keys of its own. */
import { sameValue } from './diff.ts';
import { type EditStep, isObject, type Json } from './json.ts';
import { formatPath } from './path.ts';

/**
 * The list, all of it. `node`: its name; `state` and `rpc`: its directories; `api.listen`: its own addresses, where its API is
 * served; `cluster.interface`: how its hardware calls the service network.
 */
export const LOCAL_KEYS: readonly (readonly string[])[] = [['node'], ['state'], ['rpc'], ['api', 'listen'], ['cluster', 'interface']];

/** Which of the two kinds of keys are not the same in both. */
export function changedKinds(before: Json, after: Json): { readonly local: boolean; readonly shared: boolean } {
  const local = LOCAL_KEYS.some(keys => !sameValue(below(before, keys), below(after, keys)));
  return { local, shared: !sameValue(withoutLocal(before, []), withoutLocal(after, [])) };
}

/** Undefined: nothing else stands there. */
function withoutLocal(value: Json, at: readonly string[]): Json | undefined {
  if (LOCAL_KEYS.some(keys => keys.length === at.length && keys.every((key, i) => key === at[i]))) return undefined;
  if (!isObject(value) || !LOCAL_KEYS.some(keys => keys.length > at.length && at.every((key, i) => key === keys[i]))) return value;
  const rest = Object.entries(value).flatMap(([key, one]) => {
    const kept = withoutLocal(one, [...at, key]);
    return kept === undefined ? [] : [[key, kept] as const];
  });
  return rest.length === 0 ? undefined : Object.fromEntries(rest);
}

/** What a restored backup leaves as it is on a node of a pair: the other one goes on with it. */
export const KEPT_IN_PAIR: typeof LOCAL_KEYS = [...LOCAL_KEYS, ['cluster']];

/** What makes a document of another machine one of this machine: the local keys as they stand in `own`. */
export function localSteps(theirs: Json, own: Json, kept = LOCAL_KEYS): readonly EditStep[] {
  return kept.flatMap((keys): readonly EditStep[] => {
    const [there, here] = [below(theirs, keys), below(own, keys)];
    const path = formatPath(keys.map(key => ({ key })));
    if (sameValue(there, here)) return [];
    return here === undefined ? [{ op: 'delete', path }] : [{ op: 'set', path, value: here }];
  });
}

function below(value: Json | undefined, keys: readonly string[]): Json | undefined {
  return keys.reduce<Json | undefined>((here, key) => (isObject(here) && Object.hasOwn(here, key) ? here[key] : undefined), value);
}
