/** Texts of the kernel, read with bounds: what is too long, torn or not a number is left out, never believed. */
const MAX_TEXT = 1 << 20;
const MAX_LINES = 8192;
const MAX_FIELDS = 64;

export function linesOf(text: string): readonly string[] {
  return text.slice(0, MAX_TEXT).split('\n', MAX_LINES);
}

export function fieldsOf(line: string): readonly string[] {
  return line.trim().split(/\s+/, MAX_FIELDS);
}

/** A plain decimal number that a double holds exactly; undefined otherwise. */
export function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^-?\d{1,20}(\.\d{1,9})?$/.test(text)) return undefined;
  const value = Number(text);
  return Math.abs(value) <= Number.MAX_SAFE_INTEGER ? value : undefined;
}

/** A sysfs attribute: one number and a line end. */
export const parseNumber = (text: string): number | undefined => numberOf(text.trim());

/** `Key: value` or `Key value`, the first of each. */
export function pairsOf(text: string, separator: RegExp): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>();
  for (const line of linesOf(text)) {
    const found = separator.exec(line);
    if (found === null) continue;
    const key = line.slice(0, found.index).trim();
    if (key !== '' && !pairs.has(key)) pairs.set(key, line.slice(found.index + found[0].length).trim());
  }
  return pairs;
}
