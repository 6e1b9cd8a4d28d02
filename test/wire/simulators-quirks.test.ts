import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Ms, ms, NEVER } from '#core/units.ts';
import { type Clock, systemClock } from '#kit/clock.ts';
import { loadFootage } from '../../scripts/media/footage.ts';
import { channelsOf } from '../../scripts/simulators/camera/catalogue.ts';
import { QUIRKS, type Quirk } from '../../scripts/simulators/camera/quirks.ts';
import { type CameraOptions, CameraSimulator } from '../../scripts/simulators/camera/simulator.ts';
import { pause, quietAmbience } from '../../scripts/simulators/common/names.ts';
import { MISCHIEF, type Mischief } from '../../scripts/simulators/platform/mischief.ts';
import { Platform, type PlatformOptions, type Play, type PlayOptions } from '../../scripts/simulators/platform/platform.ts';
import type { PlayTransport } from '../../scripts/simulators/platform/receivers.ts';

t.jobs = 3;
const BESIDES = { buffered: true } as const;
const PASSWORD = 'Gate#2026';
const directory = mkdtempSync(join(tmpdir(), 'quirks-'));
const shown = new Set<Quirk | Mischief>();

async function openPlatform(t: Test, options: PlatformOptions = {}): Promise<Platform> {
  for (const mischief of options.mischief ?? []) shown.add(mischief);
  const platform = await Platform.open({ password: PASSWORD, ...options });
  t.teardown(() => platform[Symbol.asyncDispose]());
  return platform;
}

/** For counters that nobody announces. */
async function until(holds: () => boolean): Promise<void> {
  for (const deadline = systemClock.now() + 10_000; !holds(); ) {
    if (systemClock.now() > deadline) throw new Error(`never: ${holds}`);
    await pause(systemClock, 20);
  }
}

let serial = 0;

/** A camera with an ID of its own, registered unless it cannot be. */
async function openCamera(t: Test, platform: Platform, quirks: readonly Quirk[], options: Partial<CameraOptions> = {}): Promise<CameraSimulator> {
  for (const quirk of quirks) shown.add(quirk);
  serial += 1;
  const id = `340200000011800${String(serial).padStart(5, '0')}`;
  const channelList = [{ id: `340200000013200${String(serial).padStart(5, '0')}`, name: `断桥残雪 ${serial}`, online: true }];
  const camera = await CameraSimulator.open({ platform: { id: platform.id, address: platform.address, port: platform.port }, password: PASSWORD, id, channelList, quirks, footage: 'h264', ...options });
  t.teardown(() => camera.vanish());
  if (options.register ?? true) await platform.waitRegistered(id);
  return camera;
}

const play = (platform: Platform, camera: CameraSimulator, options: Partial<PlayOptions> = {}): Promise<Play> => {
  for (const mischief of options.mischief ?? []) shown.add(mischief);
  return platform.play(camera.device.channels[0]!.id, { transport: 'udp', peer: camera.device.id, ...options });
};

async function refused(t: Test, playing: Promise<Play>, status: number, why: string): Promise<void> {
  const error = await playing.then(() => undefined, (failure: unknown) => failure);
  t.match(error, { name: 'PlayFailed', status }, why);
}

const VIDEO_FRAMES = 30;

interface Case {
  readonly quirks: readonly Quirk[];
  readonly transport?: PlayTransport;
  readonly camera?: Partial<CameraOptions>;
  readonly mischief?: readonly Mischief[];
  /** The pictures must be the source's although the stream is odd. */
  readonly intact?: false;
  readonly report?: Readonly<Record<string, unknown>>;
  readonly also?: (t: Test, play: Play) => void;
}

