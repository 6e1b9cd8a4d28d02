/**
 * The demonstration: a gateway on loopback, simulated NVRs with real footage below it, two platforms above it, live video
 * over the nine leg combinations, judged picture by picture.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { Closer } from '#kit/closer.ts';
import { LAB_ID, LAB_PASSWORD, LabGateway, freePort } from '../lab/gateway.ts';
import { type Footage, prepareFootage } from '../media/footage.ts';
import { cleanPictures } from '../media/picture-meter.ts';
import { decodePictures } from '../media/pictures.ts';
import type { Channel } from '../simulators/camera/catalogue.ts';
import { CameraSimulator } from '../simulators/camera/simulator.ts';
import { Platform } from '../simulators/platform/platform.ts';
import { controlOnce } from './controls.ts';
import { type EventScene, alarmOnce, subscriptionOnce } from './events.ts';
import { linkOnce } from './link.ts';
import { lossOnce } from './loss.ts';
import { outletsOnce } from './outlets.ts';
import { playbackOnce } from './playback.ts';
import { LEGS, type Leg, type Row, playOnce } from './plays.ts';
import { formatTable } from './table.ts';

const run = promisify(execFile);
const FRAMES = 60;
const CITY = { name: 'city', id: '33010000002000000001', localId: '33010000002000000099', password: 'city-secret' };
const PROVINCE = { name: 'province', id: '33000000002000000001', localId: '33000000002000000099', password: 'province-secret' };
const NVRS = [
  { id: '34020000001180000001', footage: 'h264-g711a' },
  { id: '34020000001180000002', footage: 'h265-aac' },
] as const;
const PLACES = ['码头', '北站台', '仓库'];

/** IDs of their own for each NVR. */
const channelsOf = (nvr: number): Channel[] => PLACES.slice(0, LEGS.length).map((place, index) => ({ id: `340200000013200000${nvr}${index + 1}`, name: `${place} ${nvr}-${index + 1}`, online: true }));

const say = (text: string): void => void process.stdout.write(`${text}\n`);

interface Cast {
  readonly gateway: LabGateway;
  readonly city: Platform;
  readonly province: Platform;
  readonly nvrs: readonly CameraSimulator[];
  /** Section of the configuration. */
  readonly outlets: Readonly<Record<string, string | number>>;
}

async function openCast(directory: string, closer: Closer): Promise<Cast> {
  const city = closer.use(await Platform.open({ id: CITY.id, password: CITY.password }));
  const province = closer.use(await Platform.open({ id: PROVINCE.id, password: PROVINCE.password, version: '2022', charset: 'gb18030' }));
  const [rtspPort, rtmpPort, httpPort] = [await freePort('127.0.0.1'), await freePort('127.0.0.1'), await freePort('127.0.0.1')];
  const outlets = { address: '127.0.0.1', rtspPort, rtmpPort, httpPort, tokenKey: randomBytes(24).toString('hex') };
  const gateway = closer.use(await LabGateway.open({ directory: join(directory, 'gateway'), config: configFor('udp', { city, province, outlets }) }));
  say(`gateway    sipd and mediad run; SIP on ${gateway.address}:${gateway.sipPort} UDP and TCP`);
  const nvrs: CameraSimulator[] = [];
  for (const { id, footage } of NVRS) {
    const platform = { id: LAB_ID, address: gateway.address, port: gateway.sipPort };
    nvrs.push(closer.use(await CameraSimulator.open({ id, platform, password: LAB_PASSWORD, channelList: channelsOf(nvrs.length + 1), footage, transport: id === NVRS[0].id ? 'udp' : 'tcp' })));
  }
  return { gateway, city, province, nvrs, outlets };
}

/** `cameraLeg`: our role toward cameras. */
function configFor(cameraLeg: Leg, { city, province, outlets }: Pick<Cast, 'city' | 'province' | 'outlets'>): NonNullable<Parameters<typeof LabGateway.open>[0]>['config'] & object {
  const upstream = (who: typeof CITY, { address, port }: Platform, more: object): object => ({ ...who, address, port, retryS: 2, ...more });
  return {
    devices: { media: { transport: cameraLeg, lingerS: 0 } },
    outlets,
    upstreams: [upstream(CITY, city, { transport: 'udp' }), upstream(PROVINCE, province, { transport: 'tcp', version: '2022', charset: 'gb18030' })],
  } as ReturnType<typeof configFor>;
}

