import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { GatewayError } from '#core/result.ts';
import { peersAreKnown } from '#kit/peer-credentials.ts';
import { type Context, defineCommand, JSON_FLAG } from '../command.ts';
import { pairs } from '../help.ts';
import { version } from '../version.ts';

const PATIENCE = { timeoutMs: 2000 };

export interface Versions {
  readonly viewlink: string;
  readonly node: string;
  readonly system: string;
  readonly kernel: string;
  /** Of the configuration; null: configd does not answer. */
  readonly revision: number | null;
  readonly schemaVersion: number | null;
  /** Daemons know who asks them: as configd says, else as it is here. */
  readonly peersKnown: boolean;
}

export async function versionsOf(context: Context): Promise<Versions> {
  const orNull = (error: unknown): null => {
    if (error instanceof GatewayError) return null;
    throw error;
  };
  const status = await context.configd(client => client.call('status', {}, PATIENCE)).catch(orNull);
  const counters = await context.configd(client => client.call('counters', {}, PATIENCE)).catch(orNull);
  return { viewlink: version(), node: process.versions.node, system: await systemName(), kernel: release(), revision: status?.revision ?? null, schemaVersion: status?.schemaVersion ?? null, peersKnown: counters?.['rpc.peers-known'] === undefined ? peersAreKnown() : counters['rpc.peers-known'] === 1 };
}

/** PRETTY_NAME of os-release(5). */
async function systemName(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(text)?.[1] ?? 'Linux';
}

export default defineCommand({
  path: 'show version',
  access: 'read',
  help: 'versions of the gateway, of what it runs on, and of its configuration',
  args: { json: JSON_FLAG },
  async run(context, { json }) {
    context.print(await versionsOf(context), json, ({ viewlink, node, system, kernel, revision, schemaVersion, peersKnown }) =>
      pairs([
        { word: 'ViewLink Gateway', help: viewlink },
        { word: 'Node', help: node },
        { word: 'system', help: `${system}, Linux ${kernel}` },
        { word: 'configuration', help: revision === null ? 'configd does not answer' : `revision ${revision}, schema ${schemaVersion}` },
        { word: 'roles', help: peersKnown ? 'checked' : 'NOT CHECKED: daemons do not know who asks them (no peer-credentials.node, or PrivateUsers=)' },
      ]),
    );
    return 0;
  },
});
