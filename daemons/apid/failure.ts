/** A failure of the door: it never was a matter for what lies behind. */
import { API_WORDS, type DoorCode } from '#core/api/api-errors.ts';

export class DoorError extends Error {
  override readonly name = 'DoorError';
  readonly code: DoorCode;
  readonly detail: Readonly<Record<string, string | number>>;
  constructor(code: DoorCode, detail: Readonly<Record<string, string | number>> = {}) {
    super(API_WORDS[code]);
    this.code = code;
    this.detail = detail;
  }
}
