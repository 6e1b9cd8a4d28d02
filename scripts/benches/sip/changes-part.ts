/** A thousand status changes a second for a minute: from NOTIFYs of a platform below to NOTIFYs for a subscriber above, over ten thousand channels. */
import { join } from 'node:path';
import { LAB_ID, LAB_PASSWORD, LabGateway } from '../../lab/gateway.ts';
import { CameraSimulator } from '../../simulators/camera/simulator.ts';
import { Platform } from '../../simulators/platform/platform.ts';
import { type Figure, percentile } from '../common/figures.ts';
import { Inspector } from './inspector.ts';
import { cpuSeconds, rssBytes } from './usage.ts';

const CHANNELS = 10_000;
const PER_S = 1000;
const SECONDS = 60;
const PER_NOTIFY = 10;
const UPSTREAM_ID = '44010000002000000001';
const LOCAL_ID = '44010000002000000099';
const SETTLE_MS = 10_000;
const HEAP_GROWTH_MB = 16;
const MEGABYTE = 1e6;

interface Told {
  readonly lost: number;
  readonly wrong: number;
  readonly delaysMs: readonly number[];
  readonly notifies: number;
}

export async function changeFigures(): Promise<Figure[]> {
  await using platform = await Platform.open({ id: UPSTREAM_ID, address: '127.0.0.2' });
  const upstream = { name: 'bench', id: UPSTREAM_ID, address: platform.address, port: platform.port, transport: 'tcp', localId: LOCAL_ID, catalog: { notifyAfterMs: 100 } };
  await using lab = await LabGateway.open({ env: { NODE_OPTIONS: '--inspect-port=0' }, config: { devices: { catalogEveryS: 0, subscribe: { catalog: true } }, upstreams: [upstream] } });
  await using rpc = await lab.rpc();
  await platform.waitRegistered(LOCAL_ID);
  await using camera = await CameraSimulator.open({ id: '34020000002000000002', platform: { id: LAB_ID, address: lab.address, port: lab.sipPort }, password: LAB_PASSWORD, transport: 'tcp', channels: CHANNELS });
  await until(async () => (await rpc.call('listChannels', { limit: 0 })).total === CHANNELS && camera.device.subscriptions.topics.includes('Catalog'));
  const { pid } = lab.sipd;
  using inspector = await Inspector.open(lab.sipd, join(lab.directory, 'sipd.log'));
  const heapBefore = await inspector.collectGarbage();
  const cpuBefore = cpuSeconds(pid);
  const told = await change(platform, camera);
  const cpuS = cpuSeconds(pid) - cpuBefore;
  const rssMb = rssBytes(pid) / MEGABYTE;
  const heapAfter = await inspector.collectGarbage();
  const method = `${PER_S} a second for ${SECONDS} s over ${CHANNELS} channels of one platform below (NOTIFYs of ${PER_NOTIFY} over TCP), to one subscriber above over TCP, collected for 100 ms`;
  return [
    {
      name: 'status changes lost',
      value: told.lost + told.wrong,
      unit: 'changes',
      limit: { most: 0 },
      method: `${method}: changes that were not heard, and channels that the subscriber takes for another state in the end`,
      beside: { changes: PER_S * SECONDS, NOTIFYs: told.notifies, 'delay p50 ms': percentile(told.delaysMs, 0.5), 'delay p99 ms': percentile(told.delaysMs, 0.99), 'CPU s of sipd': cpuS },
    },
    {
      name: 'memory kept by changes',
      value: (heapAfter.usedSize - heapBefore.usedSize) / MEGABYTE,
      unit: 'MB',
      limit: { most: HEAP_GROWTH_MB },
      method: `${method}: what the heap of sipd has more after that minute than before, each after a full garbage collection (inspector)`,
      beside: { 'heap MB before': heapBefore.usedSize / MEGABYTE, 'RSS MB at the end, before the collection': rssMb },
    },
  ];
}

async function change(platform: Platform, camera: CameraSimulator): Promise<Told> {
  const subscription = platform.subscribe('Catalog', { expiresS: 3600 });
  await subscription.when('the first NOTIFY', ({ notifications }) => notifications.length === 1);
  const ids = camera.device.channels.map(({ id }) => id);
  const states = new Map(ids.map(id => [id, 'ON']));
  const sentAt = new Map<string, number>();
  const delaysMs: number[] = [];
  subscription.policy = ({ message }) => {
    const now = performance.now();
    if (message.body.kind === 'catalog') for (const { deviceId } of message.body.items) delaysMs.push(now - (sentAt.get(deviceId) ?? now));
    return undefined;
  };
  const startedAt = performance.now();
  const answers: Promise<unknown>[] = [];
  for (let at = 0; at < PER_S * SECONDS; at += PER_NOTIFY) {
    const waitMs = startedAt + (1000 * at) / PER_S - performance.now();
    if (waitMs > 0) await new Promise(resolve => setTimeout(resolve, waitMs));
    const events = Array.from({ length: PER_NOTIFY }, (_, index) => {
      const id = ids[(at + index) % ids.length]!;
      const event = states.get(id) === 'ON' ? 'OFF' : 'ON';
      states.set(id, event);
      sentAt.set(id, performance.now());
      return { id, event };
    });
    answers.push(camera.device.notifyCatalog({ events }));
  }
  await Promise.all(answers);
  const heard = (): number => subscription.events.length;
  await until(async () => heard() >= PER_S * SECONDS, SETTLE_MS).catch(() => undefined);
  const wrong = ids.filter(id => subscription.picture.get(id)?.state !== states.get(id)).length;
  return { lost: Math.max(0, PER_S * SECONDS - heard()), wrong, delaysMs, notifies: subscription.notifications.length };
}

const LOOK_EVERY_MS = 50;

async function until(holds: () => Promise<boolean>, limitMs = 60_000): Promise<void> {
  const limit = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > limit) throw new Error(`not within ${limitMs} ms`);
    await new Promise(resolve => setTimeout(resolve, LOOK_EVERY_MS));
  }
}
