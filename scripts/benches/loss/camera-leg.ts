/** The bad network lies between cameras and the gateway; each row is a channel. */
import { join } from 'node:path';
import { Closer } from '#kit/closer.ts';
import { LAB_ID, LAB_PASSWORD, LabGateway, type LabOptions } from '../../lab/gateway.ts';
import { catalogued, channelsFor } from '../../lab/catalogued.ts';
import type { CleanPictures } from '../../media/picture-meter.ts';
import { CameraSimulator } from '../../simulators/camera/simulator.ts';
import { Platform } from '../../simulators/platform/platform.ts';
import { type Outcome, watchAll } from './outcome.ts';
import { type Mode, ROWS, type Row } from './rows.ts';

const PASSWORD = 'bench-secret';
const PLATFORM_ID = '33010000002000000001';
const LOCAL_ID = '33010000002000000099';
const CAMERA_ID = '34020000001180000001';

export interface LossOptions {
  readonly mode: Exclude<Mode, 'gateways'>;
  readonly rows: readonly Row[];
  readonly pictures: number;
  readonly directory: string;
  readonly clean: CleanPictures;
}

export async function cameraLeg({ mode, rows, pictures, directory, clean }: LossOptions): Promise<Outcome[]> {
  await using closer = new Closer();
  const platform = closer.use(await Platform.open({ id: PLATFORM_ID, password: PASSWORD }));
  const upstream = { name: 'city', id: PLATFORM_ID, address: platform.address, port: platform.port, localId: LOCAL_ID, password: PASSWORD, retryS: 1, ...(mode === 'as-received' && { pictures: 'as-received' }) };
  // A lossy camera would be asked over TCP: here its UDP is looked at.
  const config = { devices: { media: { lingerS: 0, tcpForS: 0 } }, upstreams: [upstream] } as NonNullable<LabOptions['config']>;
  const gateway = closer.use(await LabGateway.open({ config, directory: join(directory, mode) }));
  const channels = channelsFor(rows.map(({ name }) => name));
  const camera = closer.use(
    await CameraSimulator.open({
      id: CAMERA_ID, platform: { id: LAB_ID, address: gateway.address, port: gateway.sipPort }, password: LAB_PASSWORD, channelList: channels, footage: 'h264',
      quirks: mode === 'default' ? [] : ['no-key-frames'], impair: ({ name }) => ROWS.find(row => row.name === name)?.rules,
    }),
  );
  await platform.waitRegistered(LOCAL_ID);
  const known = await catalogued(gateway, rows.length);
  return await watchAll(
    rows.map((row, index) => {
      const { channelId, mapped } = known.find(each => each.name === row.name)!;
      return { row: row.name, gateway, gatewayChannelId: channelId, platform, channelId: mapped[0]!.id, camera, cameraChannelId: channels[index]!.id, pictures, recordTo: join(directory, `${mode}-${index}`) };
    }),
    clean,
  );
}
