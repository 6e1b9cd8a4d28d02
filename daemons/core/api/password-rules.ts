/** Passwords of people who use the API (faults.md 7). Length is what counts; a few that everybody tries are refused. */
export const MIN_PASSWORD = 12;
export const MAX_PASSWORD = 128;
const MIN_DIFFERENT = 5;
const WORN: readonly string[] = ['password', 'passw0rd', 'viewlink', 'admin', 'qwerty', 'letmein', '12345678', 'abcdefgh', 'iloveyou', 'welcome'];

/** Why it cannot be one; null: it can. */
export function passwordProblem(password: string, user: string, before?: string): string | null {
  if (password.length < MIN_PASSWORD) return `shorter than ${MIN_PASSWORD} characters`;
  if (password.length > MAX_PASSWORD) return `longer than ${MAX_PASSWORD} characters`;
  if (/[\x00-\x1f\x7f]/.test(password)) return 'contains control characters';
  if (new Set(password).size < MIN_DIFFERENT) return `fewer than ${MIN_DIFFERENT} different characters`;
  const folded = password.toLowerCase();
  if (folded.includes(user.toLowerCase())) return 'contains the name of the user';
  if (WORN.some(word => folded.includes(word) && folded.length - word.length < MIN_PASSWORD - 4)) return 'is one that everybody tries';
  return before === password ? 'is the same as before' : null;
}
