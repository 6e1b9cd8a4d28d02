/** The configuration of this node while it is paired: read with its secrets open, tried and committed through configd. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { Author, CommitResult, ConfigdRequests, EditStep } from '#contracts/configd.ts';
import { COMMIT_PATIENCE_MS } from '#core/config/comeback.ts';
import type { GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { type TextResult, editText, readText } from '#kit/config-edit.ts';
import { openedText } from '#kit/config-opened.ts';
import type { ConfigDocument } from '#kit/config-text.ts';
import { type RpcClient, connectRpc } from '#kit/rpc.ts';
import { loadKeyRing } from '#kit/secret-box.ts';

const CHECK_MS = 40_000;

export class PairingPlace {
  readonly #configPath: string;
  readonly #config: () => GatewayConfig;

  constructor(configPath: string, config: () => GatewayConfig) {
    this.#configPath = configPath;
    this.#config = config;
  }

  get config(): GatewayConfig {
    return this.#config();
  }

  /** As it stands in the file. */
  document(): ConfigDocument {
    return orThrow(readText(readFileSync(this.#configPath, 'utf8')));
  }

  /** With its secrets open, and changed. For TLS, not for a disk. */
  async opened(steps: readonly EditStep[]): Promise<string> {
    const { ring } = await loadKeyRing(this.#configPath);
    const open = orThrow(readText(openedText(this.document(), ring)));
    return orThrow(editText(open, steps)).text;
  }

  /** Why it could not be in force here; null: it could. `text`: in place of what is. What was tried can be committed. */
  async tried(author: Author, steps: readonly EditStep[], text?: string): Promise<string | null> {
    return await this.#configd(async client => {
      await client.call('discard', { author });
      if (text !== undefined) await client.call('load', { author, text });
      const { changes } = steps.length > 0 || text === undefined ? await client.call('edit', { author, steps: [...steps] }) : { changes: [] };
      if (changes.length === 0 && text === undefined) return null;
      return problemOf(await client.call('check', { author, restart: true }, { timeoutMs: CHECK_MS }));
    });
  }

  /** Why what was tried is not in force now; null: it is, or was before. `local`: also on a node that is not active, where the other one is not to be reached. */
  async commit(author: Author, reason: string, where?: 'local'): Promise<string | null> {
    return await this.#configd(async client => {
      const candidate = await client.call('candidate', { author });
      if (candidate === null || candidate.changes.length === 0) return (await client.call('discard', { author }), null);
      return problemOf(await client.call('commit', { author, reason, confirmMinutes: null, restart: true, ...(where !== undefined && { where }) }, { timeoutMs: COMMIT_PATIENCE_MS }));
    });
  }

  async audit(author: Author, action: string, target: string, result: 'done' | 'refused' | 'failed', detail = ''): Promise<void> {
    await this.#configd(client => client.call('audit', { author, action, target, before: null, after: null, result, detail }));
  }

  async #configd<T>(use: (client: RpcClient<ConfigdRequests>) => Promise<T>): Promise<T> {
    await using client = await connectRpc<ConfigdRequests>(join(this.config.rpc.directory, 'configd.sock'));
    return await use(client);
  }
}

function orThrow(result: TextResult): ConfigDocument {
  if (!result.ok) throw new GatewayError('CONFIG_INVALID', { why: result.why });
  return result.read;
}

function problemOf({ issues, refusals }: CommitResult): string | null {
  const problems = [...issues.map(({ path, why }) => `${path} ${why}`.trim()), ...refusals.map(({ daemon, why }) => `${daemon}: ${why}`)];
  return problems.length === 0 ? null : problems.join('; ');
}

/** What of it pairing needs. */
export type Place = Pick<PairingPlace, keyof PairingPlace>;

/** Interface that has the address; undefined: it is none of ours. */
export const deviceOf = (address: string): string | undefined => Object.entries(networkInterfaces()).find(([, infos]) => infos!.some(info => info.address === address))?.[0];
