/** embedded:storage/files: one flat directory. A name may not lead out of it. */
import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, readdirSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Bytes, Directory as DirectoryInterface, File as FileInterface } from "../ecma419.js";
import { syncDirectory } from "./key_value.js";

class File implements FileInterface {
  #fd: number | null;
  /** The directory to make durable with the first flush, where the file is new. */
  #fresh: string | null;

  constructor(fd: number, fresh: string | null) {
    this.#fd = fd;
    this.#fresh = fresh;
  }

  get #open(): number {
    if (this.#fd === null) throw new Error("file is closed");
    return this.#fd;
  }

  read(count: number, position: number): ArrayBuffer {
    const bytes = new Uint8Array(Math.max(0, Math.min(count, this.size() - position)));
    let done = 0;
    while (done < bytes.length) {
      const got = readSync(this.#open, bytes, done, bytes.length - done, position + done);
      if (got === 0) break;
      done += got;
    }
    return bytes.buffer.slice(0, done);
  }

  write(data: Bytes, position: number): void {
    const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
    for (let done = 0; done < bytes.length;) done += writeSync(this.#open, bytes, done, bytes.length - done, position + done);
  }

  size(): number {
    return fstatSync(this.#open).size;
  }

  setSize(length: number): void {
    ftruncateSync(this.#open, length);
  }

  flush(): void {
    fsyncSync(this.#open);
    if (this.#fresh !== null) syncDirectory(this.#fresh);
    this.#fresh = null;
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}

export class Directory implements DirectoryInterface {
  #root: string;

  constructor(root: string) {
    mkdirSync(root, { recursive: true });
    this.#root = root;
  }

  #path(name: string): string {
    if (name === "" || name.startsWith(".") || /[/\\\0]/.test(name)) throw new Error(`not a file name: ${JSON.stringify(name)}`);
    return join(this.#root, name);
  }

  openFile({ path, mode }: { path: string; mode: "r" | "r+" | "w+" }): FileInterface {
    return new File(openSync(this.#path(path), mode, 0o600), mode === "w+" ? this.#root : null);
  }

  delete(path: string): boolean {
    const full = this.#path(path);
    if (!existsSync(full)) return false;
    rmSync(full);
    syncDirectory(this.#root);
    return true;
  }

  move(from: string, to: string): void {
    renameSync(this.#path(from), this.#path(to));
    syncDirectory(this.#root);
  }

  scan(): string[] {
    return readdirSync(this.#root).sort();
  }
}
