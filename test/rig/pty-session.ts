/** A person at a terminal, played by Python's pty: the outside judge of what is interactive. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { join } from 'node:path';

export interface PtyStep {
  readonly send?: string;
  /** A regular expression of Python over what has come since the step before. */
  readonly expect?: string;
  readonly withinS?: number;
  /** Sends again so often until it is answered. */
  readonly everyS?: number;
}

export interface PtyScript {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly columns?: number;
  readonly rows?: number;
  readonly uid?: number;
  readonly steps: readonly PtyStep[];
}

export interface PtyOutcome {
  /** What came in each step, up to what was expected. */
  readonly steps: readonly string[];
  /** Null: it had to be killed. */
  readonly code: number | null;
}

export async function ptySession({ columns = 100, rows = 24, ...script }: PtyScript): Promise<PtyOutcome> {
  const python = spawn('python3', [join(import.meta.dirname, 'pty_session.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
  python.stdin.end(JSON.stringify({ ...script, columns, rows }));
  return JSON.parse(await text(python.stdout)) as PtyOutcome;
}
