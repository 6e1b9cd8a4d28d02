/** A vlink command is data: where it stands, what it takes, what it does. vlink.ts makes a program of the list. */
import type { ConfigdRequests } from '#contracts/configd.ts';
import type { HealthdRequests } from '#contracts/healthd.ts';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { SipdRequests } from '#contracts/sipd.ts';
import type { Access } from '#core/access/roles.ts';
import type { RpcClient } from '#kit/rpc.ts';

/** `flag`: --name. `option`: --name VALUE. `argument`: by position; `optional` when it may be missing. */
export interface ArgSpec {
  readonly type: 'flag' | 'option' | 'argument';
  readonly help: string;
  readonly optional?: boolean;
}
export type ArgSpecs = Readonly<Record<string, ArgSpec>>;

export type ArgValues<Specs extends ArgSpecs> = {
  readonly [Name in keyof Specs]: Specs[Name]['type'] extends 'flag' ? boolean : Specs[Name]['type'] extends 'option' ? string | undefined : Specs[Name] extends { readonly optional: true } ? string | undefined : string;
};

export interface Context {
  /** Configuration file that this machine uses. */
  readonly configPath: string;
  /** Prints one line or several; terminal controls are already out of it. */
  out(text: string): void;
  /** Same, to stderr. */
  err(text: string): void;
  /** The raw form when `json`, else the printed one. */
  print<Raw>(raw: Raw, json: boolean, format: (raw: Raw) => string): void;
  /** Connects, runs, disconnects. DAEMON_UNREACHABLE when it is not there. */
  sipd<T>(use: (client: RpcClient<SipdRequests>) => Promise<T>): Promise<T>;
  configd<T>(use: (client: RpcClient<ConfigdRequests>) => Promise<T>): Promise<T>;
  healthd<T>(use: (client: RpcClient<HealthdRequests>) => Promise<T>): Promise<T>;
  mediad<T>(instance: string, use: (client: RpcClient<MediadRequests>) => Promise<T>): Promise<T>;
  /** Instances that have a socket here, in order. */
  mediadInstances(): Promise<readonly string[]>;
}

export interface Command {
  /** Words as typed: `show devices`. */
  readonly path: string;
  /** What one must be allowed to do. */
  readonly access: Access;
  readonly help: string;
  readonly args: ArgSpecs;
  /** Exit code. */
  run(context: Context, args: Readonly<Record<string, unknown>>): Promise<number>;
}

/** Ties the types of `args` to what `run` receives. */
export function defineCommand<const Specs extends ArgSpecs>(command: { readonly path: string; readonly access: Access; readonly help: string; readonly args: Specs; run(context: Context, args: ArgValues<Specs>): Promise<number> }): Command {
  return command;
}

export const JSON_FLAG = { type: 'flag', help: 'print the raw answer as JSON' } as const;