/** What the judge of the platform must say about each kind of stream. */
const STREAMS: readonly Case[] = [
  { quirks: ['private-pes'] },
  { quirks: ['bad-psm-crc'] },
  { quirks: ['short-pack'] },
  { quirks: ['codec-flip'] },
  { quirks: ['pes-length-zero'] },
  { quirks: ['no-psm'], camera: { footage: 'h265-g711a' } },
  { quirks: ['late-psm'], camera: { footage: 'h264-g711a' } },
  { quirks: ['aac-as-g711'], camera: { footage: 'h264-aac' }, report: { audioCodec: 'aac' } },
  { quirks: ['sample-clock', 'first-audio-timestamp-zero'], camera: { footage: 'h264-g711a' }, report: { audioCodec: 'g711a' } },
  { quirks: ['pts-wrap', 'marker-always'] },
  { quirks: ['marker-never'], report: { markers: 0 } },
  { quirks: ['rtp-extension', 'early-media'] },
  { quirks: ['reorder'], also: (t, { report }) => t.ok(report.reordered > 5, `${report.reordered} reordered`) },
  { quirks: ['duplicates'], also: (t, { report }) => t.ok(report.duplicates > 5, `${report.duplicates} twice`) },
  { quirks: ['loss'], intact: false, also: (t, { report }) => t.ok(report.lost > 0 && report.damaged > 0, `${report.lost} lost, ${report.damaged} damaged`) },
  { quirks: ['starts-mid-gop'], intact: false, also: (t, { report }) => t.ok(report.keyFrames >= 1 && (report.firstFrameMs ?? 0) > 500, 'the first key frame is late') },
  { quirks: ['own-ssrc'], also: (t, { report }) => t.equal(report.ssrcMismatch, report.packets, 'every packet has another SSRC') },
  { quirks: ['own-y'], report: { ssrcMismatch: 0 } },
  { quirks: ['no-y'], report: { ssrcMismatch: 0 }, also: (t, { answer }) => t.equal(answer!.ssrcText, undefined) },
  { quirks: ['null-y'], also: (t, { answer }) => t.equal(answer!.ssrcText, 'null') },
  { quirks: ['short-y', 'lf-sdp'], report: { ssrcMismatch: 0 }, also: (t, { answer }) => t.match(answer!.ssrcText, /^[1-9]\d{1,8}$/) },
  { quirks: ['garbage-f', 'setup-on-udp'], also: (t, { answer }) => t.match(answer, { media: { setup: 'active' } }) },
  { quirks: ['other-payload-type'], report: { payloadTypeMismatch: 0 }, also: (t, { answer }) => t.same(answer!.media.payloadTypes, [98]) },
  { quirks: ['no-rtpmap'], also: (t, { answer }) => t.equal(answer!.media.rtpmaps.size, 0) },
  { quirks: ['elementary'], mischief: ['elementary'], camera: { footage: 'h265-aac' }, intact: false, report: { damaged: 0, codec: 'h265', audioFrames: 0 }, also: (t, { answer }) => t.same(answer!.media.payloadTypes, [100]) },
  { quirks: ['third-party-media'], also: (t, { answer }) => t.equal(answer!.connectionAddress, '203.0.113.77') },
  { quirks: ['wrong-source-port'], also: (t, { answer, report }) => t.not(report.mediaFrom, `127.0.0.1:${answer!.media.port}`) },
  { quirks: ['content-length-zero', 'header-spaces', 'lower-case-headers'] },
  { quirks: ['no-contact-in-200'], report: { byeAnswered: true } },
  { quirks: ['big-frames'], transport: 'tcp-passive', camera: { footage: 'h264' }, also: (t, { report }) => t.ok(report.packets < report.frames * 2, 'a picture fits one packet') },
  { quirks: ['zero-length-frames'], transport: 'tcp-active' },
  { quirks: ['port-9', 'tcp-once'], transport: 'tcp-passive', also: (t, { answer }) => t.equal(answer!.media.port, 9) },
];

