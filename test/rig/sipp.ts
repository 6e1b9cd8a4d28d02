/** SIPp as a judge: a run of one of the scenarios in test/wire/sipp, whose exit code is the verdict. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Transport } from './raw-peer.ts';
import type { Place } from './sip-text.ts';

const SCENARIOS = fileURLToPath(new URL('../wire/sipp/', import.meta.url));

export interface SippOptions {
  readonly scenario: string;
  /** For requests that begin calls of their own. */
  readonly asked?: string;
  readonly transport: Transport;
  readonly local: Place;
  readonly remote: Place;
  /** `[name]` in the scenarios. */
  readonly keys: Readonly<Record<string, string>>;
  /** Its answer to a challenge. */
  readonly credentials?: { readonly username: string; readonly password: string };
  /** For its logs. */
  readonly directory: string;
  readonly limitS?: number;
}

export interface SippVerdict {
  /** 0: every message was what the scenario expects. */
  readonly code: number | null;
  /** What it complained about. */
  readonly said: string;
}

/** Runs one call to its end. */
export async function sipp({ scenario, asked, transport, local, remote, keys, credentials, directory, limitS = 20 }: SippOptions): Promise<SippVerdict> {
  const errors = join(directory, `${scenario}-${local.port}.errors`);
  const child = spawn(
    'sipp',
    [
      `${remote.address}:${remote.port}`, '-sf', join(SCENARIOS, `${scenario}.xml`), ...(asked === undefined ? [] : ['-oocsf', join(SCENARIOS, `${asked}.xml`)]),
      '-i', local.address, '-p', String(local.port), '-t', transport === 'UDP' ? 'u1' : 't1', '-m', '1', '-nostdin',
      '-timeout', `${limitS}s`, '-timeout_error', '-trace_err', '-error_file', errors, ...Object.entries(keys).flatMap(([name, value]) => ['-key', name, value]),
      ...(credentials === undefined ? [] : ['-au', credentials.username, '-ap', credentials.password]),
    ],
    { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => (words += chunk.toString()));
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  return { code, said: `${words}${existsSync(errors) ? readFileSync(errors, 'utf8') : ''}`.slice(0, 2000) };
}
