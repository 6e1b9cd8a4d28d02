import { isSecretPath } from '#core/config/complete.ts';
import { bindPath, parsePath } from '#core/config/path.ts';
import { readValue } from '#core/config/patch.ts';
import { GatewayError } from '#core/result.ts';
import type { EditStep } from '#contracts/configd.ts';
import { defineCommand, JSON_FLAG, type Context } from '../command.ts';
import { askSecret } from '../ask-secret.ts';
import { author, candidateText, PATIENCE, pathIn, pathText } from './common.ts';

/** The step that these words mean. A secret is asked for. */
export async function setStep(context: Context, words: readonly string[]): Promise<EditStep> {
  if (words.length === 0) throw new GatewayError('BAD_REQUEST', { why: 'a path and a value are missing' });
  if (isSecretPath(words)) {
    const path = pathText(words);
    return { op: 'set', path, value: await askSecret(context, path, true) };
  }
  const whole = parsePath(words.join(' '));
  const place = whole.ok ? bindPath(whole.value) : '';
  if (words.length > 1 && typeof place !== 'string') throw new GatewayError('BAD_REQUEST', { path: words.join(' '), why: 'a value is missing' });
  const path = words.slice(0, -1);
  if (isSecretPath(path)) throw new GatewayError('BAD_REQUEST', { path: pathText(path), why: 'a secret is not typed where others see it: leave it out, it is asked for, or read from a pipe' });
  const bound = pathIn(path);
  if (bound.steps.length === 0) throw new GatewayError('BAD_REQUEST', { path: words.join(' '), why: 'a value is missing' });
  return { op: 'set', path: pathText(path), value: readValue(bound.node, words.at(-1)!) };
}

export async function edit(context: Context, steps: readonly EditStep[], json: boolean): Promise<number> {
  const report = await context.configd(configd => configd.call('edit', { author: author(context), steps }, PATIENCE));
  context.print(report, json, candidateText);
  return 0;
}

const WORDS = { type: 'rest', help: 'path, and value', values: 'config-path' } as const;

export const set = defineCommand({
  path: 'config set',
  access: 'configure',
  help: 'a value in your candidate: config set upstreams city port 5061; a secret is asked for, or read from a pipe',
  args: { words: WORDS, json: JSON_FLAG },
  async run(context, { words, json }) {
    return await edit(context, [await setStep(context, words)], json);
  },
});

export const remove = defineCommand({
  path: 'config delete',
  access: 'configure',
  help: 'takes a value, an entry or a whole part out of your candidate',
  args: { words: { ...WORDS, help: 'path' }, json: JSON_FLAG },
  async run(context, { words, json }) {
    return await edit(context, [{ op: 'delete', path: pathText(words) }], json);
  },
});

export const discard = defineCommand({
  path: 'config discard',
  access: 'configure',
  help: 'forgets your candidate',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    await context.configd(configd => configd.call('discard', { author: author(context) }));
    if (json) context.print({ discarded: true }, true, () => '');
    return 0;
  },
});
