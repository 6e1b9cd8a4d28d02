/** Where the daemons are and how vlink speaks to them. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseDocument } from 'yaml';
import type { ApidRequests } from '#contracts/apid.ts';
import type { ConfigdRequests } from '#contracts/configd.ts';
import type { ClusterdRequests } from '#contracts/clusterd.ts';
import type { HealthdRequests } from '#contracts/healthd.ts';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { SipdRequests } from '#contracts/sipd.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import { mediadSocket } from '#kit/mediad-socket.ts';
import { DEFAULT_CONFIG_PATH, loadConfig } from '#kit/config-store.ts';
import { connectRpc, type RpcClient } from '#kit/rpc.ts';
import type { Context, GrammarNode } from './command.ts';
import type { Identity } from './identity.ts';
import { Interrupted } from './interrupted.ts';
import { clip, inert, inertLines, safeJson } from './render.ts';
import { CLEAR_LINE, type Terminal } from './terminal.ts';

/** Where text goes; tests listen here. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
  readonly terminal?: Terminal | null;
}

export interface GlobalOptions {
  readonly runDir?: string | undefined;
  readonly config?: string | undefined;
  readonly lang?: string | undefined;
}

export interface Surroundings {
  readonly options: GlobalOptions;
  readonly environment: NodeJS.ProcessEnv;
  readonly output: Output;
  readonly identity: Identity;
  readonly signal: AbortSignal;
  readonly grammar: GrammarNode;
}

export const runDirOf = async ({ options, environment }: Pick<Surroundings, 'options' | 'environment'>): Promise<string> => options.runDir ?? environment['VLINK_RUN_DIR'] ?? (await configuredRunDir(configPathOf({ options, environment })));
export const configPathOf = ({ options, environment }: Pick<Surroundings, 'options' | 'environment'>): string => options.config ?? environment['VLINK_CONFIG'] ?? DEFAULT_CONFIG_PATH;

export function createContext(surroundings: Surroundings): Context {
  const { output, identity, signal } = surroundings;
  const out = (text: string): void => output.out(`${inertLines(text)}\n`);
  const reach = async <Requests, T>(socket: string, use: (client: RpcClient<Requests>) => Promise<T>): Promise<T> => withClient<Requests, T>(join(await runDirOf(surroundings), socket), signal, use);
  return {
    configPath: configPathOf(surroundings),
    signal,
    identity,
    grammar: surroundings.grammar,
    terminal: output.terminal ?? null,
    out,
    raw: text => output.out(text),
    err: text => output.err(`${inertLines(text)}\n`),
    progress: progressTo(output),
    print: (raw, json, format) => (json ? output.out(`${safeJson(raw)}\n`) : out(format(raw))),
    sipd: <T>(use: (client: RpcClient<SipdRequests>) => Promise<T>) => reach<SipdRequests, T>('sipd.sock', use),
    configd: <T>(use: (client: RpcClient<ConfigdRequests>) => Promise<T>) => reach<ConfigdRequests, T>('configd.sock', use),
    apid: <T>(use: (client: RpcClient<ApidRequests>) => Promise<T>) => reach<ApidRequests, T>('apid.sock', use),
    healthd: <T>(use: (client: RpcClient<HealthdRequests>) => Promise<T>) => reach<HealthdRequests, T>('healthd.sock', use),
    clusterd: <T>(use: (client: RpcClient<ClusterdRequests>) => Promise<T>) => reach<ClusterdRequests, T>('clusterd.sock', use),
    mediad: <T>(instance: string, use: (client: RpcClient<MediadRequests>) => Promise<T>) => reach<MediadRequests, T>(mediadSocket('.', instance), use),
    mediadInstances: async () => instancesIn(await runDirOf(surroundings)),
  };
}

/** One line, written over by the next; an empty text takes it away. */
function progressTo(output: Output): (text: string) => void {
  const { terminal } = output;
  if (terminal === undefined || terminal === null) return () => undefined;
  return text => output.err(`${CLEAR_LINE}${clip(inert(text), terminal.columns - 1)}`);
}

/** A configuration that is wrong must not keep vlink from the daemons that run. */
async function configuredRunDir(configPath: string): Promise<string> {
  const result = await loadConfig(configPath);
  if (result.ok) return result.config.rpc.directory;
  const text = await readFile(configPath, 'utf8').catch(() => '');
  const directory: unknown = parseDocument(text, { logLevel: 'silent' }).getIn(['rpc', 'directory']);
  return typeof directory === 'string' ? directory : gatewaySchema.parse({}).rpc.directory;
}

/** What waits for an answer is given up when the signal comes. */
async function withClient<Requests, T>(socket: string, signal: AbortSignal, use: (client: RpcClient<Requests>) => Promise<T>): Promise<T> {
  if (signal.aborted) throw new Interrupted();
  await using client = await connectRpc<Requests>(socket);
  const giveUp = (): void => void client[Symbol.asyncDispose]();
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await use(client);
  } catch (error) {
    throw signal.aborted ? new Interrupted() : error;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}


async function instancesIn(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.flatMap(name => /^mediad-(\w+)\.sock$/.exec(name)?.[1] ?? []).sort((a, b) => Number(a) - Number(b));
}
