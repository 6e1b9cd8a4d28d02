/** Program stream on one side, elementary stream on the other, through the whole gateway; pictures are compared after decoding. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadFootage, prepareFootage } from '../../scripts/media/footage.ts';
import { decodePictures } from '../../scripts/media/pictures.ts';
import type { Quirk } from '../../scripts/simulators/camera/quirks.ts';
import type { Mischief } from '../../scripts/simulators/platform/mischief.ts';
import { assertReleased, openRelayRig } from '../rig/relay-rig.ts';
import { until } from '../rig/until.ts';

t.setTimeout(300_000);
const directory = await mkdtemp(join(tmpdir(), 'viewlink-formats-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));
const footage = await prepareFootage();

interface Case {
  readonly what: string;
  readonly quirks: readonly Quirk[];
  readonly mischief: readonly Mischief[];
  readonly answered: Readonly<Record<'h264' | 'h265', number>>;
}

const CASES: readonly Case[] = [
  { what: 'program stream below, elementary above', quirks: [], mischief: ['elementary'], answered: { h264: 98, h265: 100 } },
  { what: 'elementary below, program stream above', quirks: ['elementary'], mischief: [], answered: { h264: 96, h265: 96 } },
  { what: 'elementary on both sides', quirks: ['elementary'], mischief: ['elementary'], answered: { h264: 98, h265: 100 } },
  { what: 'many payload types offered: program stream', quirks: [], mischief: ['many-payloads'], answered: { h264: 96, h265: 96 } },
  { what: 'answered under the number of H.264 without a word, it is a program stream', quirks: ['other-payload-type', 'no-rtpmap'], mischief: [], answered: { h264: 96, h265: 96 } },
];

for (const { what, quirks, mischief, answered } of CASES) {
  await t.test(what, async t => {
    const names = ['h264-g711a', 'h265-aac'] as const;
    await using rig = await openRelayRig({ cameras: names.map(name => ({ footage: name, quirks: new Set(quirks) })) });
    for (const transport of ['udp', 'tcp-active'] as const) {
      await Promise.all(
        names.map(async (name, camera) => {
          const clip = footage.find(each => each.name === name)!;
          const loaded = await loadFootage(name);
          const label = `${name} over ${transport}`;
          const play = await rig.platforms[0]!.play(rig.idOf(camera, 0), { transport, mischief, recordTo: join(directory, `${what.replaceAll(/\W/g, '-')}-${name}-${transport}`) });
          await play.waitFrames(45);
          const report = await play.stop();
          t.equal(play.answer!.media.payloadTypes[0], answered[clip.videoCodec], `${label}: payload type of our answer`);
          t.match(report, { codec: clip.videoCodec, damaged: 0, lost: 0, payloadTypeMismatch: 0, ssrcMismatch: 0, malformed: 0 }, label);
          const [source, seen] = await Promise.all([decodePictures(clip.videoPath), decodePictures(report.files.ps!)]);
          // The camera goes to a key picture when it is asked for one.
          const keys = new Set(loaded.pictures.flatMap(({ keyFrame }, index) => (keyFrame ? [index] : [])));
          const places = seen.hashes.map(hash => source.hashes.indexOf(hash));
          const odd = places.filter((place, index) => place < 0 || !(keys.has(place) || (index > 0 && place === places[index - 1]! + 1)));
          t.same(odd, [], `${label}: ${places.length} pictures decode as at the source, from ${places[0]}`);
          t.ok(places.length >= 40, label);
        }),
      );
    }
    await assertReleased(rig);
  });
}

await t.test('sound alone, and what cannot be served', async t => {
  await using rig = await openRelayRig({ cameras: [{ footage: 'h264-g711a' }, { footage: 'h265-aac' }] });
  const [platform] = rig.platforms;
  const play = await platform!.play(rig.idOf(0, 0), { transport: 'udp', mischief: ['audio-only'], recordTo: join(directory, 'sound') });
  await until('sound', () => play.report.audioFrames > 30);
  const report = await play.stop();
  t.match(report, { audioCodec: 'g711a', frames: 0, damaged: 0, lost: 0, payloadTypeMismatch: 0 });
  t.match(play.answer, { media: { kind: 'audio', payloadTypes: [8] } });
  const original = Buffer.concat((await loadFootage('h264-g711a')).audioFrames.map(({ bytes }) => bytes));
  const heard = await readFile(report.files.audio!);
  t.ok(heard.length > 6400 && Buffer.concat([original, original]).includes(heard), 'octet for octet');
  const transcode = async (maxJobs: number): Promise<void> => {
    await rig.gateway.rewrite({ ...rig.configOf({}), transcode: { maxJobs } });
    await rig.rpc.call('reload', { sections: [] });
  };
  await transcode(0);
  const refused: unknown = await platform!.play(rig.idOf(1, 0), { transport: 'udp', mischief: ['audio-only'] }).catch((error: unknown) => error);
  t.match(refused, { status: 503 }, 'AAC for one who takes G.711 only, where nothing is transcoded');
  await transcode(8);
  const made = await platform!.play(rig.idOf(1, 0), { transport: 'udp', mischief: ['audio-only'] });
  await until('sound that was made', () => made.report.audioFrames > 20);
  t.match(await made.stop(), { audioCodec: 'g711a', damaged: 0, lost: 0 });
  const pictures = await platform!.play(rig.idOf(1, 0), { transport: 'udp', mischief: ['h264-only'] });
  await pictures.waitFrames(40);
  t.match(await pictures.stop(), { codec: 'h264', damaged: 0, lost: 0 }, 'H.265 for one who takes H.264 only');
  t.match(await rig.rpc.call('counters', {}), { 'relay.transcoded-to-fit': 2 });
  await assertReleased(rig);
});

/** Streams as cameras distort them, taken apart and put together again on the way. */
const ODD: readonly (readonly Quirk[])[] = [
  ['private-pes', 'bad-psm-crc'],
  ['short-pack'],
  ['codec-flip', 'marker-never'],
  ['pes-length-zero'],
  ['no-psm', 'marker-always'],
  ['late-psm', 'rtp-extension'],
  ['pts-wrap', 'sample-clock'],
  ['reorder', 'duplicates'],
  ['elementary', 'marker-always'],
  ['elementary', 'reorder', 'rtp-extension'],
  ['elementary', 'ssrc-restart'],
  ['ssrc-restart', 'early-media'],
];

