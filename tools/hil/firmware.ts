/** The firmware under test as a process of its own: on Node, or the Moddable build for Linux. */
import { spawn, type ChildProcess } from "node:child_process";
import { createWriteStream, mkdirSync, writeFileSync, type WriteStream } from "node:fs";
import { join } from "node:path";
import type { Pace } from "../../hal/paced.js";
import { ended } from "./house.js";

export type Target = "node" | "linux";

export class Firmware {
  boots = 0;
  /** Ends that nobody asked for. */
  readonly crashes: string[] = [];
  readonly #command: readonly string[];
  readonly #log: WriteStream;
  #child: ChildProcess | null = null;

  constructor(target: Target, root: string, data: string, variant: string, site: string, pace: Pace, log: string) {
    mkdirSync(data, { recursive: true });
    writeFileSync(join(data, "site.json"), site);
    if (pace.pace !== 1) writeFileSync(join(data, "pace.json"), JSON.stringify(pace));
    writeFileSync(join(data, "measure"), "");
    const built = join(root, "build/firmware/linux", variant);
    this.#command = target === "node" ? [process.execPath, join(root, "dist/hil_node.mjs"), data] : [join(built, "linhost"), join(built, "mc.so"), data];
    this.#log = createWriteStream(log);
  }

  boot(): void {
    this.boots++;
    const child = spawn(this.#command[0]!, this.#command.slice(1), { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr!.on("data", (bytes: Uint8Array) => this.#log.write(bytes));
    child.on("error", (error) => this.crashes.push(error.message));
    child.on("exit", (code, signal) => {
      if (this.#child !== child) return;
      this.crashes.push(signal ?? `exit ${code}`);
      this.#child = null;
    });
    this.#child = child;
  }

  /** The power goes, and comes back. */
  async power(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    await ended(child);
    this.boot();
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    await ended(child, "SIGTERM");
    await new Promise<void>((resolve) => this.#log.end(() => resolve()));
  }
}
