/** Reads /etc/viewlink/gateway.yaml. The old configuration stays in force until a new one is good as a whole (fault 91). */
import { access, readFile, stat } from 'node:fs/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { changedSections } from '#core/config/diff.ts';
import type { ConfigSection, GatewayConfig } from '#core/config/schema.ts';
import { GatewayError } from '#core/result.ts';
import { configFailure, formatProblem, parseConfig, type ConfigResult, type SecretKeys } from './config-text.ts';
import { loadKeyRing } from './secret-box.ts';

export { formatProblem, parseConfig, type ConfigProblem, type ConfigResult } from './config-text.ts';

export const DEFAULT_CONFIG_PATH = '/etc/viewlink/gateway.yaml';
/** Reading a larger file takes longer than a media loop may stand still (0.6 s for 10,000 devices), so a thread does it. */
const INLINE_BYTES = 16 * 1024;

/** Where configd puts a file before it takes the place of the one in force; it is there only as long as the daemons are asked about it. */
export const nextConfigPath = (path: string): string => `${path}.next`;

const isThere = (path: string): Promise<boolean> => access(path).then(() => true, () => false);

/** The file's configuration, or all its problems. `unopened`: whatever is the matter with its secrets is not looked at. */
export async function loadConfig(path: string, secrets: 'opened' | 'unopened' = 'opened'): Promise<ConfigResult> {
  let bytes: Uint8Array;
  try {
    // A device has no end.
    if (!(await stat(path)).isFile()) return configFailure('cannot be read: it is no file');
    bytes = await readFile(path);
  } catch (error) {
    return configFailure(`cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`);
  }
  return parseConfigText(bytes, secrets === 'unopened' ? secrets : (await loadKeyRing(path)).ring);
}

/** As `loadConfig`, of a text that is at hand. */
export async function parseConfigText(bytes: Uint8Array, keys: SecretKeys = []): Promise<ConfigResult> {
  return bytes.length <= INLINE_BYTES ? parseConfig(bytes, keys) : parseInThread(bytes, keys);
}

interface ThreadData {
  readonly configBytes: Uint8Array;
  readonly keys: SecretKeys;
}

function parseInThread(configBytes: Uint8Array, keys: SecretKeys): Promise<ConfigResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { configBytes, keys } satisfies ThreadData });
    worker.once('message', resolve).once('error', reject);
  });
}

if (!isMainThread && parentPort !== null && typeof workerData === 'object' && workerData !== null && 'configBytes' in workerData) {
  const { configBytes, keys } = workerData as ThreadData;
  parentPort.postMessage(parseConfig(configBytes, keys));
}

/** As `loadConfig`, but CONFIG_INVALID (exit code 2) with every problem in words. For the start of a daemon. */
export async function loadConfigOrThrow(path: string): Promise<GatewayConfig> {
  const result = await loadConfig(path);
  if (result.ok) return result.config;
  throw new GatewayError('CONFIG_INVALID', { file: path, problems: `\n${result.problems.map(problem => `  ${formatProblem(problem)}`).join('\n')}` });
}

/**
 * The configuration in force in one daemon. `reload` reads the file again and offers the changed sections to `apply`,
 * which answers a sentence when it refuses; then, and when the file has problems, the old configuration stays.
 */
export class ConfigStore {
  readonly path: string;
  #current: GatewayConfig;
  #reloading: Promise<unknown> = Promise.resolve();

  constructor(path: string, current: GatewayConfig) {
    this.path = path;
    this.#current = current;
  }

  static async open(path: string): Promise<ConfigStore> {
    return new ConfigStore(path, await loadConfigOrThrow(path));
  }

  get current(): GatewayConfig {
    return this.#current;
  }

  /** One after the other, in the order asked. `changed` is empty when nothing is new. */
  reload(apply: (next: GatewayConfig, changed: readonly ConfigSection[]) => string | null | Promise<string | null>): Promise<{ readonly refused: string | null; readonly changed: readonly ConfigSection[] }> {
    const run = this.#reloading.then(() => this.#reload(apply));
    this.#reloading = run.catch(() => undefined);
    return run;
  }

  /** What `reload` would say, with nothing changed: `judge` answers a sentence when it would refuse. During a commit that is asked of the file to come. */
  async check(judge: (next: GatewayConfig) => string | null | Promise<string | null>): Promise<string | null> {
    const next = nextConfigPath(this.path);
    const result = await loadConfig((await isThere(next)) ? next : this.path);
    return result.ok ? judge(result.config) : result.problems.map(formatProblem).join('; ');
  }

  async #reload(apply: (next: GatewayConfig, changed: readonly ConfigSection[]) => string | null | Promise<string | null>): Promise<{ readonly refused: string | null; readonly changed: readonly ConfigSection[] }> {
    const result = await loadConfig(this.path);
    if (!result.ok) return { refused: result.problems.map(formatProblem).join('; '), changed: [] };
    const changed = changedSections(this.#current, result.config);
    if (changed.length === 0) return { refused: null, changed };
    const refused = await apply(result.config, changed);
    if (refused === null) this.#current = result.config;
    return { refused, changed: refused === null ? changed : [] };
  }
}
