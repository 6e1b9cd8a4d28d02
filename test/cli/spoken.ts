/** vlink in this process, and what it said. */
import { main } from '../../cli/vlink.ts';

export interface Spoken {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function vlink(environment: NodeJS.ProcessEnv, ...argv: readonly string[]): Promise<Spoken> {
  let out = '';
  let err = '';
  const code = await main(argv, environment, { out: text => (out += text), err: text => (err += text) });
  return { code, out, err };
}
