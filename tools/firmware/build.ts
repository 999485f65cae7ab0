/**
 * `npm run build -- --board linux [--debug] [--instrument]`: the firmware of a board, under
 * build/firmware/BOARD; an ESP32 board's is esp32.ts's. Needs the Moddable SDK, which its user installs and MODDABLE names.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { parseArgs } from "node:util";
import { ESP32_BOARDS, buildEsp32 } from "./esp32.js";
import { bundlePackages } from "./packages.js";
import { BOARDS, expectedBoard, expectedManifest, root } from "./manifest.js";

/** Two objects of the SDK's own TLS, found by way of our modules. */
const SDK = /(cacheManager|globalCerts): not frozen/;
const COMPILED_BY = ["tools/firmware/compile.mjs", "manifest.json"];

export async function build(args: string[]): Promise<number> {
  let options;
  try {
    options = parseArgs({ args, options: { board: { type: "string" }, debug: { type: "boolean" }, instrument: { type: "boolean" }, "link-only": { type: "boolean" } } }).values;
  } catch (error) {
    return refuse((error as Error).message);
  }
  const board = options.board ?? "";
  if (!BOARDS.includes(board)) return refuse(`--board is one of ${BOARDS.join(", ")}`);
  const moddable = process.env["MODDABLE"];
  if (moddable === undefined || moddable === "") return refuse("MODDABLE is unset: install the Moddable SDK (www.moddable.com) and let MODDABLE name its folder");
  const bin = join(moddable, "build/bin/lin/release");
  if (!existsSync(join(bin, "mcconfig"))) return refuse(`${bin} has no mcconfig: the SDK's tools are not built`);

  for (const [path, expected] of [["manifest.json", await expectedManifest(root)], [`boards/${board}/manifest.json`, await expectedBoard(root, board)]] as const) {
    if (JSON.stringify(JSON.parse(readFileSync(join(root, path), "utf8"))) !== JSON.stringify(expected)) return refuse(`${path} does not list what the sources import: npm run manifest`);
  }
  if (ESP32_BOARDS.includes(board)) return buildEsp32({ board, moddable, debug: options.debug ?? false, linkOnly: options["link-only"] ?? false });
  const variant = options.instrument ? "instrument" : options.debug ? "debug" : "release";
  const out = join(root, "build/firmware", board, variant);
  // make does not know that the compiler has changed.
  const library = join(out, "mc.so");
  if (existsSync(library) && COMPILED_BY.some((file) => statSync(join(root, file)).mtimeMs > statSync(library).mtimeMs)) {
    for (const file of ["tsc", "modules"]) rmSync(join(out, "tmp/lin/mc", variant, variant, file), { recursive: true, force: true });
  }
  mkdirSync(out, { recursive: true });
  await bundlePackages(root, join(root, "build/firmware/packages"));
  // mcconfig calls the TypeScript compiler once a file: ours only takes the types away.
  const manifest = join(out, "manifest.json");
  writeFileSync(manifest, JSON.stringify({
    include: [`../../../../boards/${board}/manifest.json`],
    typescript: { compiler: `${process.execPath} ${join(root, "tools/firmware/compile.mjs")}` },
  }, null, 2));
  const flags = [...(options.debug ? ["-d"] : []), ...(options.instrument ? ["-i"] : [])];
  const made = run(["mcconfig", "-m", "-p", "lin", "-t", "build", ...flags, "-o", out, manifest], moddable, bin);
  if (made.code !== 0) return made.code;
  const unfrozen = made.text.split("\n").filter((line) => line.includes("not frozen") && !SDK.test(line));
  if (unfrozen.length > 0) {
    process.stderr.write(`${unfrozen.length} preloaded values are not frozen and would cost RAM:\n${unfrozen.join("\n")}\n`);
    return 1;
  }
  const built = readdirSync(join(out, "bin"), { recursive: true, encoding: "utf8" }).find((file) => file.endsWith("mc.so"));
  if (built === undefined) return refuse("mcconfig made no mc.so");
  // In one step: one that is running goes on with the old file.
  cpSync(join(out, "bin", built), `${library}.new`);
  renameSync(`${library}.new`, library);
  const host = join(out, "linhost");
  const flagsOf = spawnSync("pkg-config", ["--cflags", "--libs", "gio-2.0"], { encoding: "utf8" });
  if (flagsOf.status !== 0) return refuse("pkg-config finds no gio-2.0 (Debian: libglib2.0-dev)");
  const compiled = run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-I", join(moddable, "build/simulators/modules"), join(root, "tools/linhost/linhost.c"), "-o", host,
    ...flagsOf.stdout.trim().split(/\s+/), "-ldl"], moddable, bin);
  if (compiled.code !== 0) return compiled.code;
  process.stdout.write(`${host} ${library} DATA_DIRECTORY\n`);
  return 0;
}

function run([command, ...args]: string[], moddable: string, bin: string): { code: number; text: string } {
  const done = spawnSync(command!, args, { encoding: "utf8", cwd: root, env: { ...process.env, MODDABLE: moddable, PATH: `${bin}${delimiter}${process.env["PATH"] ?? ""}` }, maxBuffer: 64 << 20 });
  const text = `${done.stdout ?? ""}${done.stderr ?? ""}${done.error ? `${done.error.message}\n` : ""}`;
  const code = done.status ?? 1;
  // mcconfig says a line for each of two hundred files: only what matters is shown.
  if (code !== 0) process.stderr.write(text);
  else process.stdout.write(text.split("\n").filter((line) => /error/i.test(line)).map((line) => `${line}\n`).join(""));
  return { code, text };
}

function refuse(why: string): number {
  process.stderr.write(`${why}\n`);
  return 2;
}
