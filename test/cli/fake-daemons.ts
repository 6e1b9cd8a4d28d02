/** sipd, mediad and configd that answer from tables: what vlink is shown in tests, in this process or in one of its own. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ConfigdRequests } from '#contracts/configd.ts';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { ChannelRow, DeviceRow, SessionRow, SipdRequests } from '#contracts/sipd.ts';
import { GatewayError } from '#core/result.ts';
import { Closer } from '#kit/closer.ts';
import { Accounts } from '#kit/accounts.ts';
import { createLog } from '#kit/log.ts';
import { mediadAccess, sipdAccess } from '#kit/request-access.ts';
import { mediadRequestSchemas, sipdRequestSchemas } from '#kit/request-schemas.ts';
import { type ParamsOf, type RpcHandlers, type RpcSchemas, serveRpc } from '#kit/rpc.ts';
import { z } from 'zod';

export type AuditCall = ParamsOf<ConfigdRequests, 'audit'>;

export interface FakeDaemons extends AsyncDisposable {
  readonly directory: string;
  readonly configPath: string;
  /** `method argument`, in order. */
  readonly calls: string[];
  readonly audits: AuditCall[];
}

export interface FakeOptions {
  readonly channels?: number;
  readonly configd?: boolean;
  /** Names of devices. */
  readonly names?: readonly string[];
  readonly sessions?: readonly SessionRow[];
  /** Lines that follow in the file of the configuration. */
  readonly config?: string;
  /** listResources never answers. */
  readonly silent?: boolean;
  /** Users of the machine; else its own. */
  readonly accounts?: Accounts;
}

const DEVICE = '34020000001110000001';
const log = createLog('test', 'silent');

export const fakeDevice = (n: number, name: string): DeviceRow => ({ id: `3402000000111${String(n + 1).padStart(7, '0')}`, name, manufacturer: 'Maker', model: null, firmware: null, edition: '2016', dialect: 'standard', dialectBy: 'nothing known of it', state: n % 2 === 0 ? 'online' : 'offline', reason: n % 2 === 0 ? null : 'keepalive-lost', transport: 'UDP', address: `10.0.0.${n + 1}:5060`, expiresInMs: 3_500_000, lastKeepaliveAgeMs: 20_000, channels: 2, catalog: { state: 'complete', expected: 2, received: 2, atWallMs: 1 } });

export const fakeChannel = (n: number, name = `摄像机 ${n}`): ChannelRow => ({ deviceId: DEVICE, channelId: `3402000000131${String(n).padStart(7, '0')}`, name, status: 'ON', manufacturer: null, civilCode: '340200', mapped: [], playing: false });

/** Only what is asked; everything else is refused as unknown. */
export async function fakeDaemons({ channels = 3, configd = true, names = ['北门 NVR', '南门 NVR'], sessions = [], config = '', silent = false, accounts = new Accounts() }: FakeOptions = {}): Promise<FakeDaemons> {
  const directory = mkdtempSync(join(tmpdir(), 'vl-cli-'));
  chmodSync(directory, 0o755);
  const calls: string[] = [];
  const audits: AuditCall[] = [];
  let cpuMs = 0;
  const rows = Array.from({ length: channels }, (_, n) => fakeChannel(n));
  const sipd: Partial<RpcHandlers<SipdRequests>> = {
    listDevices: () => names.map((name, n) => fakeDevice(n, name)),
    listChannels: ({ offset = 0, limit = 1000 }) => ({ total: rows.length, rows: rows.slice(offset, offset + Math.min(limit, 1000)) }),
    listUpstreams: () => [],
    listSessions: () => sessions,
    totals: () => ({ channels: rows.length, shared: 2, accessed: 1, online: 2, playing: 0 }),
    summary: () => ({ devices: { online: 1, offline: 1, neverRegistered: 1 }, gone: [], channels: { all: 3, online: 2 }, upstreams: [], sources: [], store: { state: 'ok', queued: 0, refused: 0, origin: 'whole' } }),
    counters: () => ({ 'sip.accepted': 9, 'process.cpu-ms': (cpuMs += 50), 'process.rss-bytes': 90_000_000, 'process.loop-delay-p99-us': 1200 }),
    ptz: ({ channel, command, holdMs, author }) => (calls.push(`ptz ${channel} ${JSON.stringify(command)} ${holdMs} ${author.user} ${author.via}`), { deviceId: DEVICE, channelId: channel }),
    control: ({ channel, control }) => (calls.push(`control ${channel} ${JSON.stringify(control)}`), { deviceId: DEVICE, channelId: channel }),
    presets: ({ channel }) => ({ deviceId: DEVICE, channelId: channel, presets: [{ preset: 1, name: '大门\x1b[2J' }, { preset: 2, name: '' }] }),
    records: ({ channel, fromWallMs, toWallMs }) => (calls.push(`records ${channel} ${new Date(fromWallMs).toISOString()} ${toWallMs - fromWallMs}`), { deviceId: DEVICE, channelId: channel, complete: channel !== 'part', missing: channel === 'part' ? 3 : 0, records: [{ name: '录像', startWallMs: fromWallMs, endWallMs: fromWallMs + 7_200_000, type: 'time', bytes: 123_456_789 }] }),
    // A question that may never be answered.
    listResources: () => (silent ? new Promise(() => calls.push('listResources')) : []),
    why: ({ channel }) => {
      calls.push(`why ${channel}`);
      throw new GatewayError('CHANNEL_UNKNOWN', { channel });
    },
    refreshCatalog: ({ deviceId }) => (calls.push(`refreshCatalog ${deviceId}`), null),
  };
  const mediad: Partial<RpcHandlers<MediadRequests>> = { counters: () => ({ 'rtp.wrong-ssrc': 5 }), load: () => ({ instance: '1', pid: 1, bridges: 1, sinks: 1, bitrateInBps: 4_200_000, bitrateOutBps: 8_400_000, cpu: 0.1, portsFree: 9, refuses: null, strain: { level: 0, says: null, ended: { 'preview': 0, 'transcode': 0, 'pass-through': 0 } } }), listOutlets: () => [] };
  const closer = new Closer();
  closer.defer(() => rmSync(directory, { recursive: true, force: true }));
  closer.use(await serveRpc<SipdRequests>(join(directory, 'sipd.sock'), sipd as RpcHandlers<SipdRequests>, { validate: sipdRequestSchemas, access: sipdAccess, accounts, log }));
  closer.use(await serveRpc<MediadRequests>(join(directory, 'mediad-1.sock'), mediad as RpcHandlers<MediadRequests>, { validate: mediadRequestSchemas, access: mediadAccess, accounts, log }));
  const audit: Pick<RpcHandlers<ConfigdRequests>, 'audit'> = { audit: params => ({ sequence: audits.push(params) }) };
  const anything = { audit: z.looseObject({}) } as unknown as RpcSchemas<Pick<ConfigdRequests, 'audit'>>;
  if (configd) closer.use(await serveRpc<Pick<ConfigdRequests, 'audit'>>(join(directory, 'configd.sock'), audit, { validate: anything, access: { audit: 'read' }, accounts, log }));
  const configPath = join(directory, 'gateway.yaml');
  writeFileSync(configPath, `rpc: {directory: ${directory}}\nstate: {directory: ${directory}}\n${config}`);
  return { directory, configPath, calls, audits, [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose]() };
}

if (import.meta.main) {
  const daemons = await fakeDaemons({ channels: Number(process.argv[2] ?? 3) });
  process.stdout.write(`${daemons.configPath}\n`);
  process.on('SIGTERM', () => void daemons[Symbol.asyncDispose]().then(() => process.exit(0)));
}
