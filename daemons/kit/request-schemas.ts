/** What each daemon accepts over RPC, one schema a method, equal to the types in daemons/contracts (the compiler compares them). */
import { z } from 'zod';
import type { ApidRequests } from '#contracts/apid.ts';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { SipdRequests } from '#contracts/sipd.ts';
import { MAX_FPS, MAX_KBPS, MIN_KBPS, RENDITION_AUDIO, RENDITION_VIDEO } from '#core/media/rendition.ts';
import { MAX_SNAPSHOT_WIDTH, MIN_SNAPSHOT_WIDTH } from '#core/media/snapshot-plan.ts';
import { author } from './request-schemas-configd.ts';
import { controlSchemas } from './request-schemas-controls.ts';
import { reloadSchema } from './reload.ts';
import type { RpcSchemas } from './rpc.ts';

const id = z.string().min(1).max(128);
const label = z.string().max(256);
const address = z.string().min(1).max(64);
const durationMs = z.number().min(0).max(86_400_000);
const ssrc = z.int().min(0).max(0xffffffff);
const payloadType = z.int().min(0).max(127);
const endpoint = z.strictObject({ address, port: z.int().min(0).max(65535) });
const localPort = z.int().min(1).max(65535);
const transport = z.enum(['udp', 'tcp-active', 'tcp-passive']);
const peer = z.strictObject({ allowed: z.array(address).max(256), latch: z.enum(['strict', 'nat']) });
const rendition = z.strictObject({
  video: z.enum(RENDITION_VIDEO),
  size: z.strictObject({ width: z.int().min(16).max(4096), height: z.int().min(16).max(4096) }).nullable(),
  bitrateKbps: z.int().min(MIN_KBPS).max(MAX_KBPS).nullable(),
  fps: z.int().min(1).max(MAX_FPS).nullable(),
  audio: z.enum(RENDITION_AUDIO),
});
const format = z.enum(['ps', 'h264', 'h265', 'aac', 'g711a', 'g711u']);
const nothing = z.strictObject({}) as z.ZodType<Record<string, never>>;
const nodeName = z.string().regex(/^[A-Za-z0-9_-]{1,32}$/);

export const mediadRequestSchemas: RpcSchemas<MediadRequests> = {
  openSource: z.strictObject({ bridgeId: id, legId: id.optional(), replaces: z.boolean().optional(), transport, localAddress: address, localPort: localPort.optional(), ssrc, peer, silenceMs: durationMs, label }),
  connectSource: z.strictObject({ bridgeId: id, legId: id.optional(), remote: endpoint, ssrc, ssrcPolicy: z.enum(['exact', 'adopt']), payloadType, nack: z.boolean().optional(), format: format.optional(), formatParameters: z.string().max(4096).optional() }),
  closeSource: z.strictObject({ bridgeId: id, legId: id }),
  openInlet: z.strictObject({ bridgeId: id, inletId: id, streamNumber: z.int().min(0).max(99), silenceMs: durationMs, label, reopened: z.boolean().optional() }),
  listInlets: nothing,
  listPushes: nothing,
  openSink: z.strictObject({ bridgeId: id, sinkId: id, transport, localAddress: address, localPort: localPort.optional(), formerPort: localPort.optional(), firstSequence: z.int().min(0).max(0xffff).optional(), remote: endpoint, ssrc, payloadType, format: format.optional(), rendition: rendition.optional(), peer, pictures: z.enum(['whole', 'as-received']).optional(), nack: z.boolean().optional(), priority: z.int().min(0).max(255).optional(), connectTimeoutMs: durationMs, label }),
  startSink: z.strictObject({ bridgeId: id, sinkId: id, payloadType: payloadType.optional(), format: format.optional(), rendition: rendition.optional() }),
  sourceTracks: z.strictObject({ bridgeId: id, withinMs: durationMs }),
  sinkMarks: nothing,
  bridgesOn: z.strictObject({ address }),
  closeSink: z.strictObject({ bridgeId: id, sinkId: id }),
  closeBridge: z.strictObject({ bridgeId: id }),
  listBridges: nothing,
  startCapture: z.strictObject({ captureId: id, bridgeId: id, seconds: z.number().min(0.1).max(600), packetBytes: z.int().min(1).max(65_535) }),
  readCapture: z.strictObject({ captureId: id }),
  stopCapture: z.strictObject({ captureId: id }),
  load: nothing,
  counters: nothing,
  listOutlets: nothing,
  outletUrls: z.strictObject({ channel: z.string().min(1).max(64), streamNumber: z.int().min(0).max(99), minutes: z.int().min(1).max(527_040) }),
  listTranscoders: nothing,
  snapshot: z.strictObject({ channel: z.string().regex(/^(\d{20}-)?\d{18,20}$/), streamNumber: z.int().min(0).max(99), width: z.int().min(MIN_SNAPSHOT_WIDTH).max(MAX_SNAPSHOT_WIDTH).nullable() }),
  reload: reloadSchema,
};

