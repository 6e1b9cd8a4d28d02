/** The answer to `reload`, the same in every daemon. */
import { z } from 'zod';
import type { ReloadAnswer, ReloadParams } from '#contracts/reload.ts';
import type { Log } from './log.ts';

/** How a daemon says that it cannot do this alive. What needs more than its own restart is left to people. */
const NEEDS_RESTART = /needs a restart of viewlink-/;

export const reloadSchema: z.ZodType<ReloadParams> = z.strictObject({ sections: z.array(z.string().max(64)).max(64), checkOnly: z.boolean().optional(), restart: z.boolean().optional() });

/** `check` and `apply` answer a sentence when they refuse. */
export async function answerReload({ checkOnly, restart }: ReloadParams, check: () => Promise<string | null>, apply: () => Promise<string | null>, log: Log): Promise<ReloadAnswer> {
  const refused = await (checkOnly === true ? check() : apply());
  if (refused === null || restart !== true || !NEEDS_RESTART.test(refused)) return { refused };
  if (checkOnly !== true) {
    log.info({ why: refused }, 'service.restarting');
    // As systemd would: what was asked is answered, everything is closed in its order.
    setImmediate(() => process.kill(process.pid, 'SIGTERM'));
  }
  return { refused: null, restarting: true };
}
