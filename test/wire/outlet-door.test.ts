import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { OpenOutletParams, SipdRequests } from '#contracts/sipd.ts';
import type { OutletsConfig } from '#core/config/schema.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import { type OutletPath, parseOutletPath } from '#core/outlets/outlet-path.ts';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { systemHashes } from '#kit/hashes.ts';
import { createLog } from '#kit/log.ts';
import { systemRandom } from '#kit/random.ts';
import { sipdRequestSchemas } from '#kit/request-schemas.ts';
import { type RpcHandlers, serveRpc } from '#kit/rpc.ts';
import type { OutletLease, OutletViewer } from '../../daemons/mediad/outlet-door.ts';
import { Outlets } from '../../daemons/mediad/outlets.ts';
import { loadFootage } from '../../scripts/media/footage.ts';
import { FootageUnits } from '../rig/footage-units.ts';
import { until } from '../rig/until.ts';

const CHANNEL = '34020000001320000001';
const OTHER = '34020000001320000002';
const KEY = 'a-key-of-the-tests-that-is-long-enough';
const VIEWER: OutletViewer = { protocol: 'rtsp', remote: '127.0.0.1:50000' };

const path = (text: string): OutletPath => {
  const parsed = parseOutletPath(text);
  if (!parsed.ok) throw new Error(parsed.error.why);
  return parsed.value;
};

/** sipd as the door sees it: one bridge a channel, opened and closed by leases. */
class FakeSipd {
  readonly opened: OpenOutletParams[] = [];
  readonly closed: string[] = [];
  answer: (params: OpenOutletParams) => Promise<{ bridgeId: string }> = async ({ channelId }) => ({ bridgeId: `b${channelId}` });

  async serve(socket: string): Promise<AsyncDisposable> {
    const handlers = {
      openOutlet: (params: OpenOutletParams) => {
        this.opened.push(params);
        return this.answer(params);
      },
      closeOutlet: ({ leaseId }: { leaseId: string }) => {
        this.closed.push(leaseId);
        return null;
      },
    } as unknown as RpcHandlers<SipdRequests>;
    return serveRpc<SipdRequests>(socket, handlers, { validate: sipdRequestSchemas, log: createLog('sipd', 'silent') });
  }
}

async function openDoor(config: Partial<OutletsConfig> = {}) {
  const closer = new Closer();
  const directory = await mkdtemp(join(tmpdir(), 'viewlink-door-'));
  closer.defer(() => rm(directory, { recursive: true, force: true }));
  const socket = join(directory, 'sipd.sock');
  const sipd = new FakeSipd();
  let server = await sipd.serve(socket);
  closer.defer(() => server[Symbol.asyncDispose]());
  const streams = new Map<string, FootageUnits>();
  const footage = await loadFootage('h264');
  const outlets: OutletsConfig = { ...gatewaySchema.parse({}).outlets, address: '127.0.0.1', rtspPort: 8554, httpPort: 8080, tokenKey: KEY, ...config };
  const door = closer.use(
    new Outlets({
      instance: '2',
      sipdSocket: socket,
      clock: systemClock,
      random: systemRandom,
      hashes: systemHashes,
      log: createLog('mediad', 'silent'),
      config: () => outlets,
      priority: () => 100,
      units: bridgeId => {
        if (!streams.has(bridgeId)) streams.set(bridgeId, new FootageUnits(footage));
        return streams.get(bridgeId);
      },
    }),
  );
  closer.defer(() => {
    for (const stream of streams.values()) stream[Symbol.dispose]();
  });
  await door.start();
  return {
    door,
    sipd,
    streams,
    async restartSipd() {
      await server[Symbol.asyncDispose]();
      server = await sipd.serve(socket);
    },
    [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose](),
  };
}

const codeOf = async (opening: Promise<OutletLease>): Promise<string> =>
  opening.then(
    () => 'opened',
    (error: unknown) => (error instanceof GatewayError ? error.code : String(error)),
  );

