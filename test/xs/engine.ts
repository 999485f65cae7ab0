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
import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { build, type Plugin } from "esbuild";
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
  /** Slots handed out since the last collection; a slot is 16 bytes on an ESP32. */
  readonly slots: number;
}

/**
 * What preloading does to the firmware's modules, as near as the npm engine comes to it: whatever
 * stands at the top of a module of src/ is frozen with all that hangs on it, Map and Set cannot be
 * changed any more, and so are the built-in objects. `vangnetPreloaded()` then says how many typed
 * arrays it watches, and what those held that have changed since.
 */
const PRELOAD = `
  var vangnetTyped = [];
  function vangnetRefuse() { throw new TypeError("preloaded: read-only"); }
  function vangnetFreeze(value) {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || Object.isFrozen(value)) return;
    if (ArrayBuffer.isView(value)) { vangnetTyped.push([value, Array.prototype.join.call(value)]); return; }
    if (value instanceof Map || value instanceof Set || value instanceof WeakMap) value.set = value.add = value.delete = value.clear = vangnetRefuse;
    Object.freeze(value);
    for (const key of Reflect.ownKeys(value)) {
      const property = Object.getOwnPropertyDescriptor(value, key);
      vangnetFreeze(property.value); vangnetFreeze(property.get); vangnetFreeze(property.set);
    }
  }
  function vangnetPreload(list) { for (const value of list) vangnetFreeze(value); }
  globalThis.vangnetPreloaded = () => ({
    watched: vangnetTyped.length,
    changed: vangnetTyped.filter(([view, was]) => Array.prototype.join.call(view) !== was).map(([, was]) => was),
  });
`;
const FREEZE_BUILT_IN = `for (const name of Object.getOwnPropertyNames(globalThis)) {
  const value = globalThis[name];
  if (name !== "globalThis" && (typeof value === "function" || typeof value === "object") && value !== null && value !== globalThis) {
    Object.freeze(value); if (value.prototype) Object.freeze(value.prototype);
  }
}`;
const preload: Plugin = {
  name: "preload",
  setup({ onLoad }) {
    onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      const names = [...text.matchAll(/^(?:export )?(?:const|class|function) (\w+)/gm)].map((match) => match[1]!);
      return { contents: `${text}\n;vangnetPreload([${names.join(", ")}]);\n`, loader: "ts" };
    });
  },
};

export interface EngineOptions {
  /** Freeze as preloading does. */
  readonly preload?: boolean;
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

  static async start(entry: string, options: EngineOptions = {}): Promise<Engine> {
    const root = packageRoot();
    if (root === null) throw new Error("@agoric/xsnap not installed");
    const engine = new Engine(ensureWorker(root));
    const bundle = await build({
      entryPoints: [entry], bundle: true, write: false, format: "iife", globalName: "vangnet", platform: "neutral",
      // XS 13 has a class-field bug: lower to es2021.
      target: "es2021",
      ...(options.preload ? { plugins: [preload], banner: { js: PRELOAD } } : {}),
    });
    await engine.#command("e", bundle.outputFiles[0]!.text);
    await engine.#command("e", `
      const decoder = new TextDecoder(), encoder = new TextEncoder();
      globalThis.handleCommand = (request) => {
        const [name, args] = JSON.parse(decoder.decode(request));
        const result = vangnet[name](...args);
        return encoder.encode(JSON.stringify(result === undefined ? null : result)).buffer;
      };`);
    if (options.preload) await engine.#command("e", `vangnet.vangnetPreloaded = vangnetPreloaded; ${FREEZE_BUILT_IN}`);
    return engine;
  }

  /** Calls an exported function of the bundle. Arguments and value pass as JSON. */
  async call<T>(name: string, ...args: unknown[]): Promise<Answer<T>> {
    const { body, computrons, slots } = await this.#command("?", JSON.stringify([name, args]));
    return { value: JSON.parse(body) as T, computrons, slots };
  }

  stop(): void {
    (this.#process.stdio[3] as Writable).end();
  }

  async #command(kind: string, text: string): Promise<{ body: string; computrons: number; slots: number }> {
    const payload = Buffer.from(kind + text, "utf8");
    const message = await new Promise<Buffer>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      (this.#process.stdio[3] as Writable).write(Buffer.concat([Buffer.from(`${payload.length}:`), payload, Buffer.from(",")]));
    });
    if (message[0] !== 0x2e) throw new Error(`XS: ${message.subarray(1).toString()}`);
    const split = message.indexOf(1);
    const meter = JSON.parse(message.subarray(1, split).toString()) as { compute: number; currentHeapCount: number };
    return { body: message.subarray(split + 1).toString(), computrons: meter.compute, slots: meter.currentHeapCount };
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
