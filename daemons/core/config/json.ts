/** Plain data of a configuration before the schema has read it, and what is done to it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

export type EditStep = { readonly op: 'set'; readonly path: string; readonly value: Json } | { readonly op: 'delete'; readonly path: string };

/** Where in plain data: keys and indices from the root. */
export type Place = readonly (string | number)[];

export const isObject = (value: Json | undefined): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value);
export const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

/** What stands at a place; undefined when nothing does. Only own keys count. */
export function valueAt(value: Json, place: Place): Json | undefined {
  let here: Json | undefined = value;
  for (const step of place) {
    if (typeof step === 'number') here = isList(here) ? here[step] : undefined;
    else here = isObject(here) && Object.hasOwn(here, step) ? here[step] : undefined;
    if (here === undefined) return undefined;
  }
  return here;
}