t.test('streams and answers', BESIDES, async t => {
  const platform = await openPlatform(t);
  await Promise.all(
    STREAMS.map(async (each, index) => {
      const name = each.quirks.join(' + ');
      const camera = await openCamera(t, platform, each.quirks, each.camera);
      const playing = await play(platform, camera, { transport: each.transport ?? 'udp', recordTo: join(directory, String(index)), ...(each.mischief !== undefined && { mischief: each.mischief }) });
      await playing.waitFrames(VIDEO_FRAMES);
      const report = await playing.stop();
      if (each.intact ?? true) {
        const source = await loadFootage(each.camera?.footage ?? 'h264');
        const got = readFileSync(report.files.video!);
        t.ok(report.damaged === 0 && readFileSync(source.videoPath).subarray(0, got.length).equals(got), `${name}: ${report.frames} pictures are the source's, octet for octet`);
      }
      t.match(report, each.report ?? {}, name);
      each.also?.(t, playing);
    }),
  );
});

t.test('sessions that go wrong', BESIDES, async t => {
  const platform = await openPlatform(t);
  const scenes: readonly (() => Promise<void>)[] = [
    async () => refused(t, play(platform, await openCamera(t, platform, ['reject-486'])), 486, 'rejected'),
    async () => refused(t, play(platform, await openCamera(t, platform, []), { mischief: ['audio-only'] }), 488, 'a camera that has program streams only'),
    async () => refused(t, play(platform, await openCamera(t, platform, []), { mischief: ['h264-only'] }), 488, 'of pictures too'),
    async () => {
      const camera = await openCamera(t, platform, ['busy']);
      const first = await play(platform, camera);
      await refused(t, play(platform, camera), 486, 'busy');
      await first.stop();
      await (await play(platform, camera)).stop();
    },
    async () => {
      const camera = await openCamera(t, platform, ['no-answer']);
      await refused(t, play(platform, camera, { cancelAfterMs: 500 }), 487, 'cancelled while nobody answers');
      t.equal(camera.sessions.length, 0);
    },
    async () => {
      const slow = await play(platform, await openCamera(t, platform, ['slow-answer']));
      t.ok((await slow.stop()).answerMs! >= 3000, 'slow answer');
    },
    async () => {
      const silent = await play(platform, await openCamera(t, platform, ['never-sends']));
      await t.rejects(silent.waitPackets(1, 400), { name: 'NotInTime' });
    },
    async () => {
      const astray = await play(platform, await openCamera(t, platform, ['wrong-target-port']));
      await t.rejects(astray.waitPackets(1, 400), { name: 'NotInTime' });
    },
    async () => void t.equal(await (await play(platform, await openCamera(t, platform, ['hangs-up']))).waitEnded(), 'BYE of the sender'),
    async () => {
      const stopping = await play(platform, await openCamera(t, platform, ['stops-sending']));
      await stopping.waitFrames(60);
      await t.rejects(stopping.waitFrames(90, 1500), { name: 'NotInTime' }, 'stops after three seconds');
    },
    async () => {
      const deaf = await play(platform, await openCamera(t, platform, ['no-bye-answer']));
      t.match(await deaf.stop(), { byeAnswered: false });
    },
    async () => {
      const restarting = await play(platform, await openCamera(t, platform, ['ssrc-restart']));
      // The restart comes by the clock, pictures by the pace of a busy machine: the restart is waited for.
      await until(() => restarting.report.restarts === 1);
      await restarting.waitFrames(restarting.report.frames + 10);
      const report = await restarting.stop();
      t.match(report, { restarts: 1 });
      t.ok(report.ssrcMismatch > 0 && report.damaged <= 1);
    },
    async () => void (await t.rejects(play(platform, await openCamera(t, platform, ['answers-active']), { transport: 'tcp-active' }), /both sides want to be active/)),
    async () => {
      const never = await play(platform, await openCamera(t, platform, ['never-connects']), { transport: 'tcp-passive' });
      await t.rejects(never.waitPackets(1, 400), { name: 'NotInTime' });
      t.notOk(never.connected);
    },
    async () => {
      const closing = await play(platform, await openCamera(t, platform, ['closes-tcp']), { transport: 'tcp-passive' });
      t.equal(await closing.waitMediaClosed(), 'closed by the sender');
      t.equal(closing.state, 'playing', 'nobody said BYE');
    },
    async () => {
      for (const quirk of ['dollar-framing', 'garbage-start'] as const) {
        const broken = await play(platform, await openCamera(t, platform, [quirk]), { transport: 'tcp-passive' });
        await broken.waitEnded();
        t.match(broken.report, { mediaClosed: 'not RFC 4571 framing', packets: 0 }, `${quirk}: our judge is strict, and the camera hangs up`);
      }
    },
  ];
  await Promise.all(scenes.map(scene => scene()));
});

