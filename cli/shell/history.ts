/** What was typed before: a file of the user's own, bounded, without the lines that hold a secret. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { hasSecret } from '../secrets.ts';

const MAX_LINES = 1000;
const MAX_LINE = 4096;
const MAX_BYTES = 512 * 1024;
const OWNER_ONLY = 0o600;

export class History {
  readonly #path: string | null;
  /** Oldest first. */
  #lines: string[];

  private constructor(path: string | null, lines: string[]) {
    this.#path = path;
    this.#lines = lines;
  }

  /** `path` null: kept in memory alone. A file that cannot be read is none. */
  static async open(path: string | null): Promise<History> {
    const text = path === null ? '' : await readOwn(path);
    return new History(path, text.split('\n').filter(line => line !== '').slice(-MAX_LINES));
  }

  /** Newest first, as readline wants them. */
  get newestFirst(): string[] {
    return this.#lines.toReversed();
  }

  async add(line: string): Promise<void> {
    if (!mayBeKept(line) || line === this.#lines.at(-1)) return;
    this.#lines = [...this.#lines, line].slice(-MAX_LINES);
    if (this.#path !== null) await writeOwn(this.#path, this.#lines.map(each => `${each}\n`).join(''));
  }
}

export function mayBeKept(line: string): boolean {
  return line.trim() !== '' && line.length <= MAX_LINE && !/[\u0000-\u001f\u007f]/.test(line) && !hasSecret(line);
}

/** Never through a link that somebody else laid. */
async function readOwn(path: string): Promise<string> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const { size, uid } = await file.stat();
    if (uid !== process.getuid?.()) return '';
    const bytes = Buffer.alloc(Math.min(size, MAX_BYTES));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, Math.max(0, size - MAX_BYTES));
    return bytes.toString('utf8', 0, bytesRead);
  } catch {
    return '';
  }
}

/** A home that cannot be written to is no reason to stop. */
async function writeOwn(path: string, text: string): Promise<void> {
  try {
    await using file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, OWNER_ONLY);
    await file.chmod(OWNER_ONLY);
    await file.writeFile(text);
  } catch {
    return;
  }
}
