/**
 * What must not leave the machine is taken out of a support bundle twice: by the name that it stands under, and, wherever
 * else it may have got to, by its value.
 */
import { isMap, isScalar, parseDocument, visit } from 'yaml';
import { HIDDEN } from '../secrets.ts';

const SECRET_KEY = /pass(word|phrase|wd)?$|secret|token|^ha1$|key$/i;
/** Shorter ones would take half of the text away with them. */
const MIN_VALUE = 4;
const MAX_DEPTH = 12;

export interface Redacted {
  readonly text: string;
  /** What was taken out. */
  readonly values: readonly string[];
}

/** A configuration file, with its comments. Where it cannot be read nothing of it is kept. */
export function redactYaml(text: string): Redacted {
  const document = parseDocument(text, { uniqueKeys: false });
  if (document.errors.length > 0 || !isMap(document.contents)) return { text: `# not kept: ${document.errors[0]?.code ?? 'no configuration'}\n`, values: [] };
  const values: string[] = [];
  visit(document, {
    Pair(_, { key, value }) {
      if (!isScalar(key) || !isScalar(value) || value.value === null || value.value === '') return;
      const isUrl = String(key.value) === 'url' || /:\/\/[^/\s]*@/.test(String(value.value));
      if (!SECRET_KEY.test(String(key.value)) && !isUrl) return;
      values.push(String(value.value), ...(isUrl ? partsOfUrl(String(value.value)) : []));
      value.value = isUrl ? bareUrl(String(value.value)) : HIDDEN;
    },
  });
  // Comments may hold what was once tried.
  return { text: document.toString().replace(/#.*(pass|secret|token|key).*$/gim, '# ***'), values };
}

const URL_PARTS = /^([a-z]+:\/\/)(?:[^/\s@]*@)?([^/\s]+)(.*)$/i;

const bareUrl = (url: string): string => url.replace(URL_PARTS, (_, scheme: string, host: string, path: string) => `${scheme}${host}${path === '' ? '' : `/${HIDDEN}`}`);

/** User, password, and the name of the stream, each by itself. */
function partsOfUrl(url: string): readonly string[] {
  const user = /:\/\/([^/\s@]*)@/.exec(url)?.[1]?.split(':') ?? [];
  const stream = url.split('/').at(-1) ?? '';
  return [...user, stream].filter(part => part.length >= 2 * MIN_VALUE);
}

/** Digest answers and bearer tokens, in logs and anywhere else. */
const TRACES: readonly (readonly [RegExp, string])[] = [
  [/\b(response|cnonce|nonce)=\\?"?[0-9A-Za-z+/=]{6,}/g, `$1=${HIDDEN}`],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{8,}/gi, `$1 ${HIDDEN}`],
  [/([?&](?:token|sign|key|auth)=)[^&\s"]+/gi, `$1${HIDDEN}`],
  [/(:\/\/)[^/\s"@]+:[^/\s"@]+@/g, `$1${HIDDEN}@`],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----/g, HIDDEN],
];

/** Text with those values out of it, and with what looks like one. */
export function scrubber(values: readonly string[]): (text: string) => string {
  const known = [...new Set(values)].filter(value => value.length >= MIN_VALUE && !/^(true|false|\*+)$/.test(value)).sort((a, b) => b.length - a.length);
  return text => {
    let clean = text;
    for (const value of known) clean = clean.replaceAll(value, HIDDEN).replaceAll(JSON.stringify(value).slice(1, -1), HIDDEN);
    for (const [pattern, instead] of TRACES) clean = clean.replace(pattern, instead);
    return clean;
  };
}

/** An answer of a daemon, with what stands under the name of a secret out of it. */
export function redactData(value: unknown, depth = 0): unknown {
  if (depth > MAX_DEPTH) return '...';
  if (Array.isArray(value)) return value.map(each => redactData(each, depth + 1));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, SECRET_KEY.test(key) && typeof each === 'string' ? HIDDEN : redactData(each, depth + 1)]));
}
