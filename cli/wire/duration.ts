/** `90`, `90s`, `10m`, `2h`: a span as an engineer types it. */
import { GatewayError } from '#core/result.ts';

const MS: Readonly<Record<string, number>> = { '': 1000, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export function spanMs(name: string, text: string): number {
  const match = /^(\d{1,6})(s|m|h|d)?$/.exec(text);
  if (match === null) throw new GatewayError('BAD_REQUEST', { [name]: text, why: 'expected a span such as 30s, 10m or 2h' });
  return Number(match[1]) * MS[match[2] ?? '']!;
}
