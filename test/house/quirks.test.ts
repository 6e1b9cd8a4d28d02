/** The table of quirks is complete, its keys exist, and each that concerns us is shown somewhere. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { gatewaySchema } from '#core/config/schema.ts';
import { QUIRK_RULES } from '#core/gb/dialects/quirks.ts';

const ROOT = join(import.meta.dirname, '../..');
const text = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

t.test('one rule for each row of the table', async t => {
  t.same(QUIRK_RULES.map(({ quirk }) => quirk), Array.from({ length: 78 }, (_, index) => index + 1));
});

t.test('what concerns us is shown by a test', async t => {
  for (const { quirk, coping, shown } of QUIRK_RULES) {
    if (coping === 'elsewhere') t.equal(shown, undefined, `${quirk}`);
    else t.ok(shown !== undefined && text(shown[0]).includes(shown[1]), `quirk ${quirk}: ${shown?.join(' does not say ')}`);
  }
});

t.test('what can be said per peer has a key in the reference', async t => {
  const reference = text('etc/gateway.yaml');
  for (const { quirk, coping, key } of QUIRK_RULES) {
    t.equal(key !== undefined, coping === 'switch', `quirk ${quirk}`);
    if (key !== undefined) t.match(reference, new RegExp(`\\b${key.split('.').at(-1)!}:`), `quirk ${quirk}: ${key}`);
  }
  t.ok(Object.keys(gatewaySchema.shape).length > 5);
});