await t.test('odd streams are converted, too: every picture that is shown is one of the source', async t => {
  for (const half of [ODD.slice(0, 6), ODD.slice(6)]) {
    await using rig = await openRelayRig({ cameras: half.map((quirks, index) => ({ footage: index % 2 === 0 ? 'h264-g711a' : 'h265-g711a', quirks: new Set(quirks) })) });
    await Promise.all(
      half.map(async (quirks, camera) => {
        const label = quirks.join(' + ');
        const clip = footage.find(each => each.name === (camera % 2 === 0 ? 'h264-g711a' : 'h265-g711a'))!;
        const mischief: readonly Mischief[] = quirks.includes('elementary') ? [] : ['elementary'];
        const play = await rig.platforms[0]!.play(rig.idOf(camera, 0), { transport: 'tcp-active', mischief, recordTo: join(directory, label.replaceAll(/\W/g, '-')) });
        await play.waitFrames(quirks.includes('ssrc-restart') ? 120 : 60);
        const report = await play.stop();
        t.match(report, { codec: clip.videoCodec, damaged: 0, lost: 0 }, label);
        const [source, seen] = await Promise.all([decodePictures(clip.videoPath), decodePictures(report.files.ps!)]);
        const strange = seen.hashes.filter(hash => !source.hashes.includes(hash)).length;
        t.ok(strange === 0 && seen.hashes.length >= 55, `${label}: ${seen.hashes.length} pictures, ${strange} of them strange`);
      }),
    );
    await assertReleased(rig);
  }
});
