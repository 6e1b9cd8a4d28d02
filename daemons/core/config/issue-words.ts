/** What is wrong with a value, in our words: what is expected there, and never how the schema library puts it. */
import type { z } from 'zod';

const TYPES: Readonly<Record<string, string>> = { string: 'text', number: 'a number', int: 'a whole number', boolean: 'true or false', array: 'a list', object: 'keys with values', record: 'keys with values', null: 'nothing' };
const UNITS: Readonly<Record<string, readonly [string, string]>> = { string: ['character', 'characters'], array: ['entry', 'entries'], set: ['entry', 'entries'] };
/** A schema that says something of its own is right. */
const BY_LIBRARY = /^(Invalid|Too (small|big)|Unrecognized)/;
const MAX_LISTED = 30;

export function issueWords(issue: z.core.$ZodIssue): string {
  if (!BY_LIBRARY.test(issue.message)) return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      return `${issue.message.endsWith('received undefined') ? 'is missing: ' : ''}expected ${TYPES[issue.expected] ?? issue.expected}`;
    case 'too_small':
      return `expected at least ${amount(issue.origin, issue.minimum)}`;
    case 'too_big':
      return `expected at most ${amount(issue.origin, issue.maximum)}`;
    case 'invalid_value':
      return `expected ${listed(issue.values.map(String))}`;
    case 'unrecognized_keys':
      return `unknown: ${issue.keys.slice(0, MAX_LISTED).join(', ')}`;
    case 'not_multiple_of':
      return `expected a multiple of ${issue.divisor}`;
    default:
      return 'is not of the form that is expected here';
  }
}

/** `key.key: what is expected`, for each. */
export const errorWords = ({ issues }: z.core.$ZodError): string => issues.map(issue => `${issue.path.length === 0 ? '' : `${issue.path.map(String).join('.')}: `}${issueWords(issue)}`).join('; ');

function amount(origin: string, limit: number | bigint): string {
  const unit = UNITS[origin];
  return unit === undefined ? String(limit) : `${limit} ${unit[Number(limit) === 1 ? 0 : 1]}`;
}

function listed(values: readonly string[]): string {
  const shown = values.slice(0, MAX_LISTED);
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} or ${shown.at(-1)!}`;
}