t.test('a token opens its own channel until it ends; nothing else does', async t => {
  await using rig = await openDoor();
  const { urls, expiresAtWallMs } = rig.door.urls({ channel: CHANNEL, streamNumber: 0, minutes: 5 });
  t.ok(Math.abs(expiresAtWallMs - (Date.now() + 300_000)) < 2000);
  t.same(urls.map(({ protocol }) => protocol), ['rtsp', 'flv', 'ws-flv', 'fmp4', 'ws-fmp4', 'hls', 'snapshot'], 'RTMP is off');
  const rtsp = new URL(urls[0]!.url);
  t.equal(rtsp.host, '127.0.0.1:8555', 'the second instance has the next port');
  t.ok(rig.door.tokenFits(path(rtsp.pathname + rtsp.search)));
  const token = rtsp.searchParams.get('token')!;
  t.notOk(rig.door.tokenFits(path(`/live/${OTHER}?token=${token}`)), 'another channel');
  t.notOk(rig.door.tokenFits(path(`/live/${CHANNEL}?stream=1&token=${token}`)), 'another stream');
  const sub = new URL(rig.door.urls({ channel: CHANNEL, streamNumber: 1, minutes: 5 }).urls.find(({ protocol }) => protocol === 'rtsp')!.url);
  t.ok(rig.door.tokenFits(path(sub.pathname + sub.search)));
  t.notOk(rig.door.tokenFits(path(`/live/${CHANNEL}?token=${sub.searchParams.get('token')}`)), 'nor the main one with that of another');
  t.notOk(rig.door.tokenFits(path(`/live/${CHANNEL}`)), 'no token');
  t.notOk(rig.door.tokenFits(path(`/live/${CHANNEL}?token=9${token.slice(1)}`)), 'its time cannot be changed');
  t.throws(() => rig.door.urls({ channel: '../etc', streamNumber: 0, minutes: 5 }), { code: 'BAD_REQUEST' });
  await using keyless = await openDoor({ tokenKey: undefined });
  t.notOk(keyless.door.tokenFits(path(`/live/${CHANNEL}?token=${token}`)), 'without a key no token is valid');
  t.throws(() => keyless.door.urls({ channel: CHANNEL, streamNumber: 0, minutes: 5 }), { code: 'MEDIA_UNAVAILABLE' });
});

t.test('under strain: a priority by name, kinds, and an end with its reason', async t => {
  await using rig = await openDoor({ users: [{ name: 'wall', ha1: 'd'.repeat(32), channels: ['*'], priority: 200 }] });
  const ended: string[] = [];
  for (const viewer of [VIEWER, { ...VIEWER, user: 'wall' }, { ...VIEWER, user: 'gone' }, { ...VIEWER, protocol: 'push' as const }]) {
    const lease = await rig.door.open(path(`/live/${CHANNEL}`), viewer);
    lease.onEnd = why => ended.push(`${viewer.protocol} ${'user' in viewer ? viewer.user : 'token'}: ${why}`);
  }
  const endables = rig.door.endables();
  t.same(endables.map(({ kind, priority }) => [kind, priority]), [['preview', 100], ['preview', 200], ['preview', 100], ['pass-through', 100]]);
  t.ok(endables.every(({ since }, i) => i === 0 || since >= endables[i - 1]!.since));
  endables[1]!.end('no previews');
  endables[1]!.end('no previews');
  t.same(ended, ['rtsp wall: no previews'], 'once, and nobody else');
  t.equal(rig.door.viewers, 3);
});

t.test('a user sees the channels that are his', async t => {
  const ha1 = 'd'.repeat(32);
  await using rig = await openDoor({ users: [{ name: 'wall', ha1, channels: ['340200000013200000', '41'], priority: 100 }, { name: 'all', ha1, channels: ['*'], priority: 200 }] });
  t.same(rig.door.user('wall', path(`/live/${CHANNEL}`)), { name: 'wall', ha1 });
  t.equal(rig.door.user('wall', path('/live/35020000001320000001')), undefined);
  t.ok(rig.door.user('wall', path('/live/41020000001110000001-35020000001320000001')), 'by its device');
  t.ok(rig.door.user('all', path('/live/35020000001320000001')));
  t.equal(rig.door.user('nobody', path(`/live/${CHANNEL}`)), undefined);
});

