/**
 * What somebody does with vlink is written down before it happens and after: configd keeps the log (contracts/configd.ts).
 * When configd is away nothing is done that cannot be written down, except by root, who may have come to mend it: then it
 * goes to a file, and to configd as soon as that answers again.
 */
import { constants } from 'node:fs';
import { appendFile, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { ConfigdRequests, Json } from '#contracts/configd.ts';
import { needsText } from '#core/access/roles.ts';
import { GatewayError } from '#core/result.ts';
import { Accounts } from '#kit/accounts.ts';
import { systemClock } from '#kit/clock.ts';
import { systemRandom } from '#kit/random.ts';
import type { ParamsOf } from '#kit/rpc.ts';
import type { ArgSpecs, Command, Context } from './command.ts';
import { explain } from './explain.ts';
import { authorOf } from './identity.ts';
import { hasSecret, HIDDEN } from './secrets.ts';

type Entry = ParamsOf<ConfigdRequests, 'audit'>;

const PATIENCE = { timeoutMs: 5000 };
const MAX_SPOOL_BYTES = 4 * 1024 * 1024;
const MAX_TEXT = 200;
const ROOT_UID = 0;
const OWNER_ONLY = 0o600;

export class AuditTrail {
  readonly #context: Context;
  readonly #spool: string;
  readonly #entry: Omit<Entry, 'result' | 'detail'>;
  #warned = false;

  private constructor(context: Context, spool: string, entry: Omit<Entry, 'result' | 'detail'>) {
    this.#context = context;
    this.#spool = spool;
    this.#entry = entry;
  }

  /** Rejects with DAEMON_UNREACHABLE when it cannot be written down and the command must not run therefore. */
  static async begin(command: Command, args: Readonly<Record<string, unknown>>, context: Context, spoolDirectory: string): Promise<AuditTrail> {
    const { target, given } = describe(command.args, args);
    const trail = new AuditTrail(context, join(spoolDirectory, 'audit-spool.jsonl'), { author: authorOf(context.identity), action: actionOf(command), target, before: null, after: given });
    await trail.#deliverSpool();
    await trail.#write('done', 'begins');
    return trail;
  }

  /** Somebody tried what he may not; that it cannot be written down does not make it permitted. */
  static async refused(command: Command, context: Context): Promise<void> {
    const entry: Entry = { author: authorOf(context.identity), action: actionOf(command), target: '', before: null, after: null, result: 'refused', detail: `needs ${needsText(command.access)}` };
    await context.configd(client => client.call('audit', entry, PATIENCE)).catch((error: unknown) => {
      if (!(error instanceof GatewayError)) throw error;
    });
  }

  async end(result: Entry['result'], detail: string): Promise<void> {
    await this.#write(result, detail);
  }

  async #write(result: Entry['result'], detail: string): Promise<void> {
    const entry: Entry = { ...this.#entry, result, detail: clip(detail) };
    try {
      await this.#context.configd(client => client.call('audit', entry, PATIENCE));
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== 'DAEMON_UNREACHABLE') throw error;
      await this.#rescue(entry, error);
    }
  }

  async #rescue(entry: Entry, error: GatewayError): Promise<void> {
    const { identity } = this.#context;
    const isMaster = identity.uid === ROOT_UID || (await stat(dirname(this.#spool)).then(found => found.uid, () => null)) === identity.uid;
    if (!isMaster) throw error;
    const size = await stat(this.#spool).then(found => found.size, () => 0);
    const written = size >= MAX_SPOOL_BYTES ? 'is full' : await appendFile(this.#spool, `${JSON.stringify({ atWallMs: systemClock.wall(), entry })}\n`, { mode: OWNER_ONLY }).then(() => null, (failure: NodeJS.ErrnoException) => `takes nothing (${failure.code ?? failure.message})`);
    if (this.#warned) return;
    this.#warned = true;
    this.#context.err(`${written === null ? `written to ${this.#spool} until the audit log can be reached` : `${this.#spool} ${written}: not written down`}: ${explain(error)}`);
  }

  /** What waited, in order; what configd does not take stays for the next time. */
  async #deliverSpool(): Promise<void> {
    const sending = `${this.#spool}.${process.pid}.${systemRandom.hex(4)}`;
    const spooled = await rename(this.#spool, sending).then(() => readSpool(sending), () => null);
    if (spooled === null) return;
    const all = spooled.text.split('\n').filter(line => line !== '');
    const lines = all.filter(line => isOf(line, spooled.uid));
    if (lines.length < all.length) this.#context.err(`${this.#spool}: ${all.length - lines.length} entries are not of whom they name: not delivered`);
    let sent = 0;
    try {
      await this.#context.configd(async client => {
        for (const line of lines) {
          const late = lateEntry(line);
          if (late !== null) await client.call('audit', late, PATIENCE);
          sent += 1;
        }
      });
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      await appendFile(this.#spool, lines.slice(sent).map(line => `${line}\n`).join(''), { mode: OWNER_ONLY }).catch(() => undefined);
    }
    await unlink(sending).catch(() => undefined);
  }
}

const actionOf = ({ path }: Command): string => `cli.${path.replaceAll(' ', '.')}`;

/** With its owner; null: no file of its own. */
async function readSpool(path: string): Promise<{ readonly uid: number; readonly text: string } | null> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    return { uid: (await file.stat()).uid, text: await file.readFile('utf8') };
  } catch {
    return null;
  }
}

/** Only root may have written down what somebody else did. A line that cannot be read is nobody's. */
function isOf(line: string, uid: number): boolean {
  return uid === ROOT_UID || lateEntry(line)?.author.user === new Accounts().nameOf(uid);
}

/** Null: a line that a power cut left. */
function lateEntry(line: string): Entry | null {
  try {
    const { atWallMs, entry } = JSON.parse(line) as { readonly atWallMs: number; readonly entry: Entry };
    return { ...entry, detail: clip(`${entry.detail}; delivered late, it was ${new Date(atWallMs).toISOString()}`) };
  } catch {
    return null;
  }
}

const clip = (text: string): string => text.slice(0, MAX_TEXT);

/** Values that are secrets, and all that stands behind the name of one, are not written down. */
function describe(specs: ArgSpecs, args: Readonly<Record<string, unknown>>): { readonly target: string; readonly given: Json } {
  const target: string[] = [];
  const given: Record<string, Json> = {};
  for (const [name, { type, secret }] of Object.entries(specs)) {
    const value = args[name];
    if (value === undefined || value === false) continue;
    const isSecret = secret === true || hasSecret(name);
    if (type === 'argument' || type === 'rest') target.push(...(Array.isArray(value) ? value : [value]).map(word => (isSecret ? HIDDEN : String(word))));
    else given[name] = value === true ? true : isSecret ? HIDDEN : clip(String(value));
  }
  return { target: clip(withoutSecrets(target).join(' ')), given };
}

/** `password=x`, and each word after one that names a secret until the next option. */
function withoutSecrets(words: readonly string[]): readonly string[] {
  let hide = false;
  return words.map(word => {
    const isOption = word.startsWith('--');
    const shown = hide && !isOption ? HIDDEN : hasSecret(word) ? word.replace(/=.*$/s, `=${HIDDEN}`) : word;
    hide = hasSecret(word) ? !word.includes('=') : hide && !isOption;
    return shown;
  });
}
