/** The first password: in a file that only root and we can read, until it was used (`vlink api first-password` shows it and takes it away). */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GatewayError } from '#core/result.ts';

export const fileOf = (rpcDirectory: string): string => join(rpcDirectory, 'first-password');

/** STORE_FAILED: nobody could ever log in. */
export function leaveFirstPassword(rpcDirectory: string, user: string, password: string): void {
  const path = fileOf(rpcDirectory);
  try {
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    writeFileSync(path, `${user} ${password}\n`, { mode: 0o400, flag: 'wx' });
  } catch (error) {
    throw new GatewayError('STORE_FAILED', { path, why: (error as NodeJS.ErrnoException).code ?? String(error) }, { cause: error });
  }
}

/** Twice is once. */
export const removeFirstPassword = (rpcDirectory: string): void => rmSync(fileOf(rpcDirectory), { force: true });

/** What stands in the file, which is then gone. Null: there is none. */
export function takeFirstPassword(rpcDirectory: string): { readonly user: string; readonly password: string } | null {
  const path = fileOf(rpcDirectory);
  if (!existsSync(path)) return null;
  const [user = '', password = ''] = readFileSync(path, 'utf8').trim().split(' ');
  rmSync(path, { force: true });
  return { user, password };
}
