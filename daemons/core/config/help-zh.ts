/** Chinese help of every key of the configuration, by its place in the schema. */
const HELP: Readonly<Record<string, string>> = {};

/** Undefined: there is none. */
export const zhHelpOf = (at: string): string | undefined => (Object.hasOwn(HELP, at) ? HELP[at] : undefined);
