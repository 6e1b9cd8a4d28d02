#!/usr/bin/env node
/** Simulated upstream platform on the command line. */
import { Command, InvalidArgumentError } from 'commander';
import { isVideoChannel } from '#core/gb/device-id.ts';
import { systemClock } from '#kit/clock.ts';
import { pause } from '../common/names.ts';
import { closeOnSignal, statusLines } from '../common/status-lines.ts';
import { type Mischief, describeMischief, isMischief } from './mischief.ts';
import { Platform, PlayFailed, type PlayReport } from './platform.ts';
import type { PlayTransport } from './receivers.ts';

const EX_USAGE = 64;

const count = (text: string): number => {
  if (!/^\d{1,7}$/.test(text)) throw new InvalidArgumentError('a number is wanted');
  return Number(text);
};
const mischief = (text: string, before: Mischief[]): Mischief[] => {
  if (!isMischief(text)) throw new InvalidArgumentError('no such mischief; --help lists them');
  return [...before, text];
};

const command = new Command('platform')
  .description('Simulated upstream platform: waits for the gateway to register, asks for its catalogue, invites channels, judges and stores what comes.')
  .option('--id <id>', 'our 20-digit ID', '34020000002000000001')
  .option('--domain <domain>', 'our SIP domain and realm; default: first ten digits of the ID')
  .option('--password <password>', 'what the gateway must know; without one nobody is challenged; also from VIEWLINK_SIM_PASSWORD')
  .option('--sha256', 'challenge with SHA-256 first', false)
  .option('--address <address>', 'our address for SIP and media', '127.0.0.1')
  .option('--port <port>', 'UDP and TCP port, 0: any', count, 5060)
  .option('--version <2016|2022>', 'edition of the standard', '2016')
  .option('--catalog', 'print the catalogue of whoever registers', false)
  .option('--play <channel|first>', 'invite this channel, or the first camera of the catalogue')
  .option('--transport <name>', 'udp, tcp-passive (we listen), tcp-active (we connect) or all, one after the other', 'udp')
  .option('--seconds <n>', 'how long to play', count, 10)
  .option('--record <path>', 'path without extension: .ps, .h264, .alaw and so on are added')
  .option('--mischief <name>', 'misbehaviour; may be repeated', mischief, [])
  .option('--json', 'one JSON object a line', false)
  .addHelpText('after', `\nMischief:\n${describeMischief()}\n\nWith --play it ends by itself: 0 when every picture came whole, 1 when not. Without, it goes on until SIGTERM or SIGINT.`)
  .exitOverride(error => process.exit(error.code === 'commander.error' || error.exitCode === 0 ? error.exitCode : EX_USAGE));

interface Options {
  readonly id: string;
  readonly domain?: string;
  readonly password?: string;
  readonly sha256: boolean;
  readonly address: string;
  readonly port: number;
  readonly version: string;
  readonly catalog: boolean;
  readonly play?: string;
  readonly transport: string;
  readonly seconds: number;
  readonly record?: string;
  readonly mischief: readonly Mischief[];
  readonly json: boolean;
}

const TRANSPORTS: readonly PlayTransport[] = ['udp', 'tcp-passive', 'tcp-active'];

const options = command.parse().opts<Options>();
const transports = options.transport === 'all' ? TRANSPORTS : TRANSPORTS.filter(each => each === options.transport);
if (transports.length === 0) command.error(`error: transport is one of ${TRANSPORTS.join(', ')}, all`, { exitCode: EX_USAGE });
if (options.version !== '2016' && options.version !== '2022') command.error('error: version is 2016 or 2022', { exitCode: EX_USAGE });
const report = statusLines(options.json);

const opened = Platform.open({
  id: options.id, password: options.password ?? process.env['VIEWLINK_SIM_PASSWORD'], algorithms: options.sha256 ? ['SHA-256', 'MD5'] : ['MD5'],
  address: options.address, port: options.port, version: options.version as '2016' | '2022', mischief: options.mischief, report,
  ...(options.domain === undefined ? {} : { domain: options.domain }),
});
const platform = await opened.catch((error: Error) => command.error(`error: ${error.message}`, { exitCode: 1 }));
report('listening', { address: platform.address, port: platform.port, id: platform.id });
closeOnSignal(() => platform[Symbol.asyncDispose]());

await platform.registrar.changed.when(() => platform.registrar.peers.size > 0);
const first = options.catalog || options.play === 'first' ? await printCatalog() : undefined;
if (options.play !== undefined) {
  const channelId = options.play === 'first' ? first : options.play;
  const whole = channelId !== undefined && (await playAll(channelId));
  await platform[Symbol.asyncDispose]();
  process.exitCode = whole ? 0 : 1;
}

/** ID of the first camera in it. */
async function printCatalog(): Promise<string | undefined> {
  const { items, sumNum, complete, messages } = await platform.catalog();
  for (const { deviceId, name = '', status = '', parentId = '' } of items) report('item', { deviceId, name, status, parentId });
  report('catalog', { items: items.length, sumNum: sumNum ?? -1, complete, messages });
  return items.find(item => isVideoChannel(item.deviceId, false))?.deviceId;
}

/** True when every picture came whole over every transport. */
async function playAll(channelId: string): Promise<boolean> {
  let whole = true;
  for (const transport of transports) whole = (await playOne(channelId, transport)) && whole;
  return whole;
}

async function playOne(channelId: string, transport: PlayTransport): Promise<boolean> {
  const { record } = options;
  const recordTo = record === undefined ? {} : { recordTo: transports.length === 1 ? record : `${record}-${transport}` };
  try {
    const play = await platform.play(channelId, { transport, ...recordTo });
    await pause(systemClock, options.seconds * 1000);
    const result = await play.stop();
    report('report', flatten(result));
    return result.frames > 0 && result.damaged === 0 && result.lost === 0 && result.ended === 'stopped';
  } catch (error) {
    if (!(error instanceof PlayFailed)) throw error;
    report('failed', { channel: channelId, transport, status: error.status ?? 0, why: error.message });
    return false;
  }
}

function flatten({ files, ...numbers }: PlayReport): Record<string, string | number | boolean> {
  const facts = Object.entries({ ...numbers, psFile: files.ps, videoFile: files.video, audioFile: files.audio });
  return Object.fromEntries(facts.flatMap(([name, value]) => (value === undefined ? [] : [[name, typeof value === 'number' ? Math.round(value * 10) / 10 : value]])));
}
