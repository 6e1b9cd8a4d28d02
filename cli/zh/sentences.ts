/** Chinese for sentences about values of the configuration, which have numbers and words of their own in them. */
const SENTENCES: readonly (readonly [RegExp, string])[] = [
  [/^is missing: (.*)$/, '缺少：$1'],
  [/^expected a whole number from (\S+) to (\S+)$/, '应为 $1 到 $2 的整数'],
  [/^expected a number from (\S+) to (\S+)$/, '应为 $1 到 $2 的数'],
  [/^expected a whole number$/, '应为整数'],
  [/^expected a number$/, '应为数'],
  [/^expected text$/, '应为文字'],
  [/^expected true or false$/, '应为 true 或 false'],
  [/^expected a list$/, '应为列表'],
  [/^expected keys with values$/, '应为键和值'],
  [/^expected at least (\d+) characters?$/, '至少 $1 个字符'],
  [/^expected at most (\d+) characters?$/, '至多 $1 个字符'],
  [/^expected at least (\d+) entr(?:y|ies)$/, '至少 $1 项'],
  [/^expected at most (\d+) entr(?:y|ies)$/, '至多 $1 项'],
  [/^expected at least (\S+)$/, '不得小于 $1'],
  [/^expected at most (\S+)$/, '不得大于 $1'],
  [/^expected (\S+(?:, \S+)*) or (\S+)$/, '应为 $1 或 $2'],
  [/^unknown key(.*)$/, '未知的键$1'],
  [/^is not of the form that is expected here$/, '格式不符'],
  [/^expected an IPv4 or IPv6 address$/, '应为 IPv4 或 IPv6 地址'],
  [/^expected an address or a network such as 10\.1\.0\.0\/16$/, '应为地址或网段，如 10.1.0.0/16'],
];

/** With what stands before the sentence, the key, as it is. Without a translation: English. */
export function sentenceZh(text: string): string {
  const [, key = '', sentence = ''] = /^([\w.[\]-]+: )?(.*)$/s.exec(text) ?? [];
  for (const [pattern, chinese] of SENTENCES) {
    const match = pattern.exec(sentence);
    if (match === null) continue;
    const words = match.slice(1).map(word => (pattern.source.startsWith('^is missing') ? sentenceZh(word) : word));
    return key + chinese.replaceAll(/\$(\d)/g, (_, index: string) => words[Number(index) - 1] ?? '');
  }
  return text;
}
