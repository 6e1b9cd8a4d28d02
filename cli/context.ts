/** Where the daemons are and how vlink speaks to them. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ConfigdRequests } from '#contracts/configd.ts';
import type { HealthdRequests } from '#contracts/healthd.ts';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { SipdRequests } from '#contracts/sipd.ts';
import { gatewaySchema } from '#core/config/schema.ts';
import { DEFAULT_CONFIG_PATH, loadConfig } from '#kit/config-store.ts';
import { connectRpc, type RpcClient } from '#kit/rpc.ts';
import type { Context } from './command.ts';
import { inertLines, safeJson } from './render.ts';

/** Where text goes; tests listen here. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
}

export interface GlobalOptions {
  readonly runDir?: string | undefined;
  readonly config?: string | undefined;
}

export function createContext(options: GlobalOptions, environment: NodeJS.ProcessEnv, output: Output): Context {
  const configPath = options.config ?? environment['VLINK_CONFIG'] ?? DEFAULT_CONFIG_PATH;
  const runDir = async (): Promise<string> => options.runDir ?? environment['VLINK_RUN_DIR'] ?? (await configuredRunDir(configPath));
  const out = (text: string): void => output.out(`${inertLines(text)}\n`);
  return {
    configPath,
    out,
    err: text => output.err(`${inertLines(text)}\n`),
    print: (raw, json, format) => (json ? output.out(`${safeJson(raw)}\n`) : out(format(raw))),
    sipd: async <T>(use: (client: RpcClient<SipdRequests>) => Promise<T>) => withClient<SipdRequests, T>(join(await runDir(), 'sipd.sock'), use),
    configd: async <T>(use: (client: RpcClient<ConfigdRequests>) => Promise<T>) => withClient<ConfigdRequests, T>(join(await runDir(), 'configd.sock'), use),
    healthd: async <T>(use: (client: RpcClient<HealthdRequests>) => Promise<T>) => withClient<HealthdRequests, T>(join(await runDir(), 'healthd.sock'), use),
    mediad: async <T>(instance: string, use: (client: RpcClient<MediadRequests>) => Promise<T>) => withClient<MediadRequests, T>(join(await runDir(), `mediad-${instance}.sock`), use),
    mediadInstances: async () => instancesIn(await runDir()),
  };
}

/** A configuration that cannot be read must not keep vlink from the daemons that run. */
async function configuredRunDir(configPath: string): Promise<string> {
  const result = await loadConfig(configPath);
  return result.ok ? result.config.rpc.directory : gatewaySchema.parse({}).rpc.directory;
}

async function withClient<Requests, T>(socket: string, use: (client: RpcClient<Requests>) => Promise<T>): Promise<T> {
  await using client = await connectRpc<Requests>(socket);
  return await use(client);
}

async function instancesIn(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.flatMap(name => /^mediad-(\w+)\.sock$/.exec(name)?.[1] ?? []).sort((a, b) => Number(a) - Number(b));
}