async function showRegistration({ gateway, city, province, nvrs }: Cast): Promise<void> {
  await Promise.all(nvrs.map(nvr => nvr.registered()));
  await Promise.all([city.waitRegistered(CITY.localId), province.waitRegistered(PROVINCE.localId)]);
  await catalogued(gateway);
  const rpc = await gateway.rpc();
  for (const device of await rpc.call('listDevices', {})) say(`below      ${device.id} ${device.name ?? ''} ${device.state} over ${device.transport ?? '-'}, ${device.channels} channels, catalogue ${device.catalog.state}`);
  for (const upstream of await rpc.call('listUpstreams', {})) say(`above      ${upstream.name} ${upstream.id} ${upstream.state} over ${upstream.transport}, sees ${upstream.sharedChannels} channels`);
  await rpc[Symbol.asyncDispose]();
  for (const [platform, { name, localId }] of [[city, CITY], [province, PROVINCE]] as const) {
    const { items, messages } = await platform.catalog({ peer: localId });
    say(`catalogue  ${name} got ${items.length} items in ${messages} messages: ${items.map(item => item.name).slice(0, 6).join(', ')} ...`);
  }
}

/** Until the gateway has both catalogues. */
async function catalogued(gateway: LabGateway): Promise<void> {
  const rpc = await gateway.rpc();
  try {
    for (;;) {
      // Listen before asking: what ends between the two would never be heard of.
      const collected = gateway.sipd.next(line => line.msg === 'catalog.collected');
      collected.catch(() => undefined);
      const devices = await rpc.call('listDevices', {});
      if (devices.filter(device => device.catalog.state === 'complete').length === NVRS.length) return;
      await collected;
    }
  } finally {
    await rpc[Symbol.asyncDispose]();
  }
}

/** Each platform controls a camera of its own, and plays what it recorded. */
async function showControls({ gateway, city, province, nvrs }: Cast): Promise<boolean> {
  const rpc = await gateway.rpc();
  const { rows } = await rpc.call('listChannels', {});
  await rpc[Symbol.asyncDispose]();
  let good = true;
  for (const [index, [platform, upstream]] of ([[city, CITY.name], [province, PROVINCE.name]] as const).entries()) {
    const camera = nvrs[index]!.device;
    const channelId = rows.find(row => row.deviceId === camera.id)!.mapped.find(mapped => mapped.upstream === upstream)!.id;
    const { ok, says } = await controlOnce({ upstream, platform, camera, channelId });
    good &&= ok;
    say(`control    ${says}`);
    const playback = await playbackOnce({ upstream, platform, channelId });
    good &&= playback.ok;
    say(`playback   ${playback.says}`);
  }
  return good;
}

/** What happens at a camera reaches the platforms by itself. */
async function showEvents({ gateway, city, province, nvrs }: Cast): Promise<boolean> {
  await using rpc = await gateway.rpc();
  const { rows } = await rpc.call('listChannels', {});
  const camera = nvrs[0]!.device;
  const idsFor = (upstream: string): string[] => rows.filter(row => row.deviceId === camera.id).map(row => row.mapped.find(mapped => mapped.upstream === upstream)!.id);
  const scene: EventScene = {
    upstream: CITY.name, platform: city, other: { upstream: PROVINCE.name, platform: province }, camera, channelIds: idsFor(CITY.name), otherChannelIds: idsFor(PROVINCE.name),
    catalogued: async () => void (await gateway.sipd.next(line => line.msg === 'catalog.collected')),
  };
  const subscribed = await subscriptionOnce(scene);
  say(`subscribe  ${subscribed.says}`);
  const alarmed = await alarmOnce(scene);
  say(`alarm      ${alarmed.says}`);
  return subscribed.ok && alarmed.ok;
}

async function showOutlets({ gateway, nvrs }: Cast): Promise<boolean> {
  let good = true;
  for (const [index, { footage }] of NVRS.entries()) {
    const { ok, says } = await outletsOnce(gateway, nvrs[index]!.device.channels[0]!.id, footage.split('-')[0]!);
    good &&= ok;
    say(`outlets    ${says}`);
  }
  return good;
}

async function showLoss({ gateway, city }: Cast, footage: readonly Footage[], directory: string): Promise<boolean> {
  const clean = await cleanPictures(footage.find(each => each.videoCodec === 'h264')!.videoPath);
  const { ok, says } = await lossOnce({ gateway, upstream: CITY.name, platform: city, channels: NVRS.length * PLACES.length, clean, directory });
  say(`loss       ${says}`);
  const link = await linkOnce(clean, join(directory, 'link'));
  say(`loss       ${link.says}`);
  return ok && link.ok;
}

