#!/usr/bin/env node
/** Simulated camera or NVR on the command line. */
import { Command, InvalidArgumentError } from 'commander';
import type { Charset } from '#core/gb/dialect.ts';
import { IMPAIRMENT_HELP, type ImpairmentRules, parseImpairment } from '../../impairment/rules.ts';
import { FOOTAGE_NAMES, type FootageName, prepareFootage } from '../../media/footage.ts';
import { closeOnSignal, parseEndpoint, statusLines } from '../common/status-lines.ts';
import { type Quirk, describeQuirks, isQuirk } from './quirks.ts';
import { CameraSimulator } from './simulator.ts';

const EX_USAGE = 64;

const count = (text: string): number => {
  if (!/^\d{1,7}$/.test(text)) throw new InvalidArgumentError('a number is wanted');
  return Number(text);
};
const population = (text: string): number => {
  const value = count(text);
  if (value < 1 || value > 10_000) throw new InvalidArgumentError('1 to 10000');
  return value;
};
const seconds = (text: string): number => {
  if (!/^\d{1,7}(\.\d+)?$/.test(text) || Number(text) <= 0) throw new InvalidArgumentError('seconds are wanted');
  return Number(text);
};
const impairment = (text: string): ImpairmentRules => {
  const rules = parseImpairment(text);
  if (!rules.ok) throw new InvalidArgumentError(rules.error.why);
  return rules.value;
};
const quirk = (text: string, before: Quirk[]): Quirk[] => {
  if (!isQuirk(text)) throw new InvalidArgumentError('no such quirk; --help lists them');
  return [...before, text];
};

const command = new Command('camera')
  .description('Simulated GB/T 28181 cameras and NVRs: they register, keep alive, answer queries and send real footage.')
  .requiredOption('--platform <address:port>', 'SIP address of the gateway or platform')
  .option('--platform-id <id>', 'its 20-digit ID', '34020000002000000001')
  .option('--domain <domain>', 'SIP domain; default: first ten digits of the platform ID')
  .option('--id <id>', '20-digit ID of the first device', '34020000001180000001')
  .option('--password <password>', 'for digest; also taken from VIEWLINK_SIM_PASSWORD')
  .option('--transport <udp|tcp>', 'SIP transport', 'udp')
  .option('--address <address>', 'our address for SIP and media', '127.0.0.1')
  .option('--port <port>', 'our SIP port, 0: any', count, 0)
  .option('--media-address <address>', 'our address for media, when it is another')
  .option('--devices <n>', 'devices in this process, 1 to 10000', population, 1)
  .option('--channels <n>', 'channels of each device, 1 to 10000', population, 1)
  .option('--sockets <n>', 'endpoints that the devices share', population, 1)
  .option('--ramp <n>', 'registrations begun per second, 0: all at once', count, 0)
  .option('--version <2016|2022>', 'edition of the standard', '2016')
  .option('--charset <charset>', 'gb2312, gb18030 or utf-8')
  .option('--expires <s>', 'registration validity', seconds, 3600)
  .option('--keepalive <s>', 'keepalive interval', seconds, 60)
  .option('--retry <s>', 'pause after a failed registration', seconds, 60)
  .option('--items <n>', 'catalogue items in one message', count)
  .option('--catalog-pause <ms>', 'pause between catalogue messages', count, 0)
  .option('--footage <name>', FOOTAGE_NAMES.join(', '), 'h264-g711a')
  .option('--impair <rules>', `media over UDP crosses a bad network: ${IMPAIRMENT_HELP}`, impairment)
  .option('--quirk <name>', 'misbehaviour; may be repeated', quirk, [])
  .option('--json', 'one JSON object a line', false)
  .addHelpText('after', `\nQuirks (in brackets: row of the quirk table of the protocol sheet):\n${describeQuirks()}\n\nEnds with BYE and unregister at SIGTERM or SIGINT.`)
  .exitOverride(error => process.exit(error.code === 'commander.error' || error.exitCode === 0 ? error.exitCode : EX_USAGE));

interface Options {
  readonly platform: string;
  readonly platformId: string;
  readonly domain?: string;
  readonly id: string;
  readonly password?: string;
  readonly transport: string;
  readonly address: string;
  readonly port: number;
  readonly mediaAddress?: string;
  readonly devices: number;
  readonly channels: number;
  readonly sockets: number;
  readonly ramp: number;
  readonly version: string;
  readonly charset?: string;
  readonly expires: number;
  readonly keepalive: number;
  readonly retry: number;
  readonly items?: number;
  readonly catalogPause: number;
  readonly footage: string;
  readonly impair?: ImpairmentRules;
  readonly quirk: readonly Quirk[];
  readonly json: boolean;
}

function oneOf<T extends string>(what: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find(each => each === value);
  if (found === undefined) command.error(`error: ${what} is one of ${allowed.join(', ')}`, { exitCode: EX_USAGE });
  return found as T;
}

const options = command.parse().opts<Options>();
const charset = options.charset === undefined ? undefined : oneOf<Charset>('charset', options.charset, ['gb2312', 'gb18030', 'utf-8']);
const password = options.password ?? process.env['VIEWLINK_SIM_PASSWORD'];
const report = statusLines(options.json);
const note = (await prepareFootage())[0]?.note;
if (note !== undefined) report('note', { text: note });

const opened = CameraSimulator.open({
  platform: { id: options.platformId, ...parseEndpoint(options.platform, 5060) },
  transport: oneOf('transport', options.transport, ['udp', 'tcp']),
  version: oneOf('version', options.version, ['2016', '2022']),
  footage: oneOf<FootageName>('footage', options.footage, FOOTAGE_NAMES),
  id: options.id, password, localAddress: options.address, localPort: options.port, devices: options.devices, channels: options.channels, sockets: options.sockets,
  rampPerS: options.ramp, expiresS: options.expires, keepaliveS: options.keepalive, retryS: options.retry, catalogPauseMs: options.catalogPause, quirks: options.quirk, report,
  ...(options.domain === undefined ? {} : { domain: options.domain }),
  ...(options.mediaAddress === undefined ? {} : { mediaAddress: options.mediaAddress }),
  ...(options.impair === undefined ? {} : { impair: () => options.impair }),
  ...(options.items === undefined ? {} : { itemsPerMessage: options.items }),
  ...(charset === undefined ? {} : { charset }),
});
const simulator = await opened.catch((error: Error) => command.error(`error: ${error.message}`, { exitCode: 1 }));
for (const { bound } of simulator.endpoints) for (const { transport, address, port } of bound) report('listening', { transport, address, port });
closeOnSignal(() => simulator[Symbol.asyncDispose]());
