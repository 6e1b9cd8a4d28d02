/**
 * gateway.yaml as configd changes it. `stage` puts the new text beside it, `promote` lets it take the place, `putBack` undoes that
 * by a rename alone: a disk that is full by then cannot keep the old configuration away.
 */
import { chownSync, readFileSync, renameSync, statSync } from 'node:fs';
import { nextConfigPath } from './config-store.ts';
import { GROUP_READS, linkOver, removeDurably, removeQuietly, storeFailure, syncDirectory, writeDurably, writeSynced } from './durable.ts';

export class ConfigFile {
  readonly path: string;
  readonly #next: string;
  readonly #old: string;

  constructor(path: string) {
    this.path = path;
    this.#next = nextConfigPath(path);
    this.#old = `${path}.old`;
  }

  /** Undefined: it is not there, or not readable. */
  read(): string | undefined {
    try {
      return readFileSync(this.path, 'utf8');
    } catch {
      return undefined;
    }
  }

  /** The daemons are asked about this text; STORE_FAILED leaves nothing. */
  stage(text: string): void {
    try {
      writeSynced(this.#next, text, GROUP_READS);
      this.#keepGroup(this.#next);
    } catch (error) {
      removeQuietly(this.#next);
      throw storeFailure(this.path, error);
    }
  }

  unstage(): void {
    removeQuietly(this.#next);
  }

  /** The staged text is in force from here on. */
  promote(): void {
    try {
      this.#keepOld();
      renameSync(this.#next, this.path);
      syncDirectory(this.path);
    } catch (error) {
      throw storeFailure(this.path, error);
    }
  }

  /** A file that root wrote may not be linked by anybody else (fs.protected_hardlinks): then it is copied. */
  #keepOld(): void {
    const text = this.read();
    if (text === undefined) return;
    try {
      linkOver(this.path, this.#old);
    } catch {
      writeSynced(this.#old, text, GROUP_READS);
    }
  }

  /** `text`, which was there before, is in force again. */
  putBack(text: string): void {
    try {
      if (readQuietly(this.#old) === text) renameSync(this.#old, this.path);
      else if (this.read() !== text) {
        writeDurably(this.path, text, GROUP_READS);
        this.#keepGroup(this.path);
      }
      syncDirectory(this.path);
    } catch (error) {
      throw storeFailure(this.path, error);
    }
  }

  /** There is no way back any more, and none is needed. */
  settle(): void {
    removeDurably(this.#old);
  }

  /** The directory gives its group to new files where it is set up so; elsewhere that of the old file is kept, if we may. */
  #keepGroup(path: string): void {
    try {
      const { gid } = statSync(this.path);
      if (statSync(path).gid !== gid) chownSync(path, -1, gid);
    } catch {
      return;
    }
  }
}

function readQuietly(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
