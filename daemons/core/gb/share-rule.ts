/**
 * Which channels an upstream may see: `*`, or prefixes of device or channel IDs. Kept by length, so that a list of ten thousand
 * IDs costs a channel no more than a look-up for each length that occurs.
 */
export class ShareRule {
  readonly #all: boolean;
  readonly #byLength = new Map<number, Set<string>>();

  constructor(prefixes: readonly string[]) {
    this.#all = prefixes.includes('*');
    for (const prefix of prefixes) {
      const known = this.#byLength.get(prefix.length);
      if (known === undefined) this.#byLength.set(prefix.length, new Set([prefix]));
      else known.add(prefix);
    }
  }

  covers({ deviceId, channelId }: { readonly deviceId: string; readonly channelId: string }): boolean {
    if (this.#all) return true;
    for (const [length, prefixes] of this.#byLength) if (prefixes.has(deviceId.slice(0, length)) || prefixes.has(channelId.slice(0, length))) return true;
    return false;
  }
}
