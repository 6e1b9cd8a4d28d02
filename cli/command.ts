/** A vlink command is data: where it stands, what it takes, what it does. vlink.ts makes a program of the list. */
import type { ApidRequests } from '#contracts/apid.ts';
import type { ConfigdRequests } from '#contracts/configd.ts';
import type { ClusterdRequests } from '#contracts/clusterd.ts';
import type { HealthdRequests } from '#contracts/healthd.ts';
import type { MediadRequests } from '#contracts/mediad.ts';
import type { SipdRequests } from '#contracts/sipd.ts';
import type { Needs } from '#core/access/roles.ts';
import type { RpcClient } from '#kit/rpc.ts';
import type { Identity } from './identity.ts';
import type { Terminal } from './terminal.ts';

/** What a value is, for completion. */
export type ValueKind = 'channel' | 'device' | 'upstream' | 'file' | 'config-path' | 'daemon' | 'command';

/** `flag`: --name. `option`: --name VALUE. `argument`: by position; `optional` when it may be missing. `rest`: all that is left. */
export interface ArgSpec {
  readonly type: 'flag' | 'option' | 'argument' | 'rest';
  readonly help: string;
  readonly optional?: boolean;
  /** Words that it may be, or of what kind it is; without it, `channel`, `device`, `upstream` and `file` are what they are called. */
  readonly values?: readonly string[] | ValueKind;
  /** Is written down nowhere. */
  readonly secret?: boolean;
}
export type ArgSpecs = Readonly<Record<string, ArgSpec>>;

type ArgValue<Spec extends ArgSpec> = Spec['type'] extends 'flag'
  ? boolean
  : Spec['type'] extends 'option'
    ? string | undefined
    : Spec['type'] extends 'rest'
      ? readonly string[]
      : Spec extends { readonly optional: true }
        ? string | undefined
        : string;
export type ArgValues<Specs extends ArgSpecs> = { readonly [Name in keyof Specs]: ArgValue<Specs[Name]> };

export interface Context {
  /** Configuration file that this machine uses. */
  readonly configPath: string;
  /** Prints one line or several; terminal controls are already out of it. */
  out(text: string): void;
  /** As it is: for programs. Whatever others have named must be inert in it. */
  raw(text: string): void;
  /** Same as `out`, to stderr. */
  err(text: string): void;
  /** How long work stands, on one line of a terminal that is written over; nowhere else. */
  progress(text: string): void;
  /** Aborted by Ctrl-C; what waits for a daemon is given up by itself. */
  readonly signal: AbortSignal;
  /** Null when nobody sits there. */
  readonly terminal: Terminal | null;
  readonly identity: Identity;
  /** All that vlink knows. */
  readonly grammar: GrammarNode;
  /** The raw form when `json`, else the printed one. */
  print<Raw>(raw: Raw, json: boolean, format: (raw: Raw) => string): void;
  /** Connects, runs, disconnects. DAEMON_UNREACHABLE when it is not there. */
  sipd<T>(use: (client: RpcClient<SipdRequests>) => Promise<T>): Promise<T>;
  configd<T>(use: (client: RpcClient<ConfigdRequests>) => Promise<T>): Promise<T>;
  apid<T>(use: (client: RpcClient<ApidRequests>) => Promise<T>): Promise<T>;
  healthd<T>(use: (client: RpcClient<HealthdRequests>) => Promise<T>): Promise<T>;
  clusterd<T>(use: (client: RpcClient<ClusterdRequests>) => Promise<T>): Promise<T>;
  mediad<T>(instance: string, use: (client: RpcClient<MediadRequests>) => Promise<T>): Promise<T>;
  /** Instances that have a socket here, in order. */
  mediadInstances(): Promise<readonly string[]>;
}

export interface Command {
  /** Words as typed: `show devices`. */
  readonly path: string;
  /** What one must be allowed to do; `none`: nothing is asked of any daemon. */
  readonly access: Needs | 'none';
  readonly help: string;
  readonly args: ArgSpecs;
  /** Draws by itself, or goes on until it is stopped: never paged. */
  readonly live?: boolean;
  /** For programs; not shown. */
  readonly hidden?: boolean;
  /** Options that it does not know belong to what it starts, its help too. */
  readonly passOn?: boolean;
  /** Not under a forced command. */
  readonly unrestricted?: boolean;
  /** Exit code. */
  run(context: Context, args: Readonly<Record<string, unknown>>): Promise<number>;
  /** Instead of `run` inside the shell: a mode of its own. */
  enter?(context: Context): Promise<ShellMode>;
}

/** Something that could stand at the cursor. */
export interface Candidate {
  readonly word: string;
  readonly help: string;
}

export interface Completion {
  /** The word at the end of the line, as far as it is typed; candidates begin with it. */
  readonly partial: string;
  readonly candidates: readonly Candidate[];
  /** What else may be typed there, for `?` alone: `<channel>`, `<Enter>`. */
  readonly hints: readonly Candidate[];
}

/** A word of vlink and what can stand behind it. */
export interface GrammarNode {
  readonly word: string;
  readonly help: string;
  readonly command: Command | null;
  readonly children: ReadonlyMap<string, GrammarNode>;
}

/** `leave`: back to where the mode was entered from. `atTop`: a line for the top, without leaving. */
export type ModeStep = 'stay' | 'leave' | ShellMode | { readonly atTop: string };

/** A place in the shell where lines have a meaning of their own: the top, or `configure` inside it. */
export interface ShellMode {
  /** With its blank at the end: `wang@gateway> `. */
  prompt(node: string): string;
  /** What can stand at the end of `line`, which is what is left of the cursor. Never rejects. */
  complete(line: string): Promise<Completion>;
  /** Runs a whole line. */
  run(line: string, context: Context): Promise<ModeStep>;
}

/** Ties the types of `args` to what `run` receives. */
export function defineCommand<const Specs extends ArgSpecs>(command: { readonly path: string; readonly access: Command['access']; readonly help: string; readonly args: Specs; readonly live?: boolean; readonly hidden?: boolean; readonly passOn?: boolean; readonly unrestricted?: boolean; enter?(context: Context): Promise<ShellMode>; run(context: Context, args: ArgValues<Specs>): Promise<number> }): Command {
  return command;
}

export const JSON_FLAG = { type: 'flag', help: 'print the raw answer as JSON' } as const;
