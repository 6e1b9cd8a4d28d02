/** A failure of the door: it never was a matter for what lies behind. */
import { API_WORDS, type DoorCode } from '#core/api/api-errors.ts';
import { GatewayError } from '#core/result.ts';

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

/** Who refused it has written it down. */
export class RefusedBelow extends GatewayError {}
