/** What may stand behind `|`: `show devices | include offline | count`. They look at whole lines of what a command prints. */
import { fail, ok, type Result } from '#core/result.ts';
import type { Word } from './words.ts';

export type Filter = { readonly kind: 'include' | 'exclude'; readonly text: string } | { readonly kind: 'count' | 'json' | 'no-more' };

export const FILTER_HELP: Readonly<Record<Filter['kind'], string>> = {
  include: 'only lines with this text',
  exclude: 'only lines without this text',
  count: 'how many lines there are',
  json: 'the raw answer as JSON',
  'no-more': 'all at once, without stopping at every page',
};
const KINDS = Object.keys(FILTER_HELP) as readonly Filter['kind'][];

export interface Piped {
  /** What stands before the first `|`. */
  readonly words: readonly Word[];
  readonly filters: readonly Filter[];
}

export function takeFilters(words: readonly Word[]): Result<Piped> {
  const first = words.findIndex(({ pipe }) => pipe);
  if (first < 0) return ok({ words, filters: [] });
  const filters: Filter[] = [];
  for (const part of partsOf(words.slice(first))) {
    const filter = filterOf(part);
    if (!filter.ok) return filter;
    filters.push(filter.value);
  }
  return ok({ words: words.slice(0, first), filters });
}

/** Each begins with its `|`. */
function partsOf(words: readonly Word[]): readonly (readonly Word[])[] {
  const parts: Word[][] = [];
  for (const word of words) {
    if (word.pipe) parts.push([word]);
    else parts.at(-1)!.push(word);
  }
  return parts;
}

function filterOf([pipe, name, ...rest]: readonly Word[]): Result<Filter> {
  if (name === undefined) return fail(pipe!.end, `nothing stands behind |; there is ${KINDS.join(', ')}`);
  const kinds = KINDS.filter(kind => kind.startsWith(name.text));
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1) return fail(name.start, `no filter ${name.text}; there is ${KINDS.join(', ')}`);
  if (kind === 'include' || kind === 'exclude') {
    if (rest.length === 0) return fail(name.end, `${kind}: which text?`);
    return ok({ kind, text: rest.map(({ text }) => text).join(' ') });
  }
  return rest.length === 0 ? ok({ kind }) : fail(rest[0]!.start, `${kind} takes nothing`);
}

/** Text is looked for as it stands, in either case; the heading of a table is a line like the others. */
export function applyFilters(output: string, filters: readonly Filter[]): string {
  const body = output.endsWith('\n') ? output.slice(0, -1) : output;
  let lines = body === '' ? [] : body.split('\n');
  for (const filter of filters) {
    if (filter.kind === 'include' || filter.kind === 'exclude') {
      const wanted = filter.text.toLowerCase();
      lines = lines.filter(line => line.toLowerCase().includes(wanted) === (filter.kind === 'include'));
    } else if (filter.kind === 'count') {
      lines = [String(lines.length)];
    }
  }
  return lines.map(line => `${line}\n`).join('');
}
