/**
 * embedded:storage/key-value as files, which the SDK lacks on Linux: one directory a domain, one
 * file a key. A write is atomic and durable when it returns: a new file, flush, rename over the old
 * one, flush of the directory.
 */
import type { Directory as SDKDirectory } from "embedded:storage/files";
import type { Bytes, KeyValueStore } from "../../ecma419.js";
import { Directory } from "../files.js";

const KEY_CHARACTERS_MAX = 15;
/** Never the first character of a key's file, so that a leftover is not taken for a key. */
const TEMPORARY = "~";
const HEX = "0123456789ABCDEF";

export class KeyValue implements KeyValueStore {
  #directory: Directory | null;

  constructor(root: SDKDirectory, path: string) {
    this.#directory = new Directory(root, path);
    for (const name of this.#directory.scan()) if (name.startsWith(TEMPORARY)) this.#directory.delete(name);
  }

  get #open(): Directory {
    if (this.#directory === null) throw new Error("storage is closed");
    return this.#directory;
  }

  read(key: string): ArrayBuffer | undefined {
    const directory = this.#open;
    const path = encodeKey(key);
    if (!directory.exists(path)) return undefined;
    const file = directory.openFile({ path, mode: "r" });
    try {
      return file.read(file.size(), 0);
    } finally {
      file.close();
    }
  }

  write(key: string, value: Bytes): void {
    const directory = this.#open;
    const path = encodeKey(key);
    const file = directory.openFile({ path: TEMPORARY + path, mode: "w+" });
    try {
      file.write(value, 0);
      file.flush();
    } finally {
      file.close();
    }
    directory.move(TEMPORARY + path, path);
  }

  delete(key: string): void {
    this.#open.delete(encodeKey(key));
  }

  keys(): string[] {
    return this.#open.scan().filter((name) => !name.startsWith(TEMPORARY)).map(decodeURIComponent).sort();
  }

  close(): void {
    this.#directory?.close();
    this.#directory = null;
  }
}

/** Letters, digits, "-" and "_" as they are, every other byte as %XX: no name is special. */
function encodeKey(key: string): string {
  if (key.length === 0 || key.length > KEY_CHARACTERS_MAX) throw new Error(`storage: a key has 1 to ${KEY_CHARACTERS_MAX} characters`);
  let encoded = "";
  for (const byte of new TextEncoder().encode(key)) {
    const plain = (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a) || byte === 0x2d || byte === 0x5f;
    encoded += plain ? String.fromCharCode(byte) : `%${HEX[byte >> 4]}${HEX[byte & 15]}`;
  }
  return encoded;
}
