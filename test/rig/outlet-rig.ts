/** Outlets of mediad without sipd and cameras: a door to streams of test footage, with tokens and users. */
import { createHmac } from 'node:crypto';
import type { OutletsConfig } from '#core/config/schema.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import { type OutletPath, parseOutletPath } from '#core/outlets/outlet-path.ts';
import { checkToken, signToken } from '#core/outlets/outlet-token.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { systemHashes } from '#kit/hashes.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import type { OutletDoor, OutletLease, OutletUser, OutletViewer } from '../../daemons/mediad/outlet-door.ts';
import type { UnitStream } from '../../daemons/mediad/unit-stream.ts';

export const OUTLET_CHANNEL = '34020000001320000001';
export const OTHER_CHANNEL = '34020000001320000002';
const KEY = 'a-key-of-the-tests-that-is-long-enough';

const mac = (text: string): string => createHmac('sha256', KEY).update(text).digest('hex');

/** `forS` negative: expired. */
export const tokenFor = (channel: string, forS = 600, streamNumber = 0): string => signToken({ channel, streamNumber }, Math.floor(Date.now() / 1000) + forS, mac);

export class RigDoor implements OutletDoor {
  /** By CHANNEL of the path. */
  readonly streams = new Map<string, UnitStream>();
  readonly users = new Map<string, OutletUser & { readonly channels: readonly string[] }>();
  readonly opened: { readonly path: OutletPath; readonly viewer: OutletViewer }[] = [];
  readonly leases = new Set<OutletLease>();
  /** Before a channel is given. */
  before: () => Promise<void> = async () => undefined;

  tokenFits(path: OutletPath): boolean {
    return path.token !== null && checkToken(path.token, path, systemClock.wall(), mac).ok;
  }

  user(name: string, path: OutletPath): OutletUser | undefined {
    const user = this.users.get(name);
    return user?.channels.includes(path.channel) === true ? user : undefined;
  }

  async open(path: OutletPath, viewer: OutletViewer): Promise<OutletLease> {
    await this.before();
    const stream = this.streams.get(path.channel);
    if (stream === undefined) throw new GatewayError('CHANNEL_UNKNOWN', { channelId: path.channelId });
    this.opened.push({ path, viewer });
    const lease: OutletLease = { stream, onEnd: () => undefined, [Symbol.dispose]: () => void this.leases.delete(lease) };
    this.leases.add(lease);
    return lease;
  }
}

export const outletPath = (text: string): OutletPath => {
  const parsed = parseOutletPath(text);
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
};

/** What every outlet server is given, with a count of everything. */
export function outletRig(limits: Partial<OutletsConfig> = {}) {
  const config: OutletsConfig = { ...gatewaySchema.parse({}).outlets, ...limits };
  const counts = new Map<string, number>();
  const lines: string[] = [];
  const door = new RigDoor();
  return {
    door,
    counts,
    lines,
    config,
    deps: {
      address: '127.0.0.1',
      port: 0,
      door,
      clock: systemClock,
      hashes: systemHashes,
      random: systemRandom,
      log: createLog('mediad', 'silent'),
      count: (name: string) => void counts.set(name, (counts.get(name) ?? 0) + 1),
      limits: () => config,
    },
  };
}