t.test('all viewers of a channel share one lease; the last one closes it', async t => {
  await using rig = await openDoor();
  const [first, second] = await Promise.all([rig.door.open(path(`/live/${CHANNEL}`), VIEWER), rig.door.open(path(`/live/${CHANNEL}`), { ...VIEWER, protocol: 'flv' })]);
  const sub = await rig.door.open(path(`/live/${CHANNEL}?stream=1`), VIEWER);
  t.equal(rig.sipd.opened.length, 2, 'one for each stream');
  t.match(rig.sipd.opened[0], { instance: '2', deviceId: null, channelId: CHANNEL, streamNumber: 0 });
  t.equal(first.stream, second.stream);
  t.ok(first.stream.tracks, 'pictures may be joined');
  t.same(rig.door.rows().map(({ protocol, channel, bridgeId }) => `${protocol} ${channel} ${bridgeId}`), [`rtsp ${CHANNEL} b${CHANNEL}`, `flv ${CHANNEL} b${CHANNEL}`, `rtsp ${CHANNEL} b${CHANNEL}`]);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  t.equal(rig.door.viewers, 2);
  t.same(rig.sipd.closed, []);
  second[Symbol.dispose]();
  await until('the lease is closed', () => rig.sipd.closed.length === 1);
  t.same(rig.sipd.closed, [rig.sipd.opened[0]!.leaseId]);
  sub[Symbol.dispose]();
  await until('the other too', () => rig.sipd.closed.length === 2);
  t.match(rig.door.counters(), { 'outlet.rtsp.opened': 2, 'outlet.flv.opened': 1, 'outlet.viewers': 0, 'outlet.leases': 0 });
  t.equal(rig.streams.get(`b${CHANNEL}`)!.joined, 0, 'no seat is left');
});

t.test('who is refused is told why and counted; a source that ends is told to all', async t => {
  await using rig = await openDoor({ maxViewers: 2 });
  rig.sipd.answer = async ({ channelId }) => {
    throw new GatewayError(channelId === OTHER ? 'PEER_OFFLINE' : 'CHANNEL_UNKNOWN', { channelId });
  };
  t.equal(await codeOf(rig.door.open(path(`/live/${CHANNEL}`), VIEWER)), 'CHANNEL_UNKNOWN');
  t.equal(await codeOf(rig.door.open(path(`/live/${OTHER}`), VIEWER)), 'PEER_OFFLINE');
  t.equal(await codeOf(rig.door.open(path(`/live/${OTHER}?rendition=small`), VIEWER)), 'CHANNEL_UNKNOWN', 'a rendition that nobody makes');
  rig.sipd.answer = async ({ channelId }) => ({ bridgeId: `b${channelId}` });
  const leases = await Promise.all([rig.door.open(path(`/live/${CHANNEL}`), VIEWER), rig.door.open(path(`/live/${CHANNEL}`), VIEWER)]);
  t.equal(await codeOf(rig.door.open(path(`/live/${CHANNEL}`), VIEWER)), 'CAPACITY_EXHAUSTED');
  const told: string[] = [];
  for (const lease of leases) lease.onEnd = why => told.push(why);
  rig.streams.get(`b${CHANNEL}`)!.end('the camera sent BYE');
  t.same(told, ['the camera sent BYE', 'the camera sent BYE']);
  t.equal(rig.door.viewers, 0);
  for (const lease of leases) lease[Symbol.dispose]();
  t.equal(told.length, 2, 'once');
  t.match(rig.door.counters(), { 'outlet.rtsp.refused.CHANNEL_UNKNOWN': 2, 'outlet.rtsp.refused.PEER_OFFLINE': 1, 'outlet.rtsp.refused.CAPACITY_EXHAUSTED': 1 });
});

t.test('after sipd came back the same leases are claimed, and what it no longer has ends', async t => {
  await using rig = await openDoor();
  const kept = await rig.door.open(path(`/live/${CHANNEL}`), VIEWER);
  const lost = await rig.door.open(path(`/live/${OTHER}`), VIEWER);
  const ended: string[] = [];
  kept.onEnd = why => ended.push(`kept: ${why}`);
  lost.onEnd = why => ended.push(`lost: ${why}`);
  const before = rig.sipd.opened.map(({ leaseId }) => leaseId);
  rig.sipd.answer = async ({ channelId }) => ({ bridgeId: channelId === OTHER ? 'b-anew' : `b${channelId}` });
  await rig.restartSipd();
  await until('both leases are claimed', () => rig.sipd.opened.length === 4);
  t.same(rig.sipd.opened.slice(2).map(({ leaseId }) => leaseId), before);
  await until('the lost one ends', () => ended.length === 1);
  t.match(ended, [/^lost: /]);
  t.equal(rig.door.viewers, 1);
  kept[Symbol.dispose]();
});
