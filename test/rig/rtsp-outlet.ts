/** An RTSP outlet on loopback with test footage behind its door: for tests without cameras. */
import { parseOutletPath } from '#core/outlets/outlet-path.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { systemHashes } from '#kit/hashes.ts';
import { CountedLog, createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import { type MediaPorts, RangePorts } from '../../daemons/mediad/media-ports.ts';
import { OUTLET_REALM, type OutletDoor, type OutletLease } from '../../daemons/mediad/outlet-door.ts';
import { RtspOutlet } from '../../daemons/mediad/outlet-rtsp.ts';
import { Strays } from '../../daemons/mediad/strays.ts';
import type { UnitStream } from '../../daemons/mediad/unit-stream.ts';
import { freePort } from '../wire/free-port.ts';

export const CHANNEL = '34020000001320000001';
export const TOKEN = 'fits';
export const USER = 'wall';
export const PASSWORD = 'wall-secret';

export interface RtspRig extends AsyncDisposable {
  readonly outlet: RtspOutlet;
  readonly counters: Map<string, number>;
  readonly leases: Set<OutletLease>;
  readonly ports: MediaPorts;
  /** With the token. */
  readonly url: string;
  readonly bareUrl: string;
  readonly port: number;
}

export interface RtspRigOptions {
  readonly stream: () => UnitStream;
  readonly maxPerAddress?: number;
  /** Default: the loopback. */
  readonly address?: string;
  /** How long a channel takes to open. */
  readonly opening?: () => Promise<void>;
}

export async function openRtspRig({ stream, maxPerAddress, address = '127.0.0.1', opening = async () => undefined }: RtspRigOptions): Promise<RtspRig> {
  const closer = new Closer();
  const port = await freePort();
  const log = createLog('mediad', 'silent');
  const first = 20_000 + 2 * (process.pid % 4000);
  const ports = new RangePorts({ first, last: first + 399 }, { strays: new Strays(new CountedLog(log, systemClock, 'stray')), receiveBufferBytes: 1 << 20, clock: systemClock });
  const leases = new Set<OutletLease>();
  const counters = new Map<string, number>();
  const ha1 = systemHashes.md5(`${USER}:${OUTLET_REALM}:${PASSWORD}`);
  const door: OutletDoor = {
    tokenFits: path => path.token === TOKEN && path.channel === CHANNEL,
    user: (name, path) => (name === USER && path.channel === CHANNEL ? { name, ha1 } : undefined),
    async open(path) {
      await opening();
      if (path.streamNumber > 1) throw new GatewayError('CAPACITY_EXHAUSTED', {});
      const lease: OutletLease = { stream: stream(), onEnd: () => undefined, [Symbol.dispose]: () => void leases.delete(lease) };
      leases.add(lease);
      return lease;
    },
  };
  if (!parseOutletPath(`/live/${CHANNEL}`).ok) throw new Error('no path');
  const outlet = closer.use(
    await RtspOutlet.open({ address, port, door, ports, clock: systemClock, random: systemRandom, hashes: systemHashes, log, count: name => counters.set(name, (counters.get(name) ?? 0) + 1), ...(maxPerAddress !== undefined && { maxPerAddress }) }),
  );
  const bareUrl = `rtsp://${address}:${port}/live/${CHANNEL}`;
  return { outlet, counters, leases, ports, port, bareUrl, url: `${bareUrl}?token=${TOKEN}`, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}