export const sipdRequestSchemas: RpcSchemas<SipdRequests> = {
  duty: nothing,
  promote: z.strictObject({ term: z.int().min(1).max(0xffffffff) }),
  demote: nothing,
  pair: z.strictObject({ peerAlive: z.boolean(), media: z.record(nodeName, nodeName.nullable()) }),
  summary: nothing,
  raiseAlarm: z.strictObject({ key: z.string().min(1).max(128), priority: z.int().min(1).max(4), faultType: z.union([z.literal(1), z.literal(2)]).nullable(), atWallMs: z.number().min(0), description: z.string().max(1024) }),
  listDevices: nothing,
  listChannels: z.strictObject({
    deviceId: id.exactOptional(),
    offset: z.int().min(0).exactOptional(),
    limit: z.int().min(0).exactOptional(),
    text: z.string().max(256).exactOptional(),
    status: z.enum(['ON', 'OFF']).exactOptional(),
    within: z.array(z.string().max(64)).max(10_000).exactOptional(),
  }),
  channel: z.strictObject({ channel: z.string().min(1).max(256) }),
  listUpstreams: nothing,
  totals: nothing,
  view: z.strictObject({ upstream: id, candidate: z.string().max(3 * 1024 * 1024).optional(), hidden: z.boolean().optional() }),
  listSessions: nothing,
  listResources: nothing,
  counters: nothing,
  listBans: nothing,
  removeBan: z.strictObject({ address }),
  why: z.strictObject({ channel: z.string().min(1).max(256), probe: z.boolean() }),
  openProbe: z.strictObject({ probeId: id, deviceId: id, channelId: id, seconds: z.number().min(1).max(120) }),
  closeProbe: z.strictObject({ probeId: id }),
  probeQuery: z.strictObject({ deviceId: id, cmdType: z.enum(['Catalog', 'DeviceInfo', 'DeviceStatus']) }),
  traceMessages: z.strictObject({ after: z.int().min(-1).optional(), sinceWallMs: z.number().min(0).optional(), needles: z.array(z.string().min(1).max(256)).max(256).optional(), peers: z.array(z.string().min(1).max(128)).max(256).optional() }),
  openOutlet: z.strictObject({ leaseId: id, instance: id, deviceId: id.nullable(), channelId: id, streamNumber: z.int().min(0).max(99), label }),
  closeOutlet: z.strictObject({ leaseId: id }),
  refreshCatalog: z.strictObject({ deviceId: id }),
  ...controlSchemas,
  reload: reloadSchema,
};

const ofUser = z.strictObject({ author, name: z.string().min(1).max(64) });

export const apidRequestSchemas: RpcSchemas<ApidRequests> = {
  status: nothing,
  takeFirstPassword: nothing,
  users: nothing,
  unlockUser: ofUser,
  resetPassword: ofUser,
  waitingRoles: nothing,
  approveRoles: ofUser,
  userChanges: z.strictObject({ sinceSeq: z.int().min(0) }),
  counters: nothing,
  reload: reloadSchema,
};