t.test('catalogues', BESIDES, async t => {
  const platform = await openPlatform(t);
  const ask = async (quirks: readonly Quirk[], timeoutMs = 700, channels?: number) => {
    const camera = await openCamera(t, platform, quirks, channels === undefined ? {} : { channelList: channelsOf('34020000001180000001', channels, 900) });
    const channel = camera.device.channels[0]!;
    const answer = await platform.catalog({ peer: camera.device.id, timeoutMs });
    return { ...answer, channel, device: camera.device.id, item: answer.items[0] };
  };
  const readable: readonly Quirk[] = ['mislabelled-charset', 'gb-under-utf8', 'no-prologue', 'spaced-num'];
  const scenes: readonly (() => Promise<void>)[] = [
    ...readable.map(quirk => async () => {
      const { item, channel, complete } = await ask([quirk]);
      t.match({ complete, name: item?.name }, { complete: true, name: channel.name }, quirk);
    }),
    async () => void t.match(await ask(['stray-markup']), { item: { name: /A&B <1>$/, address: 'Gate <N> & yard' } }),
    async () => void t.match((await ask(['parent-null'])).item, { parentId: 'null' }),
    async () => {
      const self = await ask(['parent-self']);
      t.equal(self.item!.parentId, self.channel.id);
    },
    async () => void t.equal((await ask(['no-parent'])).item!.parentId, undefined),
    async () => void t.match((await ask(['composite-parent'])).item, { parentId: /^\d{20}\/\d{20}$/ }),
    async () => void t.match(await ask(['wrong-sumnum']), { complete: false, sumNum: 4, messages: 1 }),
    async () => void t.match(await ask(['duplicate-items'], 700, 2), { complete: true, messages: 3, repeated: 1 }),
    async () => void t.match(await ask(['no-sumnum-end'], 700, 2), { complete: false, sumNum: 2, messages: 1 }),
    async () => void t.match(await ask(['no-catalogue']), { complete: false, messages: 0 }),
    async () => {
      const late = await ask(['late-first-part'], 8000);
      t.ok(late.complete && late.firstMs! >= 5000, `first part after ${late.firstMs} ms`);
    },
  ];
  await Promise.all(scenes.map(scene => scene()));
});

t.test('registrations', BESIDES, async t => {
  const platform = await openPlatform(t);
  const { registrar } = platform;
  const plain = await openCamera(t, platform, ['no-digest'], { register: false });
  plain.device.registration.start();
  await t.rejects(platform.waitRegistered(plain.device.id, 400), { name: 'NotInTime' });
  t.equal(plain.device.registration.lastStatus, 401);
  await openCamera(t, platform, ['other-username']);
  const brief = await openCamera(t, platform, ['short-expires', 'no-refresh']);
  t.equal(registrar.peers.get(brief.device.id)!.expiresS, 30);
  const twice = await openCamera(t, platform, ['keepalive-twice'], { keepaliveS: 0.1 });
  const mute = await openCamera(t, platform, ['no-keepalive'], { keepaliveS: 0.1 });
  await platform.waitKeepalives(twice.device.id, 6);
  t.equal(registrar.peers.get(mute.device.id)!.keepalives, 0);

  const stubborn = await openPlatform(t, { mischief: ['ignore-keepalive'] });
  const only = await openCamera(t, stubborn, ['keepalive-only'], { keepaliveS: 0.05 });
  await stubborn.waitKeepalives(only.device.id, 5);
  t.equal(stubborn.registrar.peers.get(only.device.id)!.registers, 1, 'goes on with keepalives alone');

  for (const [mischief, status] of [['reject-register', 403], ['foreign-realm', 200]] as const) {
    const strange = await openPlatform(t, { mischief: [mischief] });
    const camera = await openCamera(t, strange, [], { register: false });
    camera.device.registration.start();
    await strange.registrar.changed.when(() => strange.registrar.counters.registers > 0);
    if (status === 200) await camera.device.registration.registered();
    else await t.rejects(strange.waitRegistered(camera.device.id, 200), { name: 'NotInTime' });
    t.equal(camera.device.registration.lastStatus, status, mischief);
  }
  const deaf = await openPlatform(t, { mischief: ['ignore-register'] });
  const unheard = await openCamera(t, deaf, [], { register: false });
  unheard.device.registration.start();
  await t.rejects(deaf.waitRegistered(unheard.device.id, 1200), { name: 'NotInTime' });
  t.equal(deaf.registrar.counters.registers, 1, 'retransmissions are one request');
  const stingy = await openPlatform(t, { mischief: ['short-expires', 'no-date', 'stale-nonce', 'reject-keepalive'] });
  const patient = await openCamera(t, stingy, []);
  t.match(stingy.registrar.peers.get(patient.device.id), { expiresS: 30 });
});

