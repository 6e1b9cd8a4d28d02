/** A program of somebody else, run to its end within a limit. */
import { execFile } from 'node:child_process';

export interface ToolRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
}

export function runTool(command: string, args: readonly string[], limitMs = 30_000): Promise<ToolRun> {
  const since = performance.now();
  return new Promise(resolve => {
    const child = execFile(command, [...args], { timeout: limitMs, maxBuffer: 64 * 1024 * 1024 }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode, stdout, stderr, tookMs: Math.round(performance.now() - since) });
    });
  });
}