/** All nine combinations for both codecs, three legs upward at a time; between them a reload changes the leg downward. */
async function playAll(cast: Cast, footage: readonly Footage[], directory: string): Promise<Row[]> {
  const sources = new Map(await Promise.all(footage.map(async each => [each.name, (await decodePictures(each.videoPath)).hashes] as const)));
  const rows: Row[] = [];
  const rpc = await cast.gateway.rpc();
  const { rows: channels } = await rpc.call('listChannels', {});
  for (const cameraLeg of LEGS) {
    await cast.gateway.rewrite(configFor(cameraLeg, cast));
    const { refused } = await rpc.call('reload', { sections: ['devices'] });
    if (refused !== null) throw new Error(`reload refused: ${refused}`);
    say(`playing    camera leg ${cameraLeg}: three legs upward, two codecs`);
    const plays = NVRS.flatMap((nvr, index) =>
      LEGS.map((upstreamLeg, channel) => {
        const [platform, { name }] = index === 0 ? [cast.city, CITY] : [cast.province, PROVINCE];
        const clip = footage.find(each => each.name === nvr.footage)!;
        const channelId = channels.filter(row => row.deviceId === nvr.id)[channel]!.mapped.find(mapped => mapped.upstream === name)!.id;
        return playOnce({ platform, upstream: name, channelId, cameraLeg, upstreamLeg, footage: clip, frames: FRAMES, directory }, sources.get(clip.name)!);
      }),
    );
    rows.push(...(await Promise.all(plays)));
  }
  await rpc[Symbol.asyncDispose]();
  return rows;
}

/** Something to look at: the first good row as MP4 and JPEG. */
async function keepPictures(rows: readonly Row[], directory: string): Promise<string[]> {
  const good = rows.find(row => row.faults.length === 0 && row.files.ps !== undefined);
  if (good?.files.ps === undefined) return [];
  const video = join(directory, 'live.mp4');
  const picture = join(directory, 'live.jpg');
  const ffmpeg = (...args: string[]): Promise<unknown> => run('ffmpeg', ['-nostdin', '-hide_banner', '-v', 'error', '-y', ...args]);
  // ffmpeg 5 does not know G.711 in a program stream, so the sound comes from the elementary stream beside it.
  const { ps, audio } = good.files;
  const sound = audio === undefined ? [] : audio.endsWith('.alaw') ? ['-f', 'alaw', '-ar', '8000', '-ac', '1', '-i', audio] : ['-i', audio];
  await ffmpeg('-i', ps, ...sound, '-map', '0:v:0', ...(audio === undefined ? [] : ['-map', '1:a:0']), '-c:v', 'copy', '-c:a', 'aac', video);
  await ffmpeg('-i', video, '-frames:v', '1', '-q:v', '3', picture);
  return [video, picture];
}

/** Leaves something running to look at, until Ctrl-C. */
async function stay({ gateway, city, province, nvrs }: Cast): Promise<void> {
  await city.play(nvrs[0]!.device.channels[0]!.id, { transport: 'udp' });
  await province.play(nvrs[0]!.device.channels[0]!.id, { transport: 'tcp-passive' });
  const vlink = `cli/vlink --run-dir ${join(gateway.directory, 'run')}`;
  say(['', 'running until Ctrl-C; one camera plays to both platforms. Try:', ...['show devices', 'show channels', 'show upstreams', 'show sessions', 'show counters', `play ${nvrs[0]!.device.channels[0]!.id}`, `why ${nvrs[1]!.device.channels[0]!.id} --probe`].map(command => `  ${vlink} ${command}`)].join('\n'));
  await new Promise(stop => process.once('SIGINT', stop).once('SIGTERM', stop));
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false }, out: { type: 'string', default: 'demo-out' } } });
  const directory = resolve(values.out);
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await using closer = new Closer();
  const footage = (await prepareFootage()).filter(each => NVRS.some(nvr => nvr.footage === each.name));
  say(`footage    ${footage.map(each => each.name).join(', ')} from ${footage[0]!.source}${footage[0]!.note === undefined ? '' : ` (${footage[0]!.note})`}`);
  const cast = await openCast(directory, closer);
  await showRegistration(cast);
  const shown = [await showControls(cast), await showEvents(cast), await showOutlets(cast), await showLoss(cast, footage, directory)].every(ok => ok);
  const rows = await playAll(cast, footage, directory);
  const kept = await keepPictures(rows, directory);
  say(`\n${formatTable(rows, process.stdout.isTTY)}\n`);
  if (kept.length > 0) say(`to look at: ${kept.join('  ')}`);
  const bad = rows.filter(row => row.faults.length > 0).length;
  say(bad === 0 ? `all ${rows.length} plays are good` : `${bad} of ${rows.length} plays have faults; logs in ${join(directory, 'gateway')}`);
  if (values.keep) await stay(cast);
  return bad === 0 && shown ? 0 : 1;
}

process.exitCode = await main();
