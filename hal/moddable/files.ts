/** embedded:storage/files over the SDK's: one flat directory. A name may not lead out of it. */
import type { Directory as SDKDirectory, File as SDKFile } from "embedded:storage/files";
import type { Bytes, Directory as DirectoryInterface, File as FileInterface } from "../ecma419.js";
import { syncDirectory } from "./native/host.js";

class File implements FileInterface {
  readonly #file: SDKFile;
  #fresh: string | null;

  constructor(file: SDKFile, fresh: string | null) {
    this.#file = file;
    this.#fresh = fresh;
  }

  read(count: number, position: number): ArrayBuffer {
    const size = Math.max(0, Math.min(count, this.size() - position));
    return size === 0 ? new ArrayBuffer(0) : this.#file.read(size, position);
  }

  /** The SDK does not tell of a short write: a full medium shows in the size. */
  write(data: Bytes, position: number): void {
    if (data.byteLength === 0) return;
    this.#file.write(data, position);
    if (this.size() < position + data.byteLength) throw new Error("file: the medium is full");
  }

  size(): number { return this.#file.status().size; }
  setSize(length: number): void { this.#file.setSize(length); }

  flush(): void {
    this.#file.flush();
    if (this.#fresh !== null) syncDirectory(this.#fresh);
    this.#fresh = null;
  }

  close(): void { this.#file.close(); }
}

export class Directory implements DirectoryInterface {
  readonly #root: SDKDirectory;
  readonly #directory: SDKDirectory;
  readonly #path: string;

  /** `path` under the root; made where it is absent. */
  constructor(root: SDKDirectory, path: string) {
    root.createDirectory(path);
    this.#root = root;
    this.#directory = root.openDirectory({ path });
    this.#path = path;
  }

  openFile({ path, mode }: { path: string; mode: "r" | "r+" | "w+" }): FileInterface {
    return new File(this.#directory.openFile({ path: checked(path), mode }), mode === "w+" ? this.#path : null);
  }

  delete(path: string): boolean {
    const existed = this.#directory.delete(checked(path));
    if (existed) syncDirectory(this.#path);
    return existed;
  }

  move(from: string, to: string): void {
    this.#directory.move(checked(from), checked(to));
    syncDirectory(this.#path);
  }

  exists(path: string): boolean { return this.#directory.status(checked(path)).mode !== 0; }

  /** From the root, which opens the directory anew: the SDK's second scan of one object finds nothing, because dup() shares the position. */
  scan(): string[] {
    const names: string[] = [];
    for (const name of this.#root.scan(this.#path)) names.push(name);
    return names.sort();
  }

  close(): void { this.#directory.close(); }
}

function checked(name: string): string {
  if (name === "" || name.startsWith(".") || name.includes("/") || name.includes("\\") || name.includes("\0")) throw new Error(`not a file name: ${name}`);
  return name;
}

/** The whole of a small file, null where it is absent or unreadable. */
export function readWhole(root: SDKDirectory, path: string): Uint8Array | null {
  try {
    const file = root.openFile({ path, mode: "r" });
    try {
      const { size } = file.status();
      return size === 0 ? new Uint8Array(0) : new Uint8Array(file.read(size, 0));
    } finally {
      file.close();
    }
  } catch {
    return null;
  }
}
