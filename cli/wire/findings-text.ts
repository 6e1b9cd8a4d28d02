/** What the validator found, for people. */
import type { Finding } from '#core/diagnose/rule.ts';

export function findingLines(findings: readonly Finding[]): string[] {
  if (findings.length === 0) return ['no rule was seen broken'];
  return findings.flatMap(({ severity, id, says, clause, detail, by, count }) => [`${severity.padEnd(5)}  ${id}: ${says}`, `       ${by}${count > 1 ? `, ${count} times` : ''}: ${detail}`, `       ${clause}`]);
}
