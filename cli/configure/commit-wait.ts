/** Something that daemons may start anew for: whoever sits there sees that it goes on, and whom it waits for. */
import type { CommitWait, CommitResult } from '#contracts/configd.ts';
import { GatewayError } from '#core/result.ts';
import { addMs } from '#core/units.ts';
import { systemClock } from '#kit/clock.ts';
import type { Context } from '../command.ts';
import { say } from '../language.ts';
import type { Configd } from './common.ts';

const LOOK_EVERY_MS = 1000;

export const waitText = ({ daemon, doing, forMs, limitMs }: CommitWait): string =>
  `${daemon}: ${say(doing === 'told' ? 'is told' : 'starts anew')}, ${Math.round(forMs / 1000)} s${limitMs === null ? '' : ` / ${Math.round(limitMs / 1000)} s`}`;

/** The answer to `ask`. What it waits for is looked at over a connection of its own; that this fails is nothing to tell. */
export async function committing(context: Context, ask: (configd: Configd) => Promise<CommitResult>): Promise<CommitResult> {
  if (context.terminal === null) return await context.configd(ask);
  const over = new AbortController();
  const watching = watch(context, over.signal);
  try {
    return await context.configd(ask);
  } finally {
    over.abort();
    await watching;
    context.progress('');
  }
}

async function watch(context: Context, over: AbortSignal): Promise<void> {
  for (await pause(over); !over.aborted; await pause(over)) {
    const wait = await context.configd(configd => configd.call('waitsFor', {}, { timeoutMs: LOOK_EVERY_MS })).catch((error: unknown) => {
      if (error instanceof GatewayError || context.signal.aborted) return null;
      throw error;
    });
    if (!over.aborted && wait !== null) context.progress(waitText(wait));
  }
}

/** The command ends with its answer and not a moment later. */
async function pause(over: AbortSignal): Promise<void> {
  const next = Promise.withResolvers<void>();
  over.addEventListener('abort', () => next.resolve(), { once: true });
  using _timer = systemClock.schedule(addMs(systemClock.now(), LOOK_EVERY_MS), next.resolve);
  if (!over.aborted) await next.promise;
}
