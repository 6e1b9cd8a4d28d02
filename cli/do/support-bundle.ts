import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { GatewayError } from '#core/result.ts';
import { systemClock } from '#kit/clock.ts';
import { configPart, cut, missing, partsOf } from '../bundle/parts.ts';
import { scrubber } from '../bundle/redact.ts';
import { tar, type TarEntry } from '../bundle/tar.ts';
import { type Context, defineCommand, JSON_FLAG } from '../command.ts';
import { Interrupted } from '../interrupted.ts';
import { wallText } from '../values.ts';

const OWNER_ONLY = 0o600;
/** Those that wait for a daemon that does not answer hold up few others. */
const AT_ONCE = 6;

interface Bundle {
  readonly file: string;
  readonly bytes: number;
  readonly parts: readonly string[];
  readonly missing: Readonly<Record<string, string>>;
}

export default defineCommand({
  path: 'support-bundle',
  access: 'diagnose',
  help: 'what somebody far away needs to help: configuration, state, logs and network in one file, without secrets',
  args: { file: { type: 'argument', help: 'default: viewlink-support-HOST-TIME.tar.gz', optional: true }, json: JSON_FLAG },
  async run(context, { file, json }) {
    const atWallMs = systemClock.wall();
    const folder = `viewlink-support-${hostname().replace(/[^\w.-]/g, '').slice(0, 24)}-${wallText(atWallMs)!.replace(/\D/g, '').slice(0, 12)}`;
    const path = file ?? `${folder}.tar.gz`;
    const { entries, failures } = await gather(context, folder);
    const bytes = await promisify(gzip)(tar(entries, atWallMs));
    await writeNew(path, bytes);
    const bundle: Bundle = { file: path, bytes: bytes.length, parts: entries.map(({ name }) => name.slice(folder.length + 1)), missing: failures };
    context.print(bundle, json, () => `${path}: ${entries.length} parts, ${Math.ceil(bytes.length / 1024)} KiB${Object.keys(failures).length === 0 ? '' : `; not to be had: ${Object.keys(failures).join(', ')}`}`);
    return 0;
  },
});

async function gather(context: Context, folder: string): Promise<{ readonly entries: readonly TarEntry[]; readonly failures: Readonly<Record<string, string>> }> {
  const config = await configPart(context).catch((error: unknown) => ({ text: `# not to be had: ${missing(error)}\n`, secrets: [] }));
  const scrub = scrubber(config.secrets);
  const texts: (readonly [name: string, text: string])[] = [['gateway.yaml', config.text]];
  const failures: Record<string, string> = {};
  const parts = await partsOf(context);
  const results = new Map<string, string>();
  const queue = [...parts];
  const work = async (): Promise<void> => {
    for (let part = queue.shift(); part !== undefined; part = queue.shift()) {
      if (context.signal.aborted) throw new Interrupted();
      context.progress(`${parts.length - queue.length}/${parts.length} ${part.name}`);
      try {
        results.set(part.name, await part.make());
      } catch (error) {
        failures[part.name] = missing(error);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  for (const { name } of parts) if (results.has(name)) texts.push([name, results.get(name)!]);
  context.progress('');
  texts.push(['missing.json', `${JSON.stringify(failures, null, 1)}\n`]);
  return { entries: texts.map(([name, text]) => ({ name: `${folder}/${name}`, bytes: Buffer.from(scrub(cut(text))) })), failures };
}

/** Never over something that is there. */
async function writeNew(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await using file = await open(path, 'wx', OWNER_ONLY);
    await file.writeFile(bytes);
  } catch (error) {
    throw new GatewayError('BAD_REQUEST', { file: path, why: (error as Error).message }, { cause: error });
  }
}
