/** Other programs of the machine, without a shell, bounded in time and in what is read of them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { systemClock } from '#kit/clock.ts';

const TIMEOUT_MS = 10_000;
const MAX_BYTES = 8 * 1024 * 1024;
const ENDING = ['SIGTERM', 'SIGHUP'] as const;

export interface ToolRun {
  /** Null: it was ended. */
  readonly code: number | null;
  readonly text: string;
}

/** All that it says, with what it says of failures. BAD_REQUEST: it is not there. */
export async function runTool(command: string, args: readonly string[], timeoutMs = TIMEOUT_MS): Promise<ToolRun> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const chunks: Buffer[] = [];
  let bytes = 0;
  const keep = (chunk: Buffer): void => {
    if (bytes < MAX_BYTES) chunks.push(chunk);
    bytes += chunk.length;
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  using _limit = systemClock.schedule(addMs(systemClock.now(), timeoutMs), () => child.kill('SIGKILL'));
  const code = await ended(child, command);
  return { code, text: Buffer.concat(chunks).subarray(0, MAX_BYTES).toString('utf8') };
}

/** Line by line, for as long as it runs; the signal ends it. */
export async function followTool(command: string, args: readonly string[], signal: AbortSignal, onLine: (line: string) => void, onComplaint: (line: string) => void): Promise<number | null> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  createInterface({ input: child.stdout }).on('line', onLine);
  createInterface({ input: child.stderr }).on('line', onComplaint);
  try {
    return await ended(child, command);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** With the terminal as it is: its keys and its screen are that program's until it ends. It does not outlive us. */
export async function handOver(command: string, args: readonly string[], environment: NodeJS.ProcessEnv, signal: AbortSignal): Promise<number | null> {
  const child = spawn(command, args, { stdio: 'inherit', env: environment });
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  for (const name of ENDING) process.on(name, stop);
  try {
    return await ended(child, command);
  } finally {
    signal.removeEventListener('abort', stop);
    for (const name of ENDING) process.off(name, stop);
  }
}

function ended(child: ChildProcess, command: string): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => reject(new GatewayError('BAD_REQUEST', { tool: command, why: error.code === 'ENOENT' ? 'is not installed' : error.message })));
    child.once('close', code => resolve(code));
  });
}
