/**
 * mediad: relays media for one instance of the pool (design.md 2). `mediad/main.ts --config FILE --instance N [--sysroot DIR]`
 *
 * Closing order, newest first:
 *   1. the orphan timer
 *   2. the RPC server: nothing new is opened, sipd sees us go
 *   3. the outlets: their servers, then their leases
 *   4. the bridges: sinks, then sources, then their ports
 *   5. shared ports of the fixed mode
 *   6. the transcoders, without viewers since 3 and 4
 *   7. the look at memory and processor
 */
import { parseArgs } from 'node:util';
import type { MediadEvent, MediadRequests } from '#contracts/mediad.ts';
import type { GatewayConfig, InletConfig, OutletPushConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { CgroupReader } from '#kit/cgroup.ts';
import { systemClock } from '#kit/clock.ts';
import { Closer } from '#kit/closer.ts';
import { ConfigStore, DEFAULT_CONFIG_PATH } from '#kit/config-store.ts';
import { systemHashes } from '#kit/hashes.ts';
import { CountedLog, createLog, type Log } from '#kit/log.ts';
import { isWildcard, ownAddress } from '#kit/net.ts';
import { shareOf } from '#kit/port-pool.ts';
import { processFigures } from '#kit/process-figures.ts';
import { systemRandom } from '#kit/random.ts';
import { mediadAccess } from '#kit/request-access.ts';
import { answerReload } from '#kit/reload.ts';
import { mediadRequestSchemas } from '#kit/request-schemas.ts';
import { type RpcHandlers, type RpcServer, serveRpc } from '#kit/rpc.ts';
import { type RunningService, runService } from '#kit/service.ts';
import { udpImplementation } from '#kit/udp-batch.ts';
import { WhenHere } from '#kit/when-here.ts';
import { Bridges } from './bridges.ts';
import { FixedPorts } from './fixed-ports.ts';
import { LiveRoute } from './http-live.ts';
import type { HttpRoute } from './http-route.ts';
import { SnapshotRoute, takeSnapshot } from './http-snapshot.ts';
import { type InletKinds, openInlet } from './inlets.ts';
import { type MediaPorts, RangePorts } from './media-ports.ts';
import { OrphanWatch } from './orphans.ts';
import { HttpOutlet } from './outlet-http.ts';
import { RtmpOutlet } from './outlet-rtmp.ts';
import { RtspOutlet } from './outlet-rtsp.ts';
import { Outlets } from './outlets.ts';
import { RtmpInlets } from './rtmp-inlets.ts';
import { RtspWatch } from './rtsp-watch.ts';
import { RtspPull, type PullWorld } from './source-rtsp.ts';
import { RtmpPushes } from './rtmp-push.ts';
import { StrainWatch } from './strain-watch.ts';
import { Strays } from './strays.ts';
import { Snapshots } from './transcode/snapshots.ts';
import { Transcoders } from './transcode/transcoders.ts';
import { RtcHost } from './webrtc/host.ts';
import type { RtcThreadData } from './webrtc/messages.ts';
import { WhepRoute } from './webrtc/whep-route.ts';

/** Packets and connections of nobody: one log line in this time. */
const STRAY_LOG_MS = 10_000;

function portsOf({ media, cluster }: GatewayConfig, instance: number, strays: Strays, log: Log): MediaPorts {
  const common = { strays, receiveBufferBytes: media.receiveBufferKiB * 1024, tos: media.dscp << 2, freebind: media.freebind || cluster.nodes.length > 0, clock: systemClock };
  const { mode, first, last, fixedUdp, fixedTcp } = media.ports;
  // Processes cannot share a port: further instances take the next numbers.
  if (mode === 'fixed') return new FixedPorts({ udp: fixedUdp + instance - 1, tcp: fixedTcp + instance - 1, log, ...common });
  return new RangePorts(shareOf({ first, last }, instance, media.instances), common);
}

function rtcPlace({ outlets: { address, webrtcPort } }: GatewayConfig, instance: number): Pick<RtcThreadData, 'address' | 'candidate' | 'port'> {
  return { address, candidate: isWildcard(address) ? ownAddress() : address, port: webrtcPort + instance - 1 };
}

/** A sentence for what needs a restart. */
function needsRestart(before: GatewayConfig, after: GatewayConfig): string | null {
  if (before.rpc.directory !== after.rpc.directory) return 'rpc.directory: needs a restart of viewlink.target';
  const restartOnly = ['instances', 'ports', 'receiveBufferKiB', 'dscp', 'freebind'] as const;
  const changed = restartOnly.filter(key => JSON.stringify(before.media[key]) !== JSON.stringify(after.media[key]));
  if (changed.length > 0) return `media.${changed.join(', media.')}: needs a restart of viewlink-mediad@`;
  const moved = (['address', 'rtspPort', 'rtmpPort', 'httpPort', 'webrtcPort'] as const).filter(key => before.outlets[key] !== after.outlets[key]);
  return moved.length > 0 ? `outlets.${moved.join(', outlets.')}: needs a restart of viewlink-mediad@` : null;
}

/** What a reload changes at once, or why it cannot. */
function applyConfig(before: GatewayConfig, after: GatewayConfig, { bridges, orphans, strain, log }: { readonly bridges: Bridges; readonly orphans: OrphanWatch; readonly strain: StrainWatch; readonly log: Log }): string | null {
  const refused = needsRestart(before, after);
  if (refused !== null) return refused;
  bridges.capacity = after.media;
  bridges.loss = after.media.loss;
  bridges.gopBytes = after.media.gopKiB * 1024;
  bridges.keyPictureBytes = after.media.keyPictureKiB * 1024;
  orphans.limitMs = after.media.orphanS * 1000;
  strain.limits = after.media.strain;
  log.level = after.log.level;
  return null;
}

/** `sysroot`: where /proc and /sys are looked for; default: the machine itself. */
export async function startMediad(configPath: string, instance: number, sysroot = ''): Promise<RunningService> {
  const store = await ConfigStore.open(configPath);
  const config = store.current;
  if (instance < 1 || instance > config.media.instances) throw new GatewayError('CONFIG_INVALID', { instance, 'media.instances': config.media.instances });
  const log = createLog('mediad', config.log.level).child({ instance });
  const { name: implementation, why, wakes } = udpImplementation();
  await using opening = new Closer();
  const strays = new Strays(new CountedLog(log, systemClock, 'media.stray', STRAY_LOG_MS));
  let server: RpcServer<MediadEvent> | undefined;
  const ports = portsOf(config, instance, strays, log);
  const cgroup = new CgroupReader(sysroot);
  const strain: StrainWatch = opening.use(
    new StrainWatch({
      clock: systemClock,
      log,
      limits: config.media.strain,
      read: () => cgroup.read(),
      endables: () => [...outlets.endables(), ...bridges.endables()],
      onLevel: ({ level, says }) => server?.notifyAll({ type: 'strain', level, says }),
    }),
  );
  const transcoders = opening.use(new Transcoders({ clock: systemClock, log, config: () => store.current.transcode, strain }));
  const onEvent = (event: MediadEvent): void => {
    // Once a second for as long as a picture is frozen: who asks the camera says so, in fewer words.
    log[event.type === 'key-picture-wanted' ? 'debug' : 'info'](event, `media.${event.type}`);
    server?.notifyAll(event);
  };
  const bridges = opening.use(
    new Bridges({
      instance: String(instance),
      pid: process.pid,
      ports,
      strays,
      capacity: config.media,
      loss: config.media.loss,
      gopBytes: config.media.gopKiB * 1024,
      keyPictureBytes: config.media.keyPictureKiB * 1024,
      clock: systemClock,
      random: systemRandom,
      log,
      onEvent,
      cpuMs: () => {
        const { user, system } = process.cpuUsage();
        return (user + system) / 1000;
      },
      renderer: transcoders,
      strain,
    }),
  );
  const outlets = opening.use(
    new Outlets({
      instance: String(instance),
      sipdSocket: `${config.rpc.directory}/sipd.sock`,
      clock: systemClock,
      random: systemRandom,
      hashes: systemHashes,
      log,
      config: () => store.current.outlets,
      priority: () => store.current.devices.localPriority,
      strain,
      units: bridgeId => bridges.units(bridgeId),
      render: (stream, path) => transcoders.render(stream, transcoders.rendition(path.rendition!), path.channel),
    }),
  );
  bridges.outletBytes = () => outlets.sentBytes;
  const snapshots = opening.use(new Snapshots({ door: outlets, clock: systemClock, log, facts: () => transcoders.facts() }));
  const rtmpInlets = new RtmpInlets({
    clock: systemClock,
    openUnitBridge: options => bridges.openUnitBridge(options),
    onOnline: (inletId, remote) => onEvent({ type: 'inlet-online', inletId, remote }),
    onOffline: (inletId, why) => onEvent({ type: 'inlet-offline', inletId, why }),
  });
  const pushes = new RtmpPushes({ door: outlets, clock: systemClock, random: systemRandom, log, count: name => outlets.count(name) });
  const pushesOf = ({ outlets: { pushes: all }, media }: GatewayConfig): OutletPushConfig[] => all.filter((_, i) => i % media.instances === instance - 1);
  const inletOf = (inletId: string): InletConfig | undefined => store.current.inlets.find(inlet => inlet.id === inletId);
  const localAddress = config.media.downstreamAddress || undefined;
  const pullWorld: PullWorld = { ports, clock: systemClock, random: systemRandom, hashes: systemHashes, log, localAddress, openUnitBridge: options => bridges.openUnitBridge(options), closeBridge: bridgeId => bridges.closeBridge({ bridgeId }), count: name => outlets.count(name) };
  const rtspWatch = opening.use(
    new RtspWatch({
      clock: systemClock,
      random: systemRandom,
      log,
      localAddress,
      onOnline: (inletId, remote) => onEvent({ type: 'inlet-online', inletId, remote }),
      onOffline: (inletId, why) => onEvent({ type: 'inlet-offline', inletId, why }),
    }),
  );
  const watchInlets = (): void => rtspWatch.configure(instance === 1 ? store.current.inlets : []);
  const inlets: InletKinds = { find: inletOf, open: { rtmp: (_, params) => rtmpInlets.open(params), rtsp: (inlet, params) => RtspPull.open(inlet, params, pullWorld) } };
  const rtc = config.outlets.address === '' || config.outlets.webrtcPort === 0 ? undefined : opening.use(new RtcHost({ ...rtcPlace(config, instance), clock: systemClock, random: systemRandom, log }));
  const orphans = new OrphanWatch({ bridges, clock: systemClock, log, limitMs: config.media.orphanS * 1000, clients: () => server?.clients ?? 0 });
  const reload = async (): Promise<string | null> => {
    const { refused } = await store.reload(next => applyConfig(store.current, next, { bridges, orphans, strain, log }));
    if (refused === null) {
      pushes.configure(pushesOf(store.current));
      watchInlets();
    }
    return refused;
  };
  const handlers: RpcHandlers<MediadRequests> = {
    openSource: params => bridges.openSource(params),
    connectSource: params => bridges.connectSource(params),
    closeSource: params => bridges.closeSource(params),
    openInlet: params => openInlet(inlets, params),
    listInlets: () => [...rtmpInlets.rows(), ...rtspWatch.rows()],
    listPushes: () => pushes.rows(),
    openSink: params => bridges.openSink(params),
    startSink: params => bridges.startSink(params),
    sourceTracks: params => bridges.sourceTracks(params),
    sinkMarks: () => bridges.sinkMarks(),
    bridgesOn: params => bridges.bridgesOn(params),
    closeSink: params => bridges.closeSink(params),
    closeBridge: params => bridges.closeBridge(params),
    listBridges: () => bridges.listBridges(),
    startCapture: params => bridges.captures.start(params),
    readCapture: ({ captureId }) => bridges.captures.read(captureId),
    stopCapture: ({ captureId }) => bridges.captures.stop(captureId),
    load: () => bridges.load(),
    counters: () => ({ ...bridges.counters(), ...outlets.counters(), ...transcoders.counters(), ...snapshots.counters(), ...rtc?.counters(), ...pushes.counters(), ...strain.counters(), ...processFigures(), ...wakes() }),
    listOutlets: () => outlets.rows(),
    outletUrls: params => outlets.urls(params),
    listTranscoders: () => transcoders.rows(),
    snapshot: params => takeSnapshot(snapshots, params),
    reload: params => answerReload(params, () => store.check(next => needsRestart(store.current, next)), reload, log),
  };
  server = opening.use(await serveRpc<MediadRequests, MediadEvent>(`${config.rpc.directory}/mediad-${instance}.sock`, handlers, { validate: mediadRequestSchemas, access: mediadAccess, log }));
  opening.use(orphans);
  watchInlets();
  const { address, httpPort, rtmpPort, rtspPort } = config.outlets;
  void outlets.start();
  // In a pair the address may be on the other node.
  const listen = <T extends AsyncDisposable>(what: string, open: () => Promise<T>): Promise<AsyncDisposable> => (config.cluster.nodes.length === 0 ? open() : WhenHere.open({ open, what, address, clock: systemClock, log }));
  if (address !== '' && rtspPort !== 0) {
    const rtsp = { address, port: rtspPort + instance - 1, door: outlets, ports, clock: systemClock, random: systemRandom, hashes: systemHashes, log, count: (name: string) => outlets.count(name) };
    opening.use(await listen('rtsp', () => RtspOutlet.open(rtsp)));
  }
  if (address !== '' && rtmpPort !== 0) {
    const rtmp = { address, port: rtmpPort + instance - 1, door: outlets, inlets: rtmpInlets, clock: systemClock, random: systemRandom, log, count: (name: string) => outlets.count(name), limits: () => store.current.outlets, inletOf };
    opening.use(await listen('rtmp', () => RtmpOutlet.open(rtmp)));
  }
  if (address !== '' && httpPort !== 0) {
    const routes: HttpRoute[] = [new LiveRoute(outlets, systemClock), new SnapshotRoute(snapshots)];
    if (rtc !== undefined) routes.push(new WhepRoute({ door: outlets, host: rtc, renderer: transcoders, log, count: name => outlets.count(name) }));
    const http = { address, port: httpPort + instance - 1, door: outlets, routes, clock: systemClock, hashes: systemHashes, random: systemRandom, log, count: (name: string) => outlets.count(name), limits: () => store.current.outlets };
    opening.use(await listen('http', () => HttpOutlet.open(http)));
  }
  opening.use(pushes).configure(pushesOf(config));
  log.info({ socket: `${config.rpc.directory}/mediad-${instance}.sock`, portsFree: bridges.load().portsFree }, 'mediad.ready');
  log.info({ implementation, why }, 'udp.implementation');
  if (config.outlets.address !== '' || config.transcode.renditions.length > 0 || config.upstreams.some(upstream => upstream.transcodeByF)) void transcoders.facts().catch(() => undefined);
  const opened = opening.release();
  return { reload, [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string', default: DEFAULT_CONFIG_PATH }, instance: { type: 'string', default: '1' }, sysroot: { type: 'string', default: '' } } });
  await runService({ name: 'mediad', start: () => startMediad(values.config, Number(values.instance), values.sysroot) });
}
