/** Point by point: does a platform, or a device of ours, keep to the standard? */
import type { PointRow } from '#core/diagnose/platform-points.ts';
import type { Finding } from '#core/diagnose/rule.ts';
import { validate } from '#core/diagnose/validate.ts';
import { isGbId } from '#core/gb/device-id.ts';
import { bracketed, normalizeIp } from '#core/ip.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { LocalAddresses } from '#kit/net.ts';
import { askSecret } from '../ask-secret.ts';
import { type Context, defineCommand, JSON_FLAG } from '../command.ts';
import { probeDevice } from '../wire/device-probe.ts';
import { findingLines } from '../wire/findings-text.ts';
import { probePlatform } from '../wire/platform-probe.ts';
import { decode, recorded } from '../wire/recorded.ts';
import { inventoryOf, type Inventory, targetOf } from '../wire/target.ts';

const FOUND = 1;
const DEFAULT_PORT = 5060;

interface Report {
  readonly peer: string;
  readonly as: 'platform' | 'device';
  readonly points: readonly PointRow[];
  readonly findings: readonly Finding[];
}

/** Clauses only where they are needed. */
function pointLines({ id, clause, asks, verdict, seen }: PointRow): string[] {
  const line = `${verdict.padEnd(9)}  ${id.padEnd(21)}  ${asks}: ${seen}`;
  return verdict === 'wrong' || verdict === 'loose' ? [line, `${' '.repeat(34)}${clause}`] : [line];
}

interface PlatformArgs {
  readonly id: string | undefined;
  readonly platform: string | undefined;
  readonly transport: string | undefined;
  readonly password: boolean;
}

/** `192.0.2.1`, `192.0.2.1:5060`, `[2001:db8::1]:5060`. Undefined: no address. */
function placeOf(text: string): { readonly address: string; readonly port: number } | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[0-9.]+)(?::(\d{1,5}))?$/.exec(text);
  const address = normalizeIp(match?.[1] ?? text);
  const port = Number(match?.[2] ?? DEFAULT_PORT);
  return address === undefined || port < 1 || port > 65_535 ? undefined : { address, port };
}

/** Under an ID that the gateway itself uses there, its own registration would be lost. */
function assertFree(id: string, { upstreams }: Inventory): void {
  const taken = upstreams.find(({ localId, state }) => localId === id && state !== 'disabled');
  if (taken !== undefined) throw new GatewayError('BAD_REQUEST', { id, why: `the gateway is registered at ${taken.name} under this ID; its registration would be lost` });
}

async function checkPlatform(context: Context, place: { readonly address: string; readonly port: number }, { id, platform: peerId = '', transport = 'udp', password }: PlatformArgs): Promise<Report> {
  if (id === undefined || !isGbId(id)) throw new GatewayError('BAD_REQUEST', { id: id ?? '', why: 'expected --id: 20 digits that the platform knows us by' });
  if (transport !== 'udp' && transport !== 'tcp') throw new GatewayError('BAD_REQUEST', { transport, why: 'expected udp or tcp' });
  // Without a running sipd nothing can be lost.
  const inventory = await context.sipd(inventoryOf).catch((error: unknown) => {
    if (error instanceof GatewayError && error.code === 'DAEMON_UNREACHABLE') return undefined;
    throw error;
  });
  if (inventory !== undefined) assertFree(id, inventory);
  const localAddress = new LocalAddresses(systemClock).sourceFor(place.address);
  if (localAddress === undefined) throw new GatewayError('BAD_REQUEST', { address: place.address, why: 'there is no route to it' });
  const secret = password ? await askSecret(context, `password of ${id} at ${place.address}`) : undefined;
  const { rows, messages } = await probePlatform({ ...place, transport: transport === 'udp' ? 'UDP' : 'TCP', id, peerId, password: secret, localAddress, signal: context.signal, onStep: asks => context.progress(asks) });
  const findings = validate(messages, decode, systemClock.wall()).filter(({ by }) => by !== 'us');
  return { peer: `${bracketed(place.address)}:${place.port}`, as: 'platform', points: rows, findings };
}

async function checkDevice(context: Context, text: string): Promise<Report> {
  const inventory = await context.sipd(inventoryOf);
  const { channel } = targetOf(text, inventory);
  const device = inventory.devices.find(({ id }) => id === (channel?.deviceId ?? text));
  if (device === undefined) throw new GatewayError('PEER_UNKNOWN', { peer: text });
  const sinceWallMs = systemClock.wall();
  const played = channel ?? inventory.channels.find(({ deviceId, status }) => deviceId === device.id && status === 'ON');
  const { rows, findings } = await probeDevice(context, device, played, asks => context.progress(asks));
  const target = targetOf(device.id, inventory);
  const { messages } = await context.sipd(client => recorded(client, { sinceWallMs, needles: target.needles, peers: target.peers }));
  const said = validate(target.select(messages), decode, systemClock.wall()).filter(({ by }) => by !== 'us');
  return { peer: device.id, as: 'device', points: rows, findings: [...said, ...findings] };
}

export default defineCommand({
  path: 'check peer',
  access: 'diagnose',
  help: 'point by point, does a platform or a device keep to the standard; exit code 1 when something is wrong',
  args: {
    peer: { type: 'argument', help: 'ADDRESS[:PORT] of a platform, or the ID of a device or channel that is registered here' },
    id: { type: 'option', help: 'platform: the 20-digit ID under which vlink registers there' },
    platform: { type: 'option', help: 'platform: its 20-digit ID; its domain follows from it' },
    transport: { type: 'option', values: ['udp', 'tcp'], help: 'platform: udp (default) or tcp' },
    password: { type: 'flag', help: 'platform: ask for the password, or read it from what is piped in' },
    json: JSON_FLAG,
  },
  async run(context, { peer, json, ...rest }) {
    const place = placeOf(peer);
    const report = place === undefined ? await checkDevice(context, peer) : await checkPlatform(context, place, rest);
    context.print(report, json, ({ points, findings }) => [...points.flatMap(pointLines), '', ...findingLines(findings)].join('\n'));
    const isWrong = report.points.some(({ verdict }) => verdict === 'wrong') || report.findings.some(({ severity }) => severity === 'wrong');
    return isWrong ? FOUND : 0;
  },
});
