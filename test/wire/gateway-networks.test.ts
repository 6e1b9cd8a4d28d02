/** Cameras behind bad networks, picture by picture (faults 57-60). The networks are seeded; `scripts/bench loss` has the whole table. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { BridgeStats } from '#contracts/mediad.ts';
import { CLEAR, type ImpairmentRules } from '../../scripts/impairment/rules.ts';
import { channelsFor } from '../../scripts/lab/catalogued.ts';
import { type Watched, measure, watch } from '../../scripts/lab/viewing.ts';
import { loadFootage } from '../../scripts/media/footage.ts';
import { type PictureMeasure, cleanPictures } from '../../scripts/media/picture-meter.ts';
import { type RelayRig, assertReleased, openRelayRig } from '../rig/relay-rig.ts';

t.setTimeout(120_000);
const PICTURES = 125;
const PICTURES_OF_GROUP = 25;
/** The longest that a packet is waited for (media.loss.maxWaitMs). */
const MAX_WAIT_MS = 500;
/** What a timer and a picture of many packets add. */
const SLACK_MS = 60;
/** A machine that stands still for longer lets packets come later than the network does. */
const CALM_MS = 60;

const NETWORKS: Readonly<Record<string, Partial<ImpairmentRules>>> = {
  'untouched': {},
  // One packet, right behind a key picture: without another one on request the rest of the group is not shown.
  'loss of one': { lossPercent: 0.1, seed: 301 },
  'loss 1 %': { lossPercent: 1 },
  'loss 5 %': { lossPercent: 5 },
  'loss 20 %': { lossPercent: 20 },
  'loss 1 % in bursts of 5': { lossPercent: 1, burst: 5 },
  'loss 5 % in bursts of 20': { lossPercent: 5, burst: 20 },
  'wrong bits': { corruptPercent: 1 },
  'reordered 20 deep': { reorderPercent: 10, reorderDepth: 20 },
  'reordered 200 deep': { reorderPercent: 1, reorderDepth: 200, reorderHoldMs: 3000 },
  'jitter 200 ms': { jitterMs: 200 },
  'jitter 120 ms, shuffled': { jitterMs: 120, jitterReorders: true },
  'duplicates': { duplicatePercent: 20 },
};
const NAMES = Object.keys(NETWORKS);
const RESTARTING = 'restarts after 3 s';

const directory = mkdtempSync(join(tmpdir(), 'viewlink-networks-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

interface Seen {
  readonly watched: Watched;
  readonly source: BridgeStats['source'];
}

async function see(rig: RelayRig, camera: number, channel: number): Promise<Seen> {
  const id = rig.cameras[camera]!.device.channels[channel]!.id;
  let source: BridgeStats['source'] | undefined;
  const watched = await watch(
    { platform: rig.platforms[0]!, channelId: rig.idOf(camera, channel), camera: rig.cameras[camera]!, cameraChannelId: id, pictures: PICTURES, recordTo: join(directory, id) },
    async () => {
      source = (await rig.rpc.call('listSessions', {})).find(({ channelId }) => channelId === id)?.bridge?.source;
    },
  );
  return { watched, source: source! };
}

const seen = new Map<string, Seen>();
let requests = 0;
await (async () => {
  await using rig = await openRelayRig({
    cameras: [
      { channelList: channelsFor(NAMES), footage: 'h264', impair: ({ name }) => ({ ...CLEAR, seed: 200 + NAMES.indexOf(name), ...NETWORKS[name] }) },
      { channelList: channelsFor([RESTARTING], 50), footage: 'h264', quirks: ['ssrc-restart'] },
    ],
    devices: { media: { lingerS: 0, tcpForS: 0 } },
  });
  const watching = [...NAMES.map(async (name, channel) => [name, await see(rig, 0, channel)] as const), see(rig, 1, 0).then(each => [RESTARTING, each] as const)];
  for (const [name, each] of await Promise.all(watching)) seen.set(name, each);
  requests = rig.cameras[0]!.device.counters.keyFrameRequests;
  await assertReleased(rig);
})();
const clean = await cleanPictures((await loadFootage('h264')).videoPath);
const measured = new Map<string, PictureMeasure>();
for (const [name, { watched }] of seen) measured.set(name, await measure(watched, clean));
/** What the machine did to packets that no network touched. */
const stallMs = Math.max(0, ...seen.get('untouched')!.watched.delaysMs);
const says = (name: string): string => {
  const { shown, sent, frozenPercent, longestFreezeMs } = measured.get(name)!;
  return `${name}: ${shown} of ${sent} shown, ${frozenPercent.toFixed(1)} % frozen, longest ${longestFreezeMs} ms`;
};

await t.test('no damaged picture is ever shown, whatever is lost (fault 58)', async t => {
  for (const name of NAMES.filter(name => name !== 'wrong bits')) t.match(measured.get(name), { damaged: 0, decoderErrors: 0, worstSsim: 1 }, says(name));
});

await t.test('what was lost is over soon: the camera is asked for a key picture (fault 58)', async t => {
  t.ok(measured.get('loss of one')!.frozenPercent > 0 && measured.get('loss of one')!.longestFreezeMs < (PICTURES_OF_GROUP * 40) / 2 + stallMs, says('loss of one'));
  for (const name of ['loss 1 %', 'loss 1 % in bursts of 5']) t.ok(measured.get(name)!.shown > 0, says(name));
  for (const name of NAMES.filter(name => name.startsWith('loss'))) t.ok(seen.get(name)!.source.lost > 0, name);
  t.ok(requests >= NAMES.filter(name => name.startsWith('loss')).length, `${requests} requests`);
});

await t.test('late, out of order and twice is not lost (faults 57, 59)', async t => {
  for (const name of ['untouched', 'reordered 20 deep', 'jitter 200 ms', 'jitter 120 ms, shuffled', 'duplicates']) {
    const { lost, late } = seen.get(name)!.source;
    t.equal(lost - late, 0, `${name}: all came`);
    if (stallMs < CALM_MS) t.match(measured.get(name), { shown: PICTURES, frozenPercent: 0 }, `${says(name)}, ${late} late`);
  }
});

await t.test('nothing is waited for longer than the limit (faults 57, 59)', async t => {
  for (const [name, { watched }] of seen) {
    const limitMs = (NETWORKS[name]?.jitterMs ?? 0) + MAX_WAIT_MS + SLACK_MS + stallMs;
    const longest = Math.max(0, ...watched.delaysMs);
    t.ok(longest <= limitMs, `${name}: ${Math.round(longest)} of ${Math.round(limitMs)} ms`);
  }
});

await t.test('a camera that begins anew under another SSRC is back within 2 s (fault 60)', async t => {
  const measure = measured.get(RESTARTING)!;
  t.match(measure, { damaged: 0, decoderErrors: 0 }, says(RESTARTING));
  t.ok(measure.longestFreezeMs <= 2000 + stallMs && measure.shown >= PICTURES - 2 * PICTURES_OF_GROUP, says(RESTARTING));
});
