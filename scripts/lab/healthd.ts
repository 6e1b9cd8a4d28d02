/** healthd beside a lab gateway, run as its unit runs it. */
import { join } from 'node:path';
import type { HealthdEvent, HealthdRequests } from '#contracts/healthd.ts';
import { type RpcClient, connectRpc } from '#kit/rpc.ts';
import { DaemonProcess } from './daemon-process.ts';
import type { LabGateway } from './gateway.ts';
import { unitFlags } from './unit-flags.ts';

/** `sysroot`: default the machine itself. `cache`: where compiled modules are kept, as the unit has it. */
export function startHealthd(lab: LabGateway, { sysroot = '', cache }: { readonly sysroot?: string; readonly cache?: string } = {}): Promise<DaemonProcess> {
  return DaemonProcess.start({
    name: 'healthd',
    entry: 'daemons/healthd/main.ts',
    args: ['--config', lab.configPath, '--sysroot', sysroot],
    readyEvent: 'healthd.ready',
    logPath: join(lab.directory, 'healthd.log'),
    nodeFlags: unitFlags('healthd'),
    // Whoever starts us may hook itself into what we start: not into what is weighed.
    ...(cache !== undefined && { within: ['env', 'NODE_OPTIONS='], env: { NODE_COMPILE_CACHE: cache } }),
  });
}

export const healthdRpc = (lab: LabGateway, onEvent?: (event: HealthdEvent) => void): Promise<RpcClient<HealthdRequests>> => connectRpc<HealthdRequests, HealthdEvent>(join(lab.directory, 'run', 'healthd.sock'), onEvent === undefined ? {} : { onEvent });
