/**
 * embedded:storage/key-value as files: one directory a domain, one file a key. A write is atomic
 * and durable when it returns: a new file, fsync, rename over the old one, fsync of the directory.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Bytes, KeyValueStore } from "../ecma419.js";

const KEY_CHARACTERS_MAX = 15;
/** Never the first character of a key's file, so that a leftover is not taken for a key. */
const TEMPORARY = "~";

export class KeyValue implements KeyValueStore {
  #directory: string | null;

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true });
    for (const name of readdirSync(directory)) if (name.startsWith(TEMPORARY)) rmSync(join(directory, name));
    this.#directory = directory;
  }

  #file(key: string): string {
    if (this.#directory === null) throw new Error("storage is closed");
    if (key.length === 0 || key.length > KEY_CHARACTERS_MAX) throw new Error(`storage: a key has 1 to ${KEY_CHARACTERS_MAX} characters`);
    return join(this.#directory, encodeKey(key));
  }

  read(key: string): ArrayBuffer | undefined {
    const path = this.#file(key);
    try {
      return new Uint8Array(readFileSync(path)).buffer;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  write(key: string, value: Bytes): void {
    const path = this.#file(key);
    const directory = this.#directory as string;
    const temporary = join(directory, TEMPORARY + encodeKey(key));
    const bytes = value instanceof Uint8Array ? value : new Uint8Array(value);
    const fd = openSync(temporary, "w", 0o600);
    try {
      for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
    syncDirectory(directory);
  }

  delete(key: string): void {
    rmSync(this.#file(key), { force: true });
    syncDirectory(this.#directory as string);
  }

  keys(): string[] {
    if (this.#directory === null) throw new Error("storage is closed");
    return readdirSync(this.#directory).filter((name) => !name.startsWith(TEMPORARY)).map(decodeURIComponent).sort();
  }

  close(): void {
    this.#directory = null;
  }
}

/** Letters, digits, "-" and "_" as they are; "." and "~" too are escaped, so no name is special. */
const encodeKey = (key: string): string =>
  encodeURIComponent(key).replace(/[.~!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

export const isAbsent = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === "ENOENT";

/** A rename is durable only when its directory is. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
