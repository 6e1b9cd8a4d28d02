/** Simulators of both sides, for acceptance on site: they are programs of their own, with their own options and help. */
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GatewayError } from '#core/result.ts';
import { type Command, defineCommand } from '../command.ts';
import { EXIT_INTERRUPTED } from '../interrupted.ts';
import { handOver } from '../tool.ts';

function simulator(name: 'camera' | 'platform', help: string): Command {
  return defineCommand({
    path: `sim ${name}`,
    access: 'configure',
    help,
    live: true,
    passOn: true,
    unrestricted: true,
    args: { options: { type: 'rest', help: 'of the simulator; --help lists them', values: [] } },
    async run(context, { options }) {
      const program = fileURLToPath(new URL(`../../scripts/simulators/${name}/main.ts`, import.meta.url));
      await access(program).catch(() => {
        throw new GatewayError('BAD_REQUEST', { program, why: 'the simulators are not installed' });
      });
      // Footage is made once, where this user may write.
      const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
      const code = await handOver(process.execPath, [program, ...options], { ...process.env, XDG_CACHE_HOME: cache }, context.signal);
      return context.signal.aborted ? EXIT_INTERRUPTED : (code ?? EXIT_INTERRUPTED);
    },
  });
}

export const simCamera = simulator('camera', 'cameras and recorders that are none: they register with a gateway and send real footage; sim camera --help');
export const simPlatform = simulator('platform', 'a platform above that is none: it takes the registration of a gateway, asks for channels and judges what comes; sim platform --help');
