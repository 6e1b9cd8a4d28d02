/** Conditions of view rules and of organisations: which channels fit (configuration: upstreams[].view). */
import type { ViewMatch } from '../config/view-schema.ts';
import type { ChannelKey } from './id-mapping.ts';
import { ShareRule } from './share-rule.ts';

/** Names of more characters are matched by these only. */
const MAX_NAME = 512;

export interface MatchTarget extends ChannelKey {
  readonly name: string;
  readonly tags: readonly string[];
  /** Normalized civil code. */
  readonly region: string | undefined;
  /** What stands above it in its device's catalogue, and the device. */
  readonly nodes: readonly string[];
}

export class Matcher {
  readonly #nodes: ReadonlySet<string>;
  readonly #ids: ShareRule | undefined;
  readonly #names: readonly string[];
  readonly #tags: ReadonlySet<string>;
  readonly #civilCodes: readonly string[];

  constructor({ nodes, ids, names, tags, civilCodes }: ViewMatch) {
    this.#nodes = new Set(nodes);
    this.#ids = ids.length === 0 ? undefined : new ShareRule(ids);
    this.#names = names;
    this.#tags = new Set(tags);
    this.#civilCodes = civilCodes;
  }

  /** Without conditions. */
  get isBlank(): boolean {
    return this.#nodes.size === 0 && this.#ids === undefined && this.#names.length === 0 && this.#tags.size === 0 && this.#civilCodes.length === 0;
  }

  /** Every kind of condition that there is holds. */
  fits(target: MatchTarget): boolean {
    if (this.#ids?.covers(target) === false) return false;
    if (this.#tags.size > 0 && !target.tags.some(tag => this.#tags.has(tag))) return false;
    if (this.#nodes.size > 0 && !target.nodes.some(node => this.#nodes.has(node))) return false;
    if (this.#civilCodes.length > 0 && !this.#civilCodes.some(code => target.region?.startsWith(code) === true)) return false;
    return this.#names.length === 0 || this.#names.some(pattern => fitsPattern(pattern, target.name));
  }
}

/** `*` is any text, `?` any character; the time is at most the product of both lengths. */
export function fitsPattern(pattern: string, text: string): boolean {
  const name = [...text.slice(0, MAX_NAME)];
  const parts = [...pattern];
  let at = 0;
  let part = 0;
  /** Where the last star stands, and what it has swallowed until. */
  let star = -1;
  let swallowed = 0;
  while (at < name.length) {
    if (parts[part] === '*') {
      star = part++;
      swallowed = at;
    } else if (part < parts.length && (parts[part] === '?' || parts[part] === name[at])) {
      part++;
      at++;
    } else if (star >= 0) {
      part = star + 1;
      at = ++swallowed;
    } else return false;
  }
  while (parts[part] === '*') part++;
  return part === parts.length;
}
