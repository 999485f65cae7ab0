/**
 * The real engine in the tests: XS as the npm package @agoric/xsnap carries it in C source. A bundle
 * of the core runs in its worker process; requests and answers are JSON over netstrings on file
 * descriptors 3 and 4, and each answer comes with the computrons it took, which are the same on
 * every machine.
 *
 * The worker is compiled once (some 30 s) where a C compiler is found; elsewhere the tests that
 * need it are listed as skipped.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { build } from "esbuild";
import { missing } from "../need.js";

const MINUTES = 60_000;

function packageRoot(): string | null {
  try {
    return dirname(createRequire(import.meta.url).resolve("@agoric/xsnap/package.json"));
  } catch {
    return null;
  }
}

const workerPath = (root: string) => join(root, "xsnap-native/xsnap/build/bin/lin/release/xsnap-worker");

/** Null when XS can run here, else the reason why not. */
export function engineMissing(): string | null {
  const root = packageRoot();
  if (process.platform !== "linux") return "the XS worker is built on Linux only";
  if (root === null) {
    if (process.env["VANGNET_REQUIRE"] === "1") throw new Error("@agoric/xsnap is required here and was not installed");
    return "@agoric/xsnap not installed";
  }
  return existsSync(workerPath(root)) ? null : missing("cc");
}

/** Compiles the worker if that has not been done; two test files that ask at once wait for one build. */
function ensureWorker(root: string): string {
  const worker = workerPath(root);
  const lock = join(root, ".vangnet-build");
  const deadline = Date.now() + 5 * MINUTES;
  while (!existsSync(worker)) {
    try {
      mkdirSync(lock);
    } catch {
      if (Date.now() > deadline) throw new Error(`another build of the XS worker does not end; remove ${lock}`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 250);
      continue;
    }
    try {
      // The package's own makefile, release goal only; its install script would build debug too.
      const made = spawnSync("make", ["-f", "xsnap-worker.mk", `MODDABLE=${join(root, "moddable")}`, "GOAL=release",
        "XSNAP_VERSION=npm", 'CC=cc "-D__has_builtin(x)=1"', "EXTRA_DEPS="],
      { cwd: join(root, "xsnap-native/xsnap/makefiles/lin"), encoding: "utf8" });
      if (made.status !== 0 || !existsSync(worker)) throw new Error(`the XS worker did not build:\n${made.stderr.slice(-2000)}`);
    } finally {
      rmdirSync(lock);
    }
  }
  return worker;
}

export interface Answer<T> {
  readonly value: T;
  /** XS's own count of bytecodes run. */
  readonly computrons: number;
}

/** One XS machine with the bundle of `entry` loaded. */
export class Engine {
  readonly #process: ChildProcess;
  readonly #waiting: { resolve(message: Buffer): void; reject(error: Error): void }[] = [];
  #buffer: Buffer = Buffer.alloc(0);

  private constructor(worker: string) {
    this.#process = spawn(worker, ["vangnet", "-l", "0"], { stdio: ["ignore", "inherit", "inherit", "pipe", "pipe"] });
    (this.#process.stdio[4] as Readable).on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#process.on("exit", (code, signal) => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error(`XS ended: ${signal ?? `code ${code}`}`));
    });
  }

  static async start(entry: string): Promise<Engine> {
    const root = packageRoot();
    if (root === null) throw new Error("@agoric/xsnap not installed");
    const engine = new Engine(ensureWorker(root));
    const bundle = await build({
      entryPoints: [entry], bundle: true, write: false, format: "iife", globalName: "vangnet", platform: "neutral",
      // XS 13 has a class-field bug: lower to es2021.
      target: "es2021",
    });
    await engine.#command("e", bundle.outputFiles[0]!.text);
    await engine.#command("e", `
      const decoder = new TextDecoder(), encoder = new TextEncoder();
      globalThis.handleCommand = (request) => {
        const [name, args] = JSON.parse(decoder.decode(request));
        const result = vangnet[name](...args);
        return encoder.encode(JSON.stringify(result === undefined ? null : result)).buffer;
      };`);
    return engine;
  }

  /** Calls an exported function of the bundle. Arguments and value pass as JSON. */
  async call<T>(name: string, ...args: unknown[]): Promise<Answer<T>> {
    const { body, computrons } = await this.#command("?", JSON.stringify([name, args]));
    return { value: JSON.parse(body) as T, computrons };
  }

  stop(): void {
    (this.#process.stdio[3] as Writable).end();
  }

  async #command(kind: string, text: string): Promise<{ body: string; computrons: number }> {
    const payload = Buffer.from(kind + text, "utf8");
    const message = await new Promise<Buffer>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      (this.#process.stdio[3] as Writable).write(Buffer.concat([Buffer.from(`${payload.length}:`), payload, Buffer.from(",")]));
    });
    if (message[0] !== 0x2e) throw new Error(`XS: ${message.subarray(1).toString()}`);
    const split = message.indexOf(1);
    const meter = JSON.parse(message.subarray(1, split).toString()) as { compute: number };
    return { body: message.subarray(split + 1).toString(), computrons: meter.compute };
  }

  #receive(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    for (;;) {
      const colon = this.#buffer.indexOf(0x3a);
      if (colon < 0) return;
      const length = Number(this.#buffer.subarray(0, colon).toString());
      const end = colon + 1 + length;
      if (this.#buffer.length <= end) return;
      const message = this.#buffer.subarray(colon + 1, end);
      this.#buffer = this.#buffer.subarray(end + 1);
      this.#waiting.shift()?.resolve(message);
    }
  }
}
