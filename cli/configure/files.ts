import { readFile, writeFile } from 'node:fs/promises';
import { GatewayError } from '#core/result.ts';
import { defineCommand, JSON_FLAG } from '../command.ts';
import { askSecret } from '../ask-secret.ts';
import { author, candidateText, CONFIRM_OPTION, minutesIn, PATIENCE, revisionBack, tellCommit } from './common.ts';
import { committing } from './commit-wait.ts';

const OWNER_ONLY = 0o600;
const FILE = { type: 'argument', help: 'file', values: 'file' } as const;

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new GatewayError('BAD_REQUEST', { file, why: (error as NodeJS.ErrnoException).code ?? String(error) });
  }
}

/** Never over something that is there. */
async function write(file: string, data: string | Uint8Array): Promise<void> {
  try {
    await writeFile(file, data, { mode: OWNER_ONLY, flag: 'wx' });
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST';
    if (isThere) throw new GatewayError('BAD_REQUEST', { file, why: 'is there already: nothing is written over' });
    throw new GatewayError('STORE_FAILED', { file, why: (error as NodeJS.ErrnoException).code ?? String(error) });
  }
}

export const save = defineCommand({
  path: 'config save',
  access: 'read',
  help: 'the configuration into a new file, comments with it, secrets as ***; config backup keeps them too',
  args: { file: FILE, revision: { type: 'option', help: 'a kept revision; default: the current one' }, json: JSON_FLAG },
  async run(context, { file, revision, json }) {
    const { text } = await context.configd(async configd => await configd.call('show', { path: '', of: revision === undefined ? 'current' : await revisionBack(configd, revision), author: author(context) }, PATIENCE));
    await write(file, text);
    if (json) context.print({ file }, true, () => '');
    return 0;
  },
});

export const load = defineCommand({
  path: 'config load',
  access: 'configure',
  help: 'a whole file as your candidate; *** keeps the secret that stands there now',
  args: { file: FILE, json: JSON_FLAG },
  async run(context, { file, json }) {
    const text = (await read(file)).toString('utf8');
    context.print(await context.configd(configd => configd.call('load', { author: author(context), text }, PATIENCE)), json, candidateText);
    return 0;
  },
});

export const backup = defineCommand({
  path: 'config backup',
  access: 'configure',
  help: 'configuration, revisions and secrets into one encrypted file; the passphrase is asked for, or read from a pipe',
  args: { file: FILE, json: JSON_FLAG },
  async run(context, { file, json }) {
    const passphrase = await askSecret(context, 'passphrase, 12 characters or more', true);
    const { fileBase64 } = await context.configd(configd => configd.call('backup', { author: author(context), passphrase }, PATIENCE));
    await write(file, Buffer.from(fileBase64, 'base64'));
    context.print({ file }, json, () => `${file}: without its passphrase nobody can read it, you neither`);
    return 0;
  },
});

export const restore = defineCommand({
  path: 'config restore',
  access: ['configure', 'security'],
  help: 'a backup into force, as a new revision; daemons start anew where they must',
  args: { file: FILE, confirm: CONFIRM_OPTION, json: JSON_FLAG },
  async run(context, { file, confirm, json }) {
    const confirmMinutes = minutesIn(confirm);
    const fileBase64 = (await read(file)).toString('base64');
    const passphrase = await askSecret(context, 'passphrase');
    return tellCommit(context, await committing(context, configd => configd.call('restore', { author: author(context), passphrase, fileBase64, confirmMinutes }, PATIENCE)), json);
  },
});