t.test('platforms that misbehave', BESIDES, async t => {
  const platform = await openPlatform(t);
  const quiet = (camera: CameraSimulator): Promise<void> => until(() => camera.sessions.length === 0);
  const camera = (quirks: readonly Quirk[] = []): Promise<CameraSimulator> => openCamera(t, platform, quirks);
  const cancels: readonly Mischief[] = ['cancel-at-once', 'cancel-after-100'];
  for (const mischief of cancels) {
    const slow = await camera(['slow-answer']);
    await refused(t, play(platform, slow, { mischief: [mischief] }), 487, mischief);
    await quiet(slow);
  }
  const crossing = await camera();
  const crossed = await play(platform, crossing, { mischief: ['cancel-crossing'] }).catch((error: unknown) => error as Error);
  if (!(crossed instanceof Error)) await crossed.stop();
  await quiet(crossing);
  for (const mischief of ['no-subject', 'swapped-from', 'many-payloads', 'no-setup', 'no-y', 'long-y', 'late-ack', 'duplicate-invite'] as const) {
    const each = await camera();
    const playing = await play(platform, each, { mischief: [mischief], transport: mischief === 'no-setup' ? 'tcp-passive' : 'udp' });
    await playing.waitFrames(2);
    if (mischief === 'duplicate-invite') t.equal(each.device.counters.invites, 1, 'four times the same INVITE is one');
    if (mischief === 'late-ack') t.ok(playing.report.firstPacketMs! >= 2000, 'no packet before the ACK');
    t.match(await playing.stop(), { damaged: 0, byeAnswered: true }, mischief);
  }
  await refused(t, play(platform, await camera(), { mischief: ['zero-port'] }), 488, 'port 0');
  for (const mischief of ['third-party-address', 'unspecified-address', 'odd-port'] as const) {
    const astray = await play(platform, await camera(['never-sends']), { mischief: [mischief] });
    t.match(await astray.stop(), { packets: 0 }, `${mischief}: the INVITE says so, the simulated camera obeys`);
  }
});

