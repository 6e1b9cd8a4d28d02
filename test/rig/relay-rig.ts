/** A gateway with cameras below and platforms above, ready to play: what the relay tests stand on. */
import type { ChannelRow, SipdRequests } from '#contracts/sipd.ts';
import { Closer } from '#kit/closer.ts';
import type { RpcClient } from '#kit/rpc.ts';
import { LAB_ID, LAB_PASSWORD, LabGateway, type LabOptions } from '../../scripts/lab/gateway.ts';
import { CameraSimulator, type CameraOptions } from '../../scripts/simulators/camera/simulator.ts';
import { Platform, type PlatformOptions } from '../../scripts/simulators/platform/platform.ts';
import { until } from './until.ts';

export const CITY_ID = '33010000002000000001';
export const CITY_LOCAL_ID = '33010000002000000099';
const PASSWORD = 'city-secret';

export interface RelayRigOptions {
  readonly cameras: readonly Partial<CameraOptions>[];
  readonly platforms?: number;
  readonly platform?: Partial<PlatformOptions>;
  /** Sections of the configuration, merged over the lab's. */
  readonly devices?: object;
  readonly media?: object;
  readonly upstream?: object;
  /** Of single platforms, over `upstream`. */
  readonly upstreams?: readonly object[];
  /** Further sections, e.g. `outlets`. */
  readonly sections?: LabOptions['config'];
  readonly instances?: number;
  /** Of the gateway: where it runs, and what stands in its environment. */
  readonly lab?: Pick<LabOptions, 'directory' | 'env' | 'mediaPorts' | 'sysroot'>;
}

export interface RelayRig extends AsyncDisposable {
  readonly gateway: LabGateway;
  readonly cameras: readonly CameraSimulator[];
  readonly platforms: readonly Platform[];
  readonly rpc: RpcClient<SipdRequests>;
  /** ID by which a platform knows the channel of a camera. */
  idOf(camera: number, channel: number, platform?: number): string;
  /** The whole configuration with these sections, for `gateway.rewrite`. */
  configOf(sections: { devices?: object; media?: object; upstream?: object; upstreams?: readonly object[] }): NonNullable<LabOptions['config']>;
  rewrite(sections: { devices?: object; media?: object; upstream?: object; upstreams?: readonly object[] }): Promise<void>;
  /** After sipd was restarted. */
  reconnect(): Promise<void>;
}

const localId = (index: number): string => `${CITY_LOCAL_ID.slice(0, -2)}${String(99 - index)}`;
const platformId = (index: number): string => `${CITY_ID.slice(0, -2)}0${index + 1}`;

export async function openRelayRig(options: RelayRigOptions): Promise<RelayRig> {
  await using opening = new Closer();
  const platforms: Platform[] = [];
  for (let index = 0; index < (options.platforms ?? 1); index += 1) platforms.push(opening.use(await Platform.open({ id: platformId(index), password: PASSWORD, ...options.platform })));
  const configOf = (sections: Pick<RelayRigOptions, 'devices' | 'media' | 'upstream' | 'upstreams'>): NonNullable<LabOptions['config']> =>
    ({
      ...options.sections,
      devices: { media: { lingerS: 0 }, ...sections.devices },
      ...(sections.media !== undefined && { media: sections.media }),
      upstreams: platforms.map(({ id, address, port }, index) => ({ name: `city${index}`, id, address, port, localId: localId(index), password: PASSWORD, retryS: 1, ...sections.upstream, ...sections.upstreams?.[index] })),
    }) as NonNullable<LabOptions['config']>;
  const gateway = opening.use(await LabGateway.open({ ...options.lab, instances: options.instances ?? 1, config: configOf(options) }));
  let rpc = await gateway.rpc();
  opening.defer(() => rpc[Symbol.asyncDispose]());
  const cameras: CameraSimulator[] = [];
  for (const [index, camera] of options.cameras.entries()) {
    const platform = { id: LAB_ID, address: gateway.address, port: gateway.sipPort };
    cameras.push(opening.use(await CameraSimulator.open({ id: `3402000000118000000${index + 1}`, platform, password: LAB_PASSWORD, ...camera })));
  }
  const inlets = options.sections?.['inlets'];
  const expected = (Array.isArray(inlets) ? inlets.length : 0) + cameras.reduce((sum, camera) => sum + camera.devices.reduce((channels, device) => channels + device.channels.length, 0), 0);
  await Promise.all(platforms.map((platform, index) => platform.waitRegistered(localId(index))));
  await until('every catalogue', async () => (await rpc.call('listChannels', {})).total === expected, 30_000);
  const channels: readonly ChannelRow[] = (await rpc.call('listChannels', {})).rows;
  const closer = opening.release();
  return {
    gateway,
    cameras,
    platforms,
    get rpc() {
      return rpc;
    },
    idOf(camera, channel, platform = 0) {
      const row = channels.filter(each => each.deviceId === cameras[camera]!.device.id)[channel];
      return row!.mapped.find(each => each.upstream === `city${platform}`)!.id;
    },
    configOf,
    async rewrite(sections) {
      await gateway.rewrite(configOf(sections));
      const { refused } = await rpc.call('reload', { sections: [] });
      if (refused !== null) throw new Error(refused);
    },
    async reconnect() {
      await rpc[Symbol.asyncDispose]();
      rpc = await gateway.rpc();
    },
    [Symbol.asyncDispose]: () => closer[Symbol.asyncDispose](),
  };
}

/** Nothing is left of any session, in sipd and in mediad: for the end of a test. */
export async function assertReleased(rig: RelayRig, limitMs = 5000): Promise<void> {
  for (const [index] of rig.gateway.mediads.entries()) {
    const mediad = await rig.gateway.mediadRpc(index + 1);
    try {
      await until('mediad carries no bridge', async () => (await mediad.call('listBridges', {})).bridges.length === 0, limitMs);
    } finally {
      await mediad[Symbol.asyncDispose]();
    }
  }
  await until('sipd has no session', async () => (await rig.rpc.call('listSessions', {})).length === 0, limitMs);
  await until('cameras send nothing', () => rig.cameras.every(camera => camera.sessions.length === 0), limitMs);
}
