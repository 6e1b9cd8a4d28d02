/**
 * Every habit of real cameras that the simulator has (gb28181.md 11), through the whole gateway: it is admitted, listed and played, with
 * whole pictures and its codec told right. The numbers are those of the table there.
 */
import t from 'tap';
import { LAB_PASSWORD } from '../../scripts/lab/gateway.ts';
import { QUIRKS, type Quirk } from '../../scripts/simulators/camera/quirks.ts';
import { type PlayFailed } from '../../scripts/simulators/platform/platform.ts';
import { openRelayRig } from '../rig/relay-rig.ts';

/** What a case is expected to come to besides pictures. */
interface Case {
  readonly quirk: Quirk;
  readonly footage?: 'h264-g711a' | 'h265-aac';
  readonly codec?: string;
  readonly audioCodec?: string;
  /** Pictures that cannot be whole: what is left is. */
  readonly lossy?: boolean;
}

const CASES: readonly Case[] = [
  // Registration and SIP: 2, 6, 9, 13, 15.
  ...(['other-username', 'keepalive-only', 'content-length-zero', 'header-spaces', 'no-contact-in-200', 'lower-case-headers', 'lf-sdp'] as const).map(quirk => ({ quirk })),
  // XML and catalogue: 18, 22, 24, 26, 27, 29, 31 (wrong sums take 30 s: test/core/gb/catalog).
  ...(['stray-markup', 'mislabelled-charset', 'gb-under-utf8', 'no-prologue', 'spaced-num', 'parent-null', 'parent-self', 'composite-parent', 'no-parent', 'duplicate-items'] as const).map(quirk => ({ quirk })),
  // Answers: 38, 39, 40, 41, 52.
  ...(['own-ssrc', 'own-y', 'no-y', 'null-y', 'short-y', 'garbage-f', 'setup-on-udp', 'other-payload-type', 'early-media'] as const).map(quirk => ({ quirk })),
  // Streams: 42 to 49, 51.
  ...(['private-pes', 'bad-psm-crc', 'short-pack', 'pes-length-zero', 'no-psm', 'late-psm', 'sample-clock', 'pts-wrap', 'starts-mid-gop'] as const).map(quirk => ({ quirk, codec: 'h264' })),
  { quirk: 'codec-flip', footage: 'h265-aac', codec: 'h265' },
  { quirk: 'aac-as-g711', footage: 'h265-aac', audioCodec: 'aac' },
  // Packets: 57.
  ...(['marker-never', 'marker-always', 'reorder', 'duplicates', 'rtp-extension', 'ssrc-restart', 'first-audio-timestamp-zero'] as const).map(quirk => ({ quirk })),
  { quirk: 'loss', lossy: true },
  // TCP: 53, 55, 56, 58.
  ...(['big-frames', 'dollar-framing', 'zero-length-frames', 'garbage-start', 'port-9', 'tcp-once'] as const).map(quirk => ({ quirk })),
];

const AT_ONCE = 9;
const idOf = (index: number): string => `34020000001180000${String(index + 1).padStart(3, '0')}`;
const isTcp = ({ quirk }: Case): boolean => QUIRKS[quirk].group === 'TCP';

for (let from = 0; from < CASES.length; from += AT_ONCE) {
  const batch = CASES.slice(from, from + AT_ONCE);
  await t.test(batch.map(({ quirk }) => quirk).join(', '), async t => {
    await using rig = await openRelayRig({
      cameras: batch.map(({ quirk, footage }, index) => ({ id: idOf(from + index), channels: 1, quirks: [quirk], channelList: [{ id: idOf(from + index).replace('118', '132'), name: '大门', online: true }], ...(footage !== undefined && { footage }) })),
      devices: { known: batch.map((each, index) => ({ id: idOf(from + index), password: LAB_PASSWORD, ...(isTcp(each) && { transport: 'tcp-passive' }) })) },
    });
    const platform = rig.platforms[0]!;
    const channels = (await rig.rpc.call('listChannels', {})).rows;
    await Promise.all(
      batch.map(async ({ quirk, codec, audioCodec, lossy = false }, index) => {
        const channel = channels.find(row => row.deviceId === idOf(from + index));
        t.ok(channel?.name.includes(quirk === 'stray-markup' ? '&' : '大门'), `${quirk}: its name is ${channel?.name}`);
        const play = await platform.play(rig.idOf(index, 0), { transport: 'udp' }).catch((error: unknown) => error as PlayFailed);
        if (play instanceof Error) return void t.fail(`${quirk}: ${play.message}`);
        await play.waitFrames(quirk === 'ssrc-restart' || quirk === 'late-psm' ? 110 : 30, 20_000).catch((error: unknown) => t.fail(`${quirk}: ${String(error)}`));
        const report = await play.stop();
        t.equal(report.damaged, 0, `${quirk}: damaged`);
        if (!lossy) t.equal(report.lost, 0, `${quirk}: lost`);
        if (codec !== undefined) t.equal(report.codec, codec, `${quirk}: codec`);
        if (audioCodec !== undefined) t.equal(report.audioCodec, audioCodec, `${quirk}: sound`);
      }),
    );
  });
}

await t.test('platforms above with habits of their own: 16, 17, 70', async t => {
  await using rig = await openRelayRig({ cameras: [{ channels: 1 }] });
  const platform = rig.platforms[0]!;
  for (const mischief of ['no-subject', 'swapped-from', 'duplicate-invite', 'late-ack', 'no-y', 'many-payloads', 'audio-only', 'bye-glare'] as const) {
    const play = await platform.play(rig.idOf(0, 0), { transport: 'udp', mischief: [mischief] }).catch((error: unknown) => error as PlayFailed);
    if (play instanceof Error) {
      t.fail(`${mischief}: ${play.message}`);
      continue;
    }
    await play.waitPackets(50, 15_000).catch((error: unknown) => t.fail(`${mischief}: ${String(error)}`));
    const report = await play.stop();
    t.same([report.damaged, report.lost], [0, 0], mischief);
  }
  const setup = await platform.play(rig.idOf(0, 0), { transport: 'tcp-passive', mischief: ['no-setup'] });
  await setup.waitFrames(20);
  t.equal((await setup.stop()).damaged, 0, 'TCP without a=setup: the offerer listens');
});