t.test('media connections and ends', BESIDES, async t => {
  const platform = await openPlatform(t);
  const scenes: readonly (() => Promise<void>)[] = [
    async () => {
      const camera = await openCamera(t, platform, []);
      const never = await play(platform, camera, { transport: 'tcp-active', mischief: ['never-connects'] });
      await t.rejects(never.waitPackets(1, 300), { name: 'NotInTime' });
      t.match(await never.stop(), { byeAnswered: true, packets: 0 });
      t.equal(camera.sessions.length, 0);
    },
    async () => {
      const closing = await play(platform, await openCamera(t, platform, []), { transport: 'tcp-passive', mischief: ['closes-tcp'] });
      t.equal(await closing.waitEnded(), 'BYE of the sender', 'the camera hangs up when its receiver is gone');
    },
    async () => {
      const camera = await openCamera(t, platform, []);
      const gone = await play(platform, camera, { mischief: ['closes-port'] });
      const { counters } = camera.sessions[0]!;
      await until(() => counters!.unreachable > 0);
      t.ok(gone.report.frames > 40, 'ICMP tells the camera, which goes on');
      t.match(await gone.stop(), { byeAnswered: true });
    },
    async () => {
      const camera = await openCamera(t, platform, []);
      const stalled = await play(platform, camera, { transport: 'tcp-passive', mischief: ['stops-reading'] });
      await t.rejects(stalled.waitPackets(1, 500), { name: 'NotInTime' });
      t.ok(camera.sessions[0]!.counters!.packets > 0, 'the camera writes into the window');
      await stalled.stop();
    },
    async () => {
      const camera = await openCamera(t, platform, []);
      const leaving = await play(platform, camera, { mischief: ['no-bye'] });
      await leaving.waitFrames(2);
      await leaving.stop();
      t.equal(camera.sessions.length, 1, 'the camera was not told');
    },
    async () => {
      const glare = await play(platform, await openCamera(t, platform, ['hangs-up']), { mischief: ['bye-glare'] });
      t.equal(await glare.waitEnded(), 'BYE of the sender');
    },
    async () => {
      const camera = await openCamera(t, platform, ['hangs-up']);
      const deaf = await play(platform, camera, { mischief: ['no-bye-answer'] });
      t.equal(await deaf.waitEnded(), 'BYE of the sender');
      t.equal(camera.sessions.length, 0);
    },
  ];
  await Promise.all(scenes.map(scene => scene()));
});

t.test('a key frame that is asked for, and a camera that does not care', BESIDES, async t => {
  const platform = await openPlatform(t);
  for (const quirks of [[], ['no-key-frames']] as const) {
    const camera = await openCamera(t, platform, quirks);
    const asked = await play(platform, camera);
    await asked.waitFrames(5);
    await platform.control(camera.device.channels[0]!.id, '<IFameCmd>Send</IFameCmd>', camera.device.id);
    await until(() => camera.device.counters.keyFrameRequests === 1);
    await asked.waitFrames(15);
    const { sent } = camera.sessions[0]!;
    const jumps = sent.slice(1).filter(({ index }, at) => index !== sent[at]!.index + 1).length;
    t.equal(jumps, quirks.length === 0 ? 1 : 0, `${quirks.join() || 'none'}: ${sent.map(({ index }) => index).join(' ')}`);
  }
});

/** Everything `factor` times as fast: 32 s of waiting for an ACK are over in less than two. */
function fastClock(factor: number): Clock {
  return {
    now: () => ms(systemClock.now() * factor),
    wall: () => systemClock.wall(),
    schedule: (at, task) => systemClock.schedule((at === NEVER ? NEVER : at / factor) as Ms, task),
  };
}

t.test('no ACK: the camera says BYE after 64 T1', BESIDES, async t => {
  const ambience = { ...quietAmbience(), clock: fastClock(25) };
  const platform = await openPlatform(t, { ambience });
  const camera = await openCamera(t, platform, ['never-sends'], { ambience });
  const unacknowledged = await play(platform, camera, { mischief: ['no-ack'] });
  t.equal(await unacknowledged.waitEnded(60_000), 'BYE of the sender');
  t.ok(unacknowledged.report.packets === 0 && camera.sessions.length === 0);
});

/** Quirks of recordings are shown where recordings are. */
const ELSEWHERE = ['simulators-recordings', 'gateway-recordings', '../pair/takeover'].map(name => readFileSync(join(import.meta.dirname, `${name}.test.ts`), 'utf8')).join('');

t.test('every quirk and every mischief was shown', t => {
  const missing = [...Object.keys(QUIRKS), ...Object.keys(MISCHIEF)].filter(name => !shown.has(name as Quirk | Mischief) && !ELSEWHERE.includes(`'${name}'`));
  t.same(missing, []);
  t.end();
});
