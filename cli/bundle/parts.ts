/** What goes into a support bundle: each part by itself, so that one that cannot be had does not keep the others out. */
import { readFile } from 'node:fs/promises';
import { GatewayError } from '#core/result.ts';
import type { Context } from '../command.ts';
import { inertLines } from '../render.ts';
import { versionsOf } from '../show/version.ts';
import { runTool } from '../tool.ts';
import { redactData, redactYaml } from './redact.ts';

/** Of one part, as text. */
const MAX_PART_CHARACTERS = 8 * 1024 * 1024;
const PATIENCE = { timeoutMs: 5000 };
const PAGE = 5000;
const LOG_LINES = 3000;
const MAX_ALARMS = 1000;
const MAX_REVISIONS = 200;

export interface Part {
  readonly name: string;
  make(): Promise<string>;
}

const json = (value: unknown): string => `${JSON.stringify(redactData(value), null, 1)}\n`;

export const cut = (text: string): string => (text.length <= MAX_PART_CHARACTERS ? text : `${text.slice(0, MAX_PART_CHARACTERS)}\n[cut off here]\n`);

/** The configuration, and the secrets in it that must be looked for everywhere else. */
export async function configPart(context: Context): Promise<{ readonly text: string; readonly secrets: readonly string[] }> {
  const own = await readFile(context.configPath, 'utf8').catch(() => null);
  if (own !== null) {
    const { text, values } = redactYaml(own);
    return { text, secrets: values };
  }
  const { user, address } = context.identity;
  const { text } = await context.configd(client => client.call('show', { path: '', of: 'current', author: { user, via: 'cli', address } }, PATIENCE));
  return { text: redactYaml(text).text, secrets: [] };
}

const sipdParts = (context: Context): readonly Part[] => [
  ...(['listDevices', 'listUpstreams', 'totals', 'summary', 'listSessions', 'listResources', 'counters'] as const).map((method): Part => ({ name: `sipd/${method}.json`, make: async () => json(await context.sipd(async client => client.call(method, {}, PATIENCE))) })),
  { name: 'sipd/listChannels.json', make: async () => json(await context.sipd(client => client.call('listChannels', { limit: PAGE }, PATIENCE))) },
];

const mediadParts = (context: Context, instance: string): readonly Part[] =>
  (['listBridges', 'load', 'counters', 'listOutlets', 'listTranscoders', 'listInlets', 'listPushes'] as const).map(method => ({ name: `mediad-${instance}/${method}.json`, make: async () => json(await context.mediad(instance, async client => client.call(method, {}, PATIENCE))) }));

const otherParts = (context: Context): readonly Part[] => [
  { name: 'versions.json', make: async () => json(await versionsOf(context)) },
  { name: 'configd/status.json', make: async () => json(await context.configd(client => client.call('status', {}, PATIENCE))) },
  { name: 'configd/history.json', make: async () => json(await context.configd(client => client.call('history', { limit: MAX_REVISIONS }, PATIENCE))) },
  ...(['report', 'samples', 'counters'] as const).map((method): Part => ({ name: `healthd/${method}.json`, make: async () => json(await context.healthd(async client => client.call(method, {}, PATIENCE))) })),
  { name: 'healthd/alarms.json', make: async () => json(await context.healthd(client => client.call('alarms', { activeOnly: false, limit: MAX_ALARMS }, PATIENCE))) },
];

/** Programs of the machine: what each says is kept as it is. */
const TOOLS: readonly (readonly [name: string, command: string, ...args: readonly string[]])[] = [
  ['host/units.txt', 'systemctl', '--no-pager', 'list-units', 'viewlink*', '--all'],
  ['host/failed-units.txt', 'systemctl', '--no-pager', '--failed'],
  ['host/disks.txt', 'df', '-hT'],
  ['host/blocks.txt', 'lsblk', '-o', 'NAME,SIZE,TYPE,FSTYPE,MOUNTPOINT,MODEL'],
  ['host/processes.txt', 'ps', '-eo', 'pid,ppid,user,stat,etime,time,rss,nlwp,comm', '--sort=-rss'],
  ['network/addresses.txt', 'ip', '-s', 'addr'],
  ['network/routes.txt', 'ip', 'route', 'show', 'table', 'all'],
  ['network/neighbours.txt', 'ip', 'neigh'],
  ['network/sockets.txt', 'ss', '-tuanp'],
  ['network/socket-summary.txt', 'ss', '-s'],
  ['network/firewall.txt', 'nft', '-n', 'list', 'ruleset'],
  ['logs/viewlink.jsonl', 'journalctl', '--no-pager', '--quiet', '-o', 'json', '--output-fields=__REALTIME_TIMESTAMP,_SYSTEMD_UNIT,MESSAGE', '--unit=viewlink-*', `--lines=${LOG_LINES}`],
  ['logs/kernel.txt', 'journalctl', '--no-pager', '--quiet', '-k', '-p', 'warning', '--lines=500'],
];
const FILES: readonly string[] = ['/proc/loadavg', '/proc/meminfo', '/proc/stat', '/proc/mdstat', '/proc/net/dev', '/proc/net/snmp', '/proc/net/softnet_stat', '/proc/pressure/cpu', '/proc/pressure/io', '/proc/pressure/memory', '/proc/uptime', '/etc/os-release'];

async function toolText([, command, ...args]: (typeof TOOLS)[number]): Promise<string> {
  const { code, text } = await runTool(command, args);
  return `${inertLines(text)}${code === 0 ? '' : `\n[exit code ${code ?? 'none: it was ended'}]\n`}`;
}

export async function partsOf(context: Context): Promise<readonly Part[]> {
  const instances = await context.mediadInstances();
  return [
    ...otherParts(context),
    ...sipdParts(context),
    ...instances.flatMap(instance => mediadParts(context, instance)),
    ...TOOLS.map((tool): Part => ({ name: tool[0], make: () => toolText(tool) })),
    ...FILES.map((path): Part => ({ name: `host${path}.txt`, make: () => readFile(path, 'utf8') })),
  ];
}

/** Why a part is missing, in a sentence; anything else is a bug. */
export function missing(error: unknown): string {
  if (error instanceof GatewayError) return error.message;
  if (error instanceof Error && 'code' in error) return error.message;
  throw error;
}
