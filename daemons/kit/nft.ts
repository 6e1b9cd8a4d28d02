/** nft(8): rules as text, checked as a whole and then applied as a whole. Needs CAP_NET_ADMIN. */
import { execFile } from 'node:child_process';
import { GatewayError } from '#core/result.ts';

const LIMIT_MS = 20_000;
const MAX_SAID = 2000;
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

interface Ended {
  readonly ok: boolean;
  readonly said: string;
}

function nft(args: readonly string[], input: string): Promise<Ended> {
  return new Promise(resolve => {
    const child = execFile('nft', [...args], { timeout: LIMIT_MS, env: { PATH, LC_ALL: 'C' } }, (error, _stdout, stderr) => resolve({ ok: error === null, said: (stderr === '' ? (error?.message ?? '') : stderr).slice(0, MAX_SAID) }));
    // It may end before it has read everything.
    child.stdin?.on('error', () => undefined).end(input);
  });
}

/** STORE_FAILED with what nft said; then nothing has changed. */
export async function applyRules(text: string): Promise<void> {
  for (const args of [['--check', '--file', '-'], ['--file', '-']]) {
    const { ok, said } = await nft(args, text);
    if (!ok) throw new GatewayError('STORE_FAILED', { what: `nft ${args.join(' ')}`, why: said });
  }
}

/** `table`: family and name. */
export const hasTable = async (table: string): Promise<boolean> => (await nft(['list', 'table', ...table.split(' ')], '')).ok;
