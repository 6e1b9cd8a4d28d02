/** What a typed line or an argument must not leave behind: in the history, in the audit log. */

/** Names whose value is one: `password`, `api.tokenKey`, `ha1` ... */
const SECRET_NAME = /pass(word|phrase|wd)|\bpass\b|secret|token|\bha1\b|(api|private|preshared|token)[-_ ]?key/i;

export const HIDDEN = '***';

export const hasSecret = (text: string): boolean => SECRET_NAME.test(text);
