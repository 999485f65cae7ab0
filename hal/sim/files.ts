/**
 * Files in memory. Directory operations are atomic and durable at once; a file's bytes are durable
 * after `flush`. A power cut keeps some of the unflushed writes, in order, and tears the next: cut
 * short, or filled with zeros where the file had already grown.
 */
import { copied } from "../byte_queue.js";
import type { Bytes, Directory, File } from "../ecma419.js";
import type { Power } from "./power.js";
import type { Random } from "./random.js";

type Change = { readonly position: number; readonly bytes: Uint8Array } | { readonly size: number };

/** Bytes that grow. */
class Content {
  #buffer = new Uint8Array(256);
  length = 0;

  apply(change: Change): void {
    if ("size" in change) this.resize(change.size);
    else {
      this.resize(Math.max(this.length, change.position + change.bytes.length));
      this.#buffer.set(change.bytes, change.position);
    }
  }

  resize(length: number): void {
    if (length > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(length, this.#buffer.length * 2));
      larger.set(this.#buffer.subarray(0, this.length));
      this.#buffer = larger;
    } else if (length < this.length) this.#buffer.fill(0, length, this.length);
    this.length = length;
  }

  slice(from: number, to: number): Uint8Array<ArrayBuffer> {
    return this.#buffer.slice(Math.min(from, this.length), Math.min(to, this.length));
  }
}

class Inode {
  current = new Content();
  durable = new Content();
  changes: Change[] = [];

  change(change: Change): void {
    this.current.apply(change);
    this.changes.push(change);
  }

  flush(): void {
    for (const change of this.changes) this.durable.apply(change);
    this.changes = [];
  }

  powerCut(random: Random): void {
    if (this.changes.length === 0) return;
    const kept = random.below(this.changes.length + 1);
    for (let i = 0; i < kept; i++) this.durable.apply(this.changes[i] as Change);
    const next = this.changes[kept];
    if (next && "bytes" in next) {
      const part = random.below(next.bytes.length + 1);
      this.durable.apply({ position: next.position, bytes: next.bytes.subarray(0, part) });
      if (random.chance(250)) this.durable.resize(Math.max(this.durable.length, next.position + next.bytes.length));
    }
    this.changes = [];
    const whole = this.durable.slice(0, this.durable.length);
    this.current = new Content();
    this.current.apply({ position: 0, bytes: whole });
  }
}

export class SimFiles implements Directory {
  #files = new Map<string, Inode>();
  readonly #power: Power;
  readonly #random: Random;
  /** Every call throws. */
  broken = false;
  /** Bytes all files may hold; null: no bound. */
  capacityBytes: number | null = null;

  constructor(power: Power, random: Random) {
    this.#power = power;
    this.#random = random;
  }

  powerCut(): void {
    for (const inode of this.#files.values()) inode.powerCut(this.#random);
  }

  /** For a test that looks at, or spoils, what is stored: as it is on the medium now. */
  get(path: string): Uint8Array<ArrayBuffer> | undefined {
    const inode = this.#files.get(path);
    return inode?.current.slice(0, inode.current.length);
  }
  put(path: string, bytes: Uint8Array): void {
    const inode = new Inode();
    inode.change({ position: 0, bytes: copied(bytes) });
    inode.flush();
    this.#files.set(path, inode);
  }

  openFile({ path, mode }: { path: string; mode: "r" | "r+" | "w+" }): File {
    this.#check();
    let inode = this.#files.get(path);
    if (mode === "w+") {
      this.#once(() => this.#files.set(path, (inode = new Inode())));
    }
    if (!inode) throw new Error(`${path}: no such file`);
    return this.#handle(inode, mode !== "r");
  }

  #handle(inode: Inode, writable: boolean): File {
    let open = true;
    const check = (): void => {
      if (!open) throw new Error("file is closed");
      this.#check();
    };
    const change = (one: Change): void => {
      check();
      if (!writable) throw new Error("file is open for reading");
      const cut = this.#power.begin();
      inode.change(one);
      if (cut) this.#power.cut();
    };
    return {
      read: (count, position) => {
        check();
        return inode.current.slice(position, position + Math.max(0, count)).buffer;
      },
      write: (data: Bytes, position) => {
        this.#room(inode, position + data.byteLength);
        change({ position, bytes: copied(data) });
      },
      size: () => {
        check();
        return inode.current.length;
      },
      setSize: (size) => change({ size }),
      flush: () => {
        check();
        // A cut during a flush: some of it got there, as without one.
        if (this.#power.begin()) this.#power.cut();
        inode.flush();
      },
      close: () => {
        open = false;
      },
    };
  }

  delete(path: string): boolean {
    this.#check();
    return this.#files.has(path) && this.#once(() => this.#files.delete(path));
  }

  move(from: string, to: string): void {
    this.#check();
    const inode = this.#files.get(from);
    if (!inode) throw new Error(`${from}: no such file`);
    this.#once(() => {
      this.#files.delete(from);
      this.#files.set(to, inode);
    });
  }

  scan(): string[] {
    this.#check();
    return [...this.#files.keys()].sort();
  }

  /** A change of the directory: done or not done when the power goes. */
  #once(task: () => void): true {
    const cut = this.#power.begin();
    if (!cut || this.#random.chance(500)) task();
    if (cut) this.#power.cut();
    return true;
  }

  #check(): void {
    this.#power.check();
    if (this.broken) throw new Error("storage failed");
  }

  #room(inode: Inode, length: number): void {
    if (this.capacityBytes === null) return;
    let used = 0;
    for (const one of this.#files.values()) used += one === inode ? Math.max(length, one.current.length) : one.current.length;
    if (used > this.capacityBytes) throw new Error("storage full");
  }
}
